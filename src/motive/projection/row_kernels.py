"""Blocked Fastfood on a CPU for several parameters and clips at once.

Random numbers of a block are made once for all clips; of small models they are kept.

Gradients are read where they lie, by address: putting them side by side would cost as much memory
traffic as projecting them.

Invariant: per clip and parameter the operations and their order are those of `cpu_kernels.fold`.
"""
# After a change of `vectors` or `cpu_kernels`, touch this file: numba goes by the date alone.

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

from motive.projection.cpu_kernels import _distance, _fold, _permutation_keys, _transform
from motive.projection.randomness import PERMUTATION_ROUNDS
from motive.projection.vectors import (
    _FLOATS,
    CODES,
    GROUP,
    LANES,
    PLACES,
    _Array,
    gather_places,
    gather_scale_add,
    random_codes,
)

_U64 = np.uint64
_instruction: Any = intrinsic  # untyped: callers leave the first argument out


@_instruction
def _pointer(typing: Any, address: Any) -> Any:
    """The address as a pointer."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.uint64), codegen


@_instruction
def _add_squares(typing: Any, out: Any, target: Any, data: Any, start: Any) -> Any:
    """out[target:][:8] += data[start:][:8] squared."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, values = (_Array(context, builder, signature.args[i], arguments[i]) for i in (0, 2))
        vector = values.read(arguments[3], _FLOATS)
        square = builder.fmul(vector, vector)
        total.write(arguments[1], builder.fadd(total.read(arguments[1], _FLOATS), square))
        return context.get_dummy_value()

    return types.void(out, types.intp, data, types.intp), codegen


@njit(nogil=True, cache=True)
def fold_rows(
    read_as: tuple[np.ndarray, int],
    gradients: tuple[np.ndarray, np.ndarray],
    pieces: np.ndarray,
    words: np.ndarray,
    kept: tuple[np.ndarray, np.ndarray],
    table: np.ndarray,
    out: np.ndarray,
    squared_norms: np.ndarray,
) -> None:
    """Add the fold of each piece of a parameter, and its squared norm, for each clip.

    Args:
        read_as: Any array of the bits' type, uint32 or uint16, and the kind as for
            `cpu_kernels.fold`.
        gradients: Address of each parameter's contiguous gradients "n p", uint64 "m", and p of
            each, int64 "m".
        pieces: (parameter, first block, last block, b, distance between the starts of blocks,
            place in what was kept or -1), int64 "k 6".
        words: Halves of the seed, then of the name's hash, uint64 "m 4".
        kept: What `keep_randomness` has made, or two arrays of any length.
        table: Gaussian quantiles, float32.
        out: float32 "k n w".
        squared_norms: float64 "k n".
    """
    sample, kind = read_as
    addresses, totals = gradients
    room, rows = GROUP, out.shape[1]
    for piece in pieces:
        room = max(room, piece[3])
    data, squares = np.empty(room, np.float32), np.empty(GROUP, np.float32)
    fresh_codes, fresh_places = np.empty(room, np.uint16), np.empty(room, np.uint32)
    padded, keys = np.empty(GROUP, sample.dtype), np.empty(2 * PERMUTATION_ROUNDS + 1, np.uint32)
    for task in range(len(pieces)):
        parameter, first, last, size, stride, place = pieces[task]
        total = totals[parameter]
        scale = 1.0 / np.sqrt(size)
        for block in range(first, last):
            if place >= 0:
                here = _kept(place, block - first, size)
                codes, places = kept[0][here], kept[1][here]
            else:
                codes, places = fresh_codes, fresh_places
                _codes(block, size, words[parameter], codes, keys)
                if rows > 1:
                    _all_places(size, codes, keys, places)
            for row in range(rows):
                address = addresses[parameter] + _U64(row * total * sample.itemsize)
                flat = carray(_pointer(address), (total,), sample.dtype)
                _transform(flat, kind, block * stride, size, scale, codes, padded, data)
                if rows > 1 or place >= 0:
                    _gather(data, size, places, table, out[task, row])
                else:  # places are used once: made where they are used, they stay in the cache
                    _fold(data, size, codes, keys, places, table, out[task, row])
                # Q B / √b keeps lengths, so the norm is read off where it is in the cache anyway.
                squared_norms[task, row] += _squared_norm(data, size, squares)


@njit(nogil=True, cache=True)
def keep_randomness(
    pieces: np.ndarray, words: np.ndarray, codes: np.ndarray, places: np.ndarray
) -> None:
    """Make the random numbers of all pieces, to be used for many clips: 6 bytes per element.

    Args:
        pieces: As for `fold_rows`, every place at least 0.
        words: See there.
        codes: Signs and indices of Gaussians, uint16; `GROUP` or b of them for each block.
        places: From where and with which Gaussian each output is taken, uint32; as many.
    """
    keys = np.empty(2 * PERMUTATION_ROUNDS + 1, np.uint32)
    for parameter, first, last, size, _, place in pieces:
        for block in range(first, last):
            here = _kept(place, block - first, size)
            _codes(block, size, words[parameter], codes[here], keys)
            _all_places(size, codes[here], keys, places[here])


@njit(nogil=True, cache=True)
def _kept(place: int, block: int, size: int) -> slice:
    """Where the numbers of a block are kept: at least a group each, which are made at once."""
    room = max(size, GROUP)
    return slice(place + block * room, place + (block + 1) * room)


@njit(nogil=True, cache=True)
def _codes(block: int, size: int, words: np.ndarray, codes: np.ndarray, keys: np.ndarray) -> None:
    for start in range(0, size, CODES):
        random_codes(codes, start, _U64(start >> 2), _U64(block), words)
    _permutation_keys(_U64(block), words, keys)


@njit(nogil=True, cache=True)
def _all_places(size: int, codes: np.ndarray, keys: np.ndarray, places: np.ndarray) -> None:
    mask, distance = _U64(size - 1), _U64(_distance(size))
    for start in range(0, size, PLACES):
        gather_places(places, start, codes, start, keys, mask, distance)


@njit(nogil=True, cache=True)
def _gather(
    data: np.ndarray, size: int, places: np.ndarray, table: np.ndarray, out: np.ndarray
) -> None:
    """Add G_j · data[π(j)] to out[j mod its length], for every j."""
    width = min(size, len(out))
    for segment in range(0, size, width):
        for start in range(0, width, LANES):
            gather_scale_add(out, start, data, places, segment + start, table)


@njit(nogil=True, cache=True)
def _squared_norm(data: np.ndarray, size: int, squares: np.ndarray) -> float:
    """Sum of squares of data[:size], a multiple of 8, in 64 interleaved float32 sums."""
    squares[:] = 0
    for start in range(0, size, LANES):
        _add_squares(squares, start % GROUP, data, start)
    total = 0.0
    for lane in range(GROUP):
        total += squares[lane]
    return total


@njit(nogil=True, cache=True)
def sum_tasks(
    rows: np.ndarray,
    norms: np.ndarray,
    firsts: np.ndarray,
    out: np.ndarray,
    squared_norms: np.ndarray,
) -> None:
    """Sum the tasks of each parameter in their order, and fold their sums to D'.

    Args:
        rows: float32 "k n w".
        norms: float64 "k n".
        firsts: First task of each parameter, int64 "m".
        out: float32 "m n d".
        squared_norms: float64 "m n".
    """
    width, dim = rows.shape[2], out.shape[2]
    total = np.empty(width, np.float64)
    for parameter in range(len(firsts)):
        end = firsts[parameter + 1] if parameter + 1 < len(firsts) else len(rows)
        for clip in range(rows.shape[1]):
            total[:] = 0
            squared_norms[parameter, clip] = 0
            for task in range(firsts[parameter], end):
                squared_norms[parameter, clip] += norms[task, clip]
                for place in range(width):
                    total[place] += rows[task, clip, place]
            for start in range(dim, width, dim):
                for place in range(dim):
                    total[place] += total[start + place]
            for place in range(dim):
                out[parameter, clip, place] = total[place]

"""Blocked Fastfood on a CPU in one pass over the gradient, which is read in its own precision.

Per block, in the core's own cache: random codes, sign, Walsh-Hadamard transform, permutation,
Gaussian scale and fold. All randomness is made on the spot from counters (`randomness`), in
registers; there is no state and no table but the 4096 Gaussian quantiles.

Invariant: sums are taken in an order that the block numbers decide, so neither the number of
threads nor the machine changes a bit.
"""
# After a change of `vectors`, touch this file: numba's compiled code is cached by its date alone.

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit

from motive.projection.randomness import (
    MULTIPLIERS,
    PERMUTATION_COUNTER,
    PERMUTATION_ROUNDS,
    REPETITION_COUNTER,
    ROUNDS,
    WEYL,
)
from motive.projection.vectors import (
    CODES,
    GROUP,
    LANES,
    PLACE_BITS,
    PLACES,
    butterfly2,
    butterfly4,
    butterfly8,
    gather_places,
    gather_scale_add,
    random_codes,
    random_words,
    signed_hadamard64_bfloat16,
    signed_hadamard64_float16,
    signed_hadamard64_float32,
    widen64_bfloat16,
    widen64_float16,
    widen64_float32,
)

FLOAT32, BFLOAT16, FLOAT16 = 0, 1, 2  # how the bits in `values` are read
NARROWEST_SUM = GROUP  # sums are kept this wide, and folded to a smaller D' at the end
_TILE = 4096  # elements: 16 KB, half of a small first-level cache
_U64 = np.uint64
_LOW, _HALF = _U64(0xFFFFFFFF), _U64(32)
_MULTIPLIER0, _MULTIPLIER1 = _U64(MULTIPLIERS[0]), _U64(MULTIPLIERS[1])
_PLACE = np.uint32((1 << PLACE_BITS) - 1)
_WEYL0, _WEYL1 = _U64(WEYL[0]), _U64(WEYL[1])


def bits_of(flat: torch.Tensor) -> tuple[np.ndarray, int]:
    """The bits of a contiguous CPU vector without a copy, and how to read them."""
    if flat.dtype == torch.float32:
        return flat.view(torch.int32).numpy().view(np.uint32), FLOAT32
    kind = BFLOAT16 if flat.dtype == torch.bfloat16 else FLOAT16
    return flat.view(torch.int16).numpy().view(np.uint16), kind


@njit(nogil=True, cache=True)
def fold(
    values: np.ndarray,
    kind: int,
    offset: int,
    blocks: tuple[int, int],
    sizes: tuple[int, int],
    words: np.ndarray,
    table: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add the fold of G Π Q B / √b over the blocks first .. last-1 of one parameter to `out`.

    Args:
        values: Bits of a contiguous slice of the flattened gradient, uint32 or uint16.
        kind: FLOAT32, BFLOAT16 or FLOAT16.
        offset: Place of values[0] in the flattened parameter. Blocks may overhang on both sides:
            what is not in `values` counts as zero.
        blocks: (first, last).
        sizes: (b, distance between the starts of blocks); the shorter tail has its own b.
        words: Halves of the seed, then of the name's hash, uint64 "4".
        table: Gaussian quantiles, float32.
        out: float32, as long as D' or NARROWEST_SUM, whichever is more.
    """
    size, stride = sizes
    scale = 1.0 / np.sqrt(size)
    data = np.empty(max(size, GROUP), np.float32)
    codes = np.empty(max(size, GROUP), np.uint16)
    padded = np.empty(GROUP, values.dtype)
    places = np.empty(max(PLACES, min(size, len(out))), np.uint32)
    keys = np.empty(2 * PERMUTATION_ROUNDS + 1, np.uint32)
    for block in range(blocks[0], blocks[1]):
        for start in range(0, size, CODES):
            random_codes(codes, start, _U64(start >> 2), _U64(block), words)
        _transform(values, kind, block * stride - offset, size, scale, codes, padded, data)
        _permutation_keys(_U64(block), words, keys)
        _fold(data, size, codes, keys, places, table, out)


@njit(nogil=True, cache=True)
def sample(
    values: np.ndarray,
    kind: int,
    offset: int,
    blocks: tuple[int, int],
    sizes: tuple[int, int],
    words: np.ndarray,
    rows: int,
    out: np.ndarray,
) -> None:
    """Add the first rows of Π Q B, summed over the blocks, to `out`; the rest as for `fold`."""
    size, stride = sizes
    data = np.empty(max(size, GROUP), np.float32)
    codes = np.empty(max(size, GROUP), np.uint16)
    padded = np.empty(GROUP, values.dtype)
    places = np.empty(PLACES, np.uint32)
    keys = np.empty(2 * PERMUTATION_ROUNDS + 1, np.uint32)
    for block in range(blocks[0], blocks[1]):
        for start in range(0, size, CODES):
            random_codes(codes, start, _U64(start >> 2), _U64(block), words)
        _transform(values, kind, block * stride - offset, size, 1.0, codes, padded, data)
        _permutation_keys(_U64(block), words, keys)
        mask, distance = _U64(size - 1), _U64(_distance(size))
        for start in range(0, rows, PLACES):
            gather_places(places, 0, codes, start, keys, mask, distance)
            for index in range(min(PLACES, rows - start)):
                out[start + index] += data[places[index] & _PLACE]


@njit(nogil=True, cache=True)
def scatter(
    values: np.ndarray,
    kind: int,
    offset: int,
    blocks: tuple[int, int],
    size: int,
    words: np.ndarray,
    nonzeros: int,
    out: np.ndarray,
) -> None:
    """Each element of the blocks, with a random sign, added to one sum of each of s groups.

    Args:
        values: As for `fold`, like `kind`, `offset`, `blocks` and `words`.
        kind: See there.
        offset: See there.
        blocks: See there.
        size: Elements per block.
        words: See there.
        nonzeros: s.
        out: float32 "d", s groups end to end.
    """
    data = np.empty(GROUP, np.float32)
    padded = np.empty(GROUP, values.dtype)
    random = np.empty(GROUP, np.uint32)
    flipped = np.empty(GROUP, np.float32)
    bits, signed = data.view(np.uint32), flipped.view(np.uint32)
    width = len(out) // nonzeros
    bucket_mask, top = np.uint32(width - 1), np.uint32(1 << 31)
    # Unsigned, or every access would test for an index from the end.
    first_place = (np.arange(nonzeros) * width).astype(np.uintp)
    for block in range(blocks[0], blocks[1]):
        for group in range(0, size, GROUP):
            start = block * size + group - offset
            if start <= -GROUP or start >= len(values):
                continue
            if start >= 0 and start + GROUP <= len(values):
                _widen(values, kind, start, data)
            else:
                _pad(values, start, len(values), padded)
                _widen(padded, kind, 0, data)
            for repetition in range(nonzeros):
                counter = (group >> 2) + repetition * REPETITION_COUNTER
                for part in range(0, GROUP, CODES):
                    random_words(random, part, _U64(counter + (part >> 2)), _U64(block), words)
                for index in range(GROUP):  # the top bit of the word flips the sign
                    signed[index] = bits[index] ^ (random[index] & top)
                for index in range(GROUP):
                    place = first_place[repetition] + np.uintp(random[index] & bucket_mask)
                    out[place] += flipped[index]


@njit(nogil=True, cache=True)
def _widen(values: np.ndarray, kind: int, source: int, data: np.ndarray) -> None:
    """64 elements of the given precision as float32."""
    if kind == FLOAT32:
        widen64_float32(values, source, data, 0)
    elif kind == BFLOAT16:
        widen64_bfloat16(values, source, data, 0)
    else:
        widen64_float16(values, source, data, 0)


@njit(nogil=True, cache=True)
def _pad(values: np.ndarray, start: int, stop: int, padded: np.ndarray) -> None:
    """64 elements from `start`, zeros outside 0 .. stop-1."""
    for index in range(GROUP):
        inside = 0 <= start + index < stop
        padded[index] = values[start + index] if inside else 0


@njit(nogil=True, cache=True)
def _transform(
    values: np.ndarray,
    kind: int,
    source: int,
    size: int,
    scale: float,
    codes: np.ndarray,
    padded: np.ndarray,
    data: np.ndarray,
) -> None:
    """Write scale · Q B values[source:] to `data`, tile by tile in cache, then across tiles.

    A block below 64 is padded: the first b rows of the longer transform are those of the shorter.
    """
    length = max(size, GROUP)
    tile = min(length, _TILE)
    for first in range(0, length, tile):
        for group in range(first, first + tile, GROUP):
            start, stop = source + group, min(source + size, source + group + GROUP)
            if start >= 0 and start + GROUP <= min(stop, len(values)):
                _first_stages(values, kind, start, codes, data, group, scale)
            elif stop <= 0 or start >= len(values):
                data[group : group + GROUP] = 0
            else:
                _pad(values, start, min(stop, len(values)), padded)
                _first_stages(padded, kind, 0, codes, data, group, scale)
        _passes(data, first, tile, GROUP)
    _passes(data, 0, length, tile)


@njit(nogil=True, cache=True)
def _first_stages(
    values: np.ndarray,
    kind: int,
    source: int,
    codes: np.ndarray,
    data: np.ndarray,
    target: int,
    scale: float,
) -> None:
    """Sign, scale and transform 64 elements of the given precision."""
    factor = np.float32(scale)
    if kind == FLOAT32:
        signed_hadamard64_float32(values, source, codes, data, target, factor)
    elif kind == BFLOAT16:
        signed_hadamard64_bfloat16(values, source, codes, data, target, factor)
    else:
        signed_hadamard64_float16(values, source, codes, data, target, factor)


@njit(nogil=True, cache=True)
def _passes(data: np.ndarray, start: int, size: int, stride: int) -> None:
    """Stages `stride` .. size/2 of the transform of data[start:][:size], three at a time."""
    while stride < size:
        left = size // stride
        if left >= 8:
            for outer in range(start, start + size, 8 * stride):
                for inner in range(outer, outer + stride, LANES):
                    butterfly8(data, inner, stride)
            stride *= 8
        elif left == 4:
            for inner in range(start, start + stride, LANES):
                butterfly4(data, inner, stride)
            stride *= 4
        else:
            for inner in range(start, start + stride, LANES):
                butterfly2(data, inner, stride)
            stride *= 2


@njit(nogil=True, cache=True)
def _fold(
    data: np.ndarray,
    size: int,
    codes: np.ndarray,
    keys: np.ndarray,
    places: np.ndarray,
    table: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add G_j · data[π(j)] to out[j mod its length], for every j."""
    width = min(size, len(out))
    mask, distance = _U64(size - 1), _U64(_distance(size))
    for segment in range(0, size, width):
        for start in range(0, width, PLACES):
            gather_places(places, start, codes, segment + start, keys, mask, distance)
        for start in range(0, width, LANES):
            gather_scale_add(out, start, data, places, start, table)


@njit(nogil=True, cache=True)
def _distance(size: int) -> int:
    """Half the bits of an index, rounded up: how far the permutation's xor-shifts reach."""
    bits = 0
    while 1 << bits < size:
        bits += 1
    return (bits + 1) >> 1


@njit(nogil=True, cache=True)
def _permutation_keys(block: Any, words: np.ndarray, keys: np.ndarray) -> None:
    """Odd multiplier and addend of each round, then the last addend, uint32."""
    for step in range(PERMUTATION_ROUNDS):
        counter = _U64(PERMUTATION_COUNTER + step)
        word0, word1, word2 = _philox(counter, block, words[2], words[3], words[0], words[1])
        keys[2 * step], keys[2 * step + 1] = word0 | _U64(1), word1
        if step == 0:
            keys[2 * PERMUTATION_ROUNDS] = word2


@njit(nogil=True, cache=True)
def _philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> tuple[Any, Any, Any]:
    """The first three words of Philox4x32-10, uint64."""
    for _ in range(ROUNDS):
        p0, p1 = c0 * _MULTIPLIER0, c2 * _MULTIPLIER1
        c0, c2 = (p1 >> _HALF) ^ c1 ^ k0, (p0 >> _HALF) ^ c3 ^ k1
        c1, c3 = p1 & _LOW, p0 & _LOW
        k0, k1 = (k0 + _WEYL0) & _LOW, (k1 + _WEYL1) & _LOW
    return c0, c1, c2

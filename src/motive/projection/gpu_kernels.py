"""Blocked Fastfood and SRHT on a GPU: one pass over the gradient, read in its own precision.

One program takes a block at a time into registers and does everything there: Philox words, sign,
Walsh-Hadamard transform, permutation, Gaussian scale and fold. A block of 2^15 float32 fills 128 KB
of shared memory while it is permuted, which is why blocks are not larger.

The transform of length b = f1 · f2 · f3 is three small matrix products with H_f, whose entries ±1
are exact in bfloat16; the data go in as two bfloat16 parts, 16 bits of mantissa, so that the tensor
cores do the work of log2 b butterfly passes.

Invariant: no atomics. Programs own fixed ranges of blocks and rows of the partial sums, and the
rows are added in one order, so a result depends on neither the device nor the schedule.
"""
# A kernel is compiled for whatever types it is called with:
# ruff: noqa: ANN001, ANN202
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from motive.projection.randomness import (
    GAUSS_BITS,
    PERMUTATION_COUNTER,
    PERMUTATION_ROUNDS,
    gaussian_table,
    key_words,
)

if TYPE_CHECKING:
    from motive.projection.hadamard import BlockedHadamard

LARGEST_BLOCK = 1 << 15
_SHORTEST = 1 << 12  # 16^3: matrix products of tensor cores have at least 16 rows
_BLOCKS_PER_PROGRAM = 8
_ALL = 1 << 62  # elements per run: no cut
_LEVELS = tl.constexpr((1 << GAUSS_BITS) - 1)
_COUNTER = tl.constexpr(PERMUTATION_COUNTER)
_ROUNDS = tl.constexpr(PERMUTATION_ROUNDS)


def partial(
    projection: BlockedHadamard, name: str, flat: torch.Tensor, start: int, whole: int
) -> torch.Tensor:
    """Contribution of a contiguous slice of one parameter, float32 "d" on its device.

    Args:
        projection: Gives D', seed and block, and whether rows are sampled.
        name: Canonical parameter name.
        flat: The slice: float32, bfloat16 or float16.
        start: Its place in the flattened parameter.
        whole: Elements of the parameter.
    """
    if flat.device.type == "cuda":
        with torch.cuda.device(flat.device):  # Triton launches on the current device
            return _launch(projection, name, flat, start, whole)
    return _launch(projection, name, flat, start, whole)


def _launch(
    projection: BlockedHadamard, name: str, flat: torch.Tensor, start: int, whole: int
) -> torch.Tensor:
    device = flat.device
    words = [word - (1 << 32) if word >> 31 else word for word in key_words(projection.seed, name)]
    table = gaussian_table(str(device))
    result = torch.zeros(projection.dim, device=device)
    for run in projection.runs(start, start + flat.numel(), whole, _ALL):
        programs = -(-(run.last - run.first) // _BLOCKS_PER_PROGRAM)
        sums = torch.empty(programs, projection.dim, device=device)
        length = max(run.size, _SHORTEST)
        bits = length.bit_length() - 1
        _project[(programs,)](
            flat,
            start,
            flat.numel(),
            run.first,
            run.last,
            *words,
            table,
            sums,
            PER_PROGRAM=_BLOCKS_PER_PROGRAM,
            STRIDE=run.stride,
            SIZE=run.size,
            SHIFT=run.size.bit_length() // 2,
            F1=1 << (bits - 2 * (bits // 3)),
            F2=1 << bits // 3,
            F3=1 << bits // 3,
            DIM=projection.dim,
            SAMPLE=projection.samples,
            EMULATE=device.type == "cpu",
            num_warps=16 if bits > 13 else 8,
        )
        result += sums.sum(0)
    return result


@triton.jit(do_not_specialize=["count", "first", "last", "seed0", "seed1", "name0", "name1"])
def _project(
    values,
    start,
    count,
    first,
    last,
    seed0,
    seed1,
    name0,
    name1,
    table,
    sums,
    PER_PROGRAM: tl.constexpr,
    STRIDE: tl.constexpr,
    SIZE: tl.constexpr,
    SHIFT: tl.constexpr,
    F1: tl.constexpr,
    F2: tl.constexpr,
    F3: tl.constexpr,
    DIM: tl.constexpr,
    SAMPLE: tl.constexpr,
    EMULATE: tl.constexpr,
):
    """Row `program` of sums: the contribution of blocks first + program · PER_PROGRAM ..."""
    program = tl.program_id(0)
    element = tl.arange(0, F1 * F2 * F3)
    key0, key1 = _word(seed0), _word(seed1)
    low, high = _word(name0), _word(name1)
    total = tl.zeros((DIM,), tl.float32)
    begin = first + program * PER_PROGRAM
    for step in range(tl.minimum(PER_PROGRAM, last - begin)):
        block = begin + step
        number = tl.full((1,), 0, tl.uint32) + block.to(tl.uint32)
        w0, w1, w2, w3 = _words(number, low, high, key0, key1, F1 * F2 * F3)
        # Two indices in one register: words are wanted before and after the transform, which needs
        # the registers itself.
        codes0, codes1 = (w0 & _LEVELS) | (w1 << 16), (w2 & _LEVELS) | (w3 << 16)
        piece = _piece(values, block.to(tl.int64) * STRIDE - start, count, element, SIZE)
        signed = tl.where(_in_order(w0 >> 31, w1 >> 31, w2 >> 31, w3 >> 31) == 0, piece, -piece)
        mixed = _transform(signed, F1, F2, F3, values.dtype.element_ty == tl.bfloat16, EMULATE)
        if SAMPLE:
            rows = tl.arange(0, DIM)
            total += tl.gather(mixed, _source(rows, number, low, high, key0, key1, SIZE, SHIFT), 0)
        else:
            source = _source(element, number, low, high, key0, key1, SIZE, SHIFT)
            source = _source(element, number, low, high, key0, key1, SIZE, SHIFT)
            moved = tl.gather(mixed, source, 0)
            level = _in_order(codes0 & 0xFFFF, codes0 >> 16, codes1 & 0xFFFF, codes1 >> 16)
            gaussians = tl.load(table + (level & _LEVELS).to(tl.int32))
            scaled = tl.where(element < SIZE, moved * gaussians, 0.0) * (SIZE**-0.5)
            total += tl.sum(tl.reshape(scaled, (F1 * F2 * F3 // DIM, DIM)), 0)
    tl.store(sums + program * DIM + tl.arange(0, DIM), total)


@triton.jit
def _word(signed):
    """An int32 argument as the 32 bits it stands for, "1"."""
    return (tl.full((1,), 0, tl.int32) + signed).to(tl.uint32, bitcast=True)


@triton.jit
def _words(number, low, high, key0, key1, LENGTH: tl.constexpr):
    """Philox words of a block: word i of the counter c belongs to element 4 c + i."""
    counter = tl.arange(0, LENGTH // 4).to(tl.uint32)
    nothing = tl.zeros((LENGTH // 4,), tl.uint32)
    return tl.philox_impl(
        counter, nothing + number, nothing + low, nothing + high, nothing + key0, nothing + key1
    )


@triton.jit
def _in_order(w0, w1, w2, w3):
    """What belongs to the four words of each counter, in the order of the elements."""
    return tl.reshape(tl.join(tl.join(w0, w2), tl.join(w1, w3)), (4 * w0.shape[0],))


@triton.jit
def _piece(values, begin, count, element, SIZE: tl.constexpr):
    """The block's elements as float32, with zeros where it overhangs the slice."""
    if (begin >= 0) & (begin + SIZE <= count) & (element.shape[0] == SIZE):
        piece = tl.load(values + begin + element)  # without a mask the loads are wide
    else:
        inside = (element < SIZE) & (begin + element >= 0) & (begin + element < count)
        piece = tl.load(values + begin + element, mask=inside, other=0.0)
    return piece.to(tl.float32)


@triton.jit
def _transform(
    data,
    F1: tl.constexpr,
    F2: tl.constexpr,
    F3: tl.constexpr,
    EXACT: tl.constexpr,
    EMULATE: tl.constexpr,
):
    """Walsh-Hadamard transform of F1 · F2 · F3 values: along each axis, which then goes first."""
    rows = _times_hadamard(tl.reshape(data, (F1 * F2, F3)), F3, EXACT, EMULATE)
    rows = tl.reshape(tl.permute(tl.reshape(rows, (F1, F2, F3)), (2, 0, 1)), (F3 * F1, F2))
    rows = _times_hadamard(rows, F2, False, EMULATE)
    rows = tl.reshape(tl.permute(tl.reshape(rows, (F3, F1, F2)), (2, 0, 1)), (F2 * F3, F1))
    rows = _times_hadamard(rows, F1, False, EMULATE)
    rows = tl.permute(tl.reshape(rows, (F2, F3, F1)), (2, 0, 1))
    return tl.reshape(rows, (F1 * F2 * F3,))


@triton.jit
def _times_hadamard(rows, F: tl.constexpr, EXACT: tl.constexpr, EMULATE: tl.constexpr):
    """Rows "n F" times H_F. EXACT: they are bfloat16 numbers already."""
    axis = tl.arange(0, F)
    common = axis[:, None] & axis[None, :]
    common ^= common >> 4
    common ^= common >> 2
    common ^= common >> 1
    matrix = (1 - 2 * (common & 1)).to(tl.float32)
    upper = rows.to(tl.bfloat16)
    lower = (rows - upper.to(tl.float32)).to(tl.bfloat16)
    if EMULATE:  # the interpreter multiplies the bits of bfloat16 as if they were integers
        result = tl.dot(upper.to(tl.float32), matrix, input_precision="ieee")
        if not EXACT:
            result = tl.dot(lower.to(tl.float32), matrix, result, input_precision="ieee")
    else:
        result = tl.dot(upper, matrix.to(tl.bfloat16))
        if not EXACT:
            result = tl.dot(lower, matrix.to(tl.bfloat16), result)
    return result


@triton.jit
def _source(
    output,
    number,
    low,
    high,
    key0,
    key1,
    SIZE: tl.constexpr,
    SHIFT: tl.constexpr,
):
    """Where each output comes from: the closed-form permutation of `randomness`."""
    source = output.to(tl.uint32)
    final = number
    for step in tl.static_range(_ROUNDS):
        counter = tl.full((1,), _COUNTER + step, tl.uint32)
        key = tl.philox_impl(counter, number, low, high, key0, key1)
        # Bits above log2(SIZE) are left to grow: they never reach the ones below.
        source = source * (key[0] | 1) + key[1]
        source = source ^ ((source >> SHIFT) & ((SIZE - 1) >> SHIFT))
        if step == 0:
            final = key[2]
    return ((source + final) & (SIZE - 1)).to(tl.int32)

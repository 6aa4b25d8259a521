"""How a flattened parameter is cut into blocks, and which of them a slice of it touches.

Invariant: the cut depends on the size of the whole parameter alone. Whoever holds a slice (a rank
under sharding) works on the same blocks as one who holds all of it, with zeros for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from motive.errors import UsageError

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


class Run(NamedTuple):
    """Consecutive blocks of one size.

    Attributes:
        first: Index of the first block within the parameter.
        last: One past the index of the last.
        size: b, a power of two.
        stride: Distance in elements between the starts of blocks: block i begins at i · stride.
    """

    first: int
    last: int
    size: int
    stride: int


def runs(start: int, stop: int, total: int, block: int, least: int, elements: int) -> Iterator[Run]:
    """The blocks that the elements start .. stop-1 of a parameter touch.

    All blocks are full but the last, which is cut to the next power of two. Plain integers, so
    parameters may be larger than 2^31.

    Args:
        start: First element of the slice.
        stop: One past its last element.
        total: Elements of the whole parameter.
        block: Largest block, a power of two.
        least: Smallest block (D'), a power of two.
        elements: Bound on the elements of one run; runs begin at multiples of it.
    """
    full, tail = divmod(total, block)
    step = max(1, elements // block)
    first, last = start // block, min(full, -(-stop // block))
    while first < last:
        end = min(last, (first // step + 1) * step)
        yield Run(first, end, block, block)
        first = end
    if tail and start < stop and stop > full * block:
        yield Run(full, full + 1, max(least, 1 << (tail - 1).bit_length()), block)


def flat_slice(
    name: str, gradient: torch.Tensor, start: int, total: int | None
) -> tuple[torch.Tensor, int]:
    """The slice as a contiguous vector, and the size of the whole parameter.

    Args:
        name: Of the parameter, for messages.
        gradient: The slice, any shape; flattened it is elements start, start + 1, ...
        start: Its place in the flattened parameter.
        total: Elements of the whole parameter; None: the slice ends it.

    Raises:
        UsageError: A dtype or layout that cannot be projected, or a slice beyond the parameter.
    """
    if gradient.layout != torch.strided:
        raise UsageError(
            f"parameter {name}: its gradient is sparse; make the layer with sparse=False"
        )
    if gradient.dtype not in DTYPES:
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
        raise UsageError(
            f"parameter {name}: its gradient is {str(gradient.dtype).removeprefix('torch.')}, "
            f"which cannot be projected; use one of {known}"
        )
    flat = gradient.detach().reshape(-1).contiguous()
    whole = start + flat.numel() if total is None else total
    if start < 0 or start + flat.numel() > whole:
        raise UsageError(
            f"parameter {name}: elements {start} to {start + flat.numel()} are not a slice of its "
            f"{whole} elements"
        )
    return flat, whole

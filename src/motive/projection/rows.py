"""Many gradients in one call of compiled code: several parameters, of several clips at once.

Two things make a call for every parameter of every clip slow on a CPU: a small parameter costs two
microseconds of work and fifty of bookkeeping, and the random numbers of a block, nearly half of the
work, are the same for all clips. Here both are paid once.

Invariant: the numbers are those of `Projection.partial`, bit for bit, so neither the other clips of
a batch, nor the other parameters of a call, nor the number of threads change a feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch

from motive.projection.blocks import flat_slice
from motive.projection.fastfood import BlockedFastfood
from motive.projection.hadamard import CHUNK_ELEMENTS, installed
from motive.projection.protocol import Projection
from motive.projection.randomness import gaussian_table, key_words

_NARROWEST_KERNEL = 8  # D' of at least one vector
_KERNEL_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_WORTH_A_THREAD = 1 << 17  # elements: a quarter of a millisecond of a core
_KEPT_BYTES = 32 << 20  # of random numbers per projection: enough for 5 million parameters
_KEPT_BYTES_PER_ELEMENT = 6
_MOST_PLANS = 4096


class Contributions(NamedTuple):
    """What m parameters contribute to the features of n clips.

    Attributes:
        projected: "m n d", what `Projection.partial` gives for each.
        squared_norms: ‖g‖² of each, at least float32 "m n".
    """

    projected: torch.Tensor
    squared_norms: torch.Tensor


def has_row_kernel(projection: Projection, gradient: torch.Tensor) -> bool:
    """Whether `project_rows` is one call of compiled code rather than a loop over `partial`."""
    return (
        # Exactly this class: a subclass may have changed what `partial` does.
        type(projection) is BlockedFastfood
        and projection.kernels
        and projection.dim >= _NARROWEST_KERNEL
        and gradient.device.type == "cpu"
        and gradient.dtype in _KERNEL_DTYPES
        and gradient.layout == torch.strided
        and installed("numba")
    )


def project_rows(
    projection: Projection, names: Sequence[str], gradients: Sequence[torch.Tensor]
) -> Contributions:
    """Contributions of whole parameters to the features of several clips.

    Args:
        projection: See `motive.projection`.
        names: Canonical names, m.
        gradients: One per parameter, "n ...": row i is the gradient of clip i. All of one dtype
            and device.

    Raises:
        UsageError: A dtype or layout that cannot be projected; the message names the parameter.
        ValueError: Gradients of several dtypes or devices.
    """
    first = gradients[0]
    if any(g.dtype != first.dtype or g.device != first.device for g in gradients):
        raise ValueError("gradients of one call must be of one dtype and device")
    if has_row_kernel(projection, first):
        assert isinstance(projection, BlockedFastfood)
        return _folded(projection, names, gradients)
    projected, norms = [], []
    for name, gradient in zip(names, gradients, strict=True):
        projected.append(torch.stack([projection.partial(name, row) for row in gradient]))
        norms.append(torch.stack([squared_norm(row) for row in gradient]))
    return Contributions(torch.stack(projected), torch.stack(norms))


def squared_norm(gradient: torch.Tensor) -> torch.Tensor:
    """‖g‖², a scalar of at least float32 on the gradient's device."""
    wide = gradient if gradient.dtype == torch.float64 else gradient.float()
    return wide.square().sum()


class _Plan(NamedTuple):
    """What depends on the projection and on which parameters are projected together; read only.

    Attributes:
        totals: Size of each parameter, int64 "m".
        words: Its key, uint64 "m 4".
        pieces: Tasks; see `row_kernels.fold_rows`.
        firsts: Number of each parameter's first task, int64 "m".
        kept: Random numbers that need not be made again, or two empty arrays.
    """

    totals: np.ndarray
    words: np.ndarray
    pieces: np.ndarray
    firsts: np.ndarray
    kept: tuple[np.ndarray, np.ndarray]


_Plans = dict[tuple[tuple[str, ...], tuple[int, ...]], _Plan]
_PLANS: WeakKeyDictionary[BlockedFastfood, _Plans] = WeakKeyDictionary()


def _folded(
    projection: BlockedFastfood, names: Sequence[str], gradients: Sequence[torch.Tensor]
) -> Contributions:
    """All parameters cut into the tasks of `partial`, which threads share out."""
    from motive.projection import cpu_kernels, row_kernels

    count = len(gradients[0])
    # Held until the end: the kernel reads them by address.
    flats = [
        gradient
        if gradient.is_contiguous()
        else flat_slice(name, gradient, 0, None)[0].view(count, -1)
        for name, gradient in zip(names, gradients, strict=True)
    ]
    sizes = tuple(flat.numel() // count for flat in flats)
    plan = _plan(projection, tuple(names), sizes)
    addresses = np.array([flat.data_ptr() for flat in flats], np.uint64)
    read_as = cpu_kernels.bits_of(flats[0].new_empty(0))
    width = max(projection.dim, cpu_kernels.NARROWEST_SUM)
    rows = np.zeros((len(plan.pieces), count, width), np.float32)
    norms = np.zeros((len(plan.pieces), count))
    table = gaussian_table().numpy()

    def work(part: slice) -> None:
        where = read_as, (addresses, plan.totals), plan.pieces[part], plan.words
        row_kernels.fold_rows(*where, plan.kept, table, rows[part], norms[part])

    threads = min(torch.get_num_threads(), count * sum(sizes) // _WORTH_A_THREAD)
    if threads > 1:
        list(_threads(threads).map(work, _shares(plan.pieces, threads)))
    else:
        work(slice(None))
    projected = np.empty((len(flats), count, projection.dim), np.float32)
    squared = np.empty((len(flats), count))
    row_kernels.sum_tasks(rows, norms, plan.firsts, projected, squared)
    return Contributions(torch.from_numpy(projected), torch.from_numpy(squared))


def _plan(projection: BlockedFastfood, names: tuple[str, ...], sizes: tuple[int, ...]) -> _Plan:
    plans = _PLANS.setdefault(projection, {})
    if (names, sizes) not in plans:
        if len(plans) >= _MOST_PLANS:
            plans.clear()
        free = _KEPT_BYTES - sum(array.nbytes for plan in plans.values() for array in plan.kept)
        plans[names, sizes] = _made_plan(projection, names, sizes, free)
    return plans[names, sizes]


def _made_plan(
    projection: BlockedFastfood, names: tuple[str, ...], sizes: tuple[int, ...], free: int
) -> _Plan:
    """The plan of some parameters, with their random numbers if these fit into `free` bytes."""
    from motive.projection import row_kernels

    words = np.array([key_words(projection.seed, name) for name in names], np.uint64)
    pieces: list[tuple[int, ...]] = []
    firsts, place = [], 0
    for parameter, size in enumerate(sizes):
        firsts.append(len(pieces))
        for task in projection.runs(0, size, size, CHUNK_ELEMENTS):
            pieces.append((parameter, *task, place))
            place += (task.last - task.first) * max(task.size, row_kernels.GROUP)
    table = np.array(pieces, np.int64).reshape(-1, 6)
    fits = place * _KEPT_BYTES_PER_ELEMENT <= free
    kept = (np.empty(place * fits, np.uint16), np.empty(place * fits, np.uint32))
    if fits:
        row_kernels.keep_randomness(table, words, *kept)
    else:
        table[:, 5] = -1
    return _Plan(np.array(sizes), words, table, np.array(firsts), kept)


def _shares(pieces: np.ndarray, threads: int) -> list[slice]:
    """Cut tasks into consecutive shares of about equal work."""
    done = np.cumsum((pieces[:, 2] - pieces[:, 1]) * pieces[:, 3])
    edges = np.searchsorted(done, done[-1] * np.arange(1, threads) / threads).tolist()
    return [slice(*ends) for ends in pairwise(sorted({0, *edges, len(pieces)}))]


@lru_cache(maxsize=4)
def _threads(count: int) -> ThreadPoolExecutor:
    """Kept: starting threads costs as much as projecting 50,000 numbers."""
    return ThreadPoolExecutor(count, thread_name_prefix="projection")

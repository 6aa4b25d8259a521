"""What Fastfood and SRHT share: blocks, signs, Walsh-Hadamard transform and permutation.

One definition of the numbers (`randomness`), three ways to compute them: numba on a CPU, Triton on
a GPU, and plain torch operations for everything else (float64, other devices, neither installed).
The way never decides a number beyond the last bits of float32.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch

from motive.errors import UsageError
from motive.projection.blocks import Run, flat_slice, runs
from motive.projection.randomness import (
    BlockRandomness,
    block_randomness,
    gaussian_table,
    key_words,
)

_CACHE_BYTES = 512 << 20  # randomness kept between clips, where torch makes it
_TORCH_ELEMENTS = 1 << 19  # elements that torch transforms at once: small enough for the cache
CHUNK_ELEMENTS = 1 << 18  # elements per task of the kernels: half a millisecond of a CPU core
_LARGEST_BLOCK = 1 << 20  # places and Gaussian indices share 32 bits in the kernels
_LARGEST_GPU_BLOCK = 1 << 15  # float32 in shared memory
_NARROWEST_KERNEL = 8  # D' of at least one vector


class BlockedHadamard(ABC):
    """Base of the streaming Hadamard projections; see `BlockedFastfood` and `BlockedSRHT`.

    Attributes:
        dim: D', a power of two.
        seed: Projection seed.
        block: Largest block, a power of two; 2^15 also fits a GPU's shared memory.
        cache_bytes: Upper bound on randomness kept between calls by the torch path (16 bytes per
            element); the kernels keep none.
        kernels: Use compiled kernels where there are any; off, torch operations everywhere.

    Raises:
        UsageError: A size that is no power of two, or out of range.
    """

    kind = "hadamard"
    version = 0
    samples = False  # rows are sampled (SRHT) instead of folded (Fastfood)

    def __init__(
        self,
        dim: int = 512,
        seed: int = 0,
        block: int = 1 << 15,
        cache_bytes: int = _CACHE_BYTES,
        kernels: bool = True,
    ) -> None:
        if dim < 4 or dim & (dim - 1):
            raise UsageError(f"projection size {dim}: must be a power of two, for example 512")
        if block & (block - 1) or not dim <= block <= _LARGEST_BLOCK:
            raise UsageError(
                f"projection block {block}: must be a power of two between the projection size "
                f"({dim}) and 2^20"
            )
        if not 0 <= seed < 1 << 64:
            raise UsageError(f"projection seed {seed}: must be between 0 and 2^64-1")
        self.dim, self.seed, self.block, self.cache_bytes = dim, seed, block, cache_bytes
        self.kernels = kernels
        self._cache: dict[tuple[str, Run, str], BlockRandomness] = {}
        self._cached_bytes = 0

    def identity(self) -> dict[str, object]:
        """Kind, version, D', seed and block: features agree only if all of them do."""
        return {
            "kind": self.kind,
            "version": self.version,
            "dim": self.dim,
            "seed": self.seed,
            "block": self.block,
        }

    def partial(
        self, name: str, gradient: torch.Tensor, start: int = 0, total: int | None = None
    ) -> torch.Tensor:
        """Contribution of one parameter or of a slice of it; see `ShardProjection.partial`."""
        flat, whole = flat_slice(name, gradient, start, total)
        narrow = self.dim < _NARROWEST_KERNEL or flat.dtype == torch.float64
        kernel = self.kernels and not narrow
        if kernel and flat.device.type == "cpu" and installed("numba"):
            return self._partial_on_cpu(name, flat, start, whole)
        if kernel and self.block <= _LARGEST_GPU_BLOCK and _runs_triton(flat.device):
            from motive.projection import gpu_kernels

            return gpu_kernels.partial(self, name, flat, start, whole)
        return self._partial_in_torch(name, flat, start, whole)

    @abstractmethod
    def finish(self, accumulated: torch.Tensor) -> torch.Tensor:
        """What is linear and the same for all parameters, done once: "d" -> "d"."""

    def runs(self, start: int, stop: int, total: int, elements: int) -> list[Run]:
        """The blocks that a slice touches, in pieces of at most `elements`."""
        return list(runs(start, stop, total, self.block, self.dim, elements))

    def _partial_on_cpu(
        self, name: str, flat: torch.Tensor, start: int, whole: int
    ) -> torch.Tensor:
        """One pass in compiled code; the tasks are fixed, whoever of the threads takes them."""
        from motive.projection import cpu_kernels

        values, kind = cpu_kernels.bits_of(flat)
        words = np.array(key_words(self.seed, name), np.uint64)
        table = _gaussian_array()
        tasks = self.runs(start, start + flat.numel(), whole, CHUNK_ELEMENTS)

        def work(run: Run, sums: np.ndarray) -> None:
            where = (values, kind, start, (run.first, run.last), (run.size, run.stride), words)
            if self.samples:
                cpu_kernels.sample(*where, self.dim, sums)
            else:
                cpu_kernels.fold(*where, table, sums)

        sums = sum_of_tasks(work, tasks, max(self.dim, cpu_kernels.NARROWEST_SUM))
        total = torch.from_numpy(sums)
        narrow = total[: self.dim] if self.samples else total.view(-1, self.dim).sum(0)
        return narrow.float()

    def _partial_in_torch(
        self, name: str, flat: torch.Tensor, start: int, whole: int
    ) -> torch.Tensor:
        dtype = torch.float64 if flat.dtype == torch.float64 else torch.float32
        result = torch.zeros(self.dim, dtype=dtype, device=flat.device)
        stop = start + flat.numel()
        for run in self.runs(start, stop, whole, _TORCH_ELEMENTS):
            begin = run.first * run.stride
            end = begin + (run.last - run.first) * run.size
            piece = flat[max(begin - start, 0) : end - start].to(dtype)
            before = max(start - begin, 0)
            padding = (before, end - begin - before - piece.numel())
            if any(padding):
                piece = torch.nn.functional.pad(piece, padding)
            randomness = self._randomness(name, run, flat.device)
            result += self._mix(piece.view(-1, run.size), randomness)
        return result

    @abstractmethod
    def _mix(self, blocks: torch.Tensor, randomness: BlockRandomness) -> torch.Tensor:
        """Contribution of whole blocks "n b" in torch operations."""

    def _randomness(self, name: str, run: Run, device: torch.device) -> BlockRandomness:
        key = (name, run, str(device))
        if key in self._cache:
            return self._cache[key]
        made = block_randomness(self.seed, name, run.first, run.last - run.first, run.size, device)
        size = sum(t.numel() * t.element_size() for t in made)
        if self._cached_bytes + size <= self.cache_bytes:
            self._cache[key] = made
            self._cached_bytes += size
        return made


def sum_of_tasks(
    work: Callable[[Run, np.ndarray], None], tasks: Sequence[Run], width: int
) -> np.ndarray:
    """Run tasks on as many threads as torch uses, and add up what they find, float64 "width".

    Every task has a row of its own and the rows are added in their order, so the sum does not
    depend on the number of threads or on who was faster.

    Args:
        work: Adds the task's contribution to a float32 row; must release the interpreter's lock.
        tasks: Fixed by the data alone.
        width: Length of a row.
    """
    rows = np.zeros((len(tasks), width), np.float32)
    threads = min(torch.get_num_threads(), len(tasks) // 2)  # a thread for less is not worth it
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, tasks, rows))
    else:
        for task, row in zip(tasks, rows, strict=True):
            work(task, row)
    with np.errstate(invalid="ignore"):  # infinities of both signs: NaN is the right sum
        return rows.sum(0, dtype=np.float64)


def hadamard(size: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Walsh-Hadamard matrix of ±1 in Sylvester order, "size size"; size is a power of two."""
    matrix = torch.ones(1, 1, dtype=dtype)
    while len(matrix) < size:
        matrix = torch.cat((torch.cat((matrix, matrix), 1), torch.cat((matrix, -matrix), 1)), 0)
    return matrix


def transform(rows: torch.Tensor) -> torch.Tensor:
    """Unnormalised Walsh-Hadamard transform of each row, "n b" -> "n b".

    H of size 2^(p+q) is the Kronecker product of H_p and H_q, so two small matrix products replace
    the butterflies: in torch operations 2.6 times faster on a CPU.
    """
    count, size = rows.shape
    bits = size.bit_length() - 1
    left, right = bits // 2, bits - bits // 2
    cube = rows.reshape(count, 1 << left, 1 << right)
    device = str(rows.device)
    cube = cube @ _factor(right, rows.dtype, device)
    cube = _factor(left, rows.dtype, device) @ cube
    return cube.reshape(count, size)


@lru_cache(maxsize=32)
def _factor(bits: int, dtype: torch.dtype, device: str) -> torch.Tensor:
    return hadamard(1 << bits, dtype).to(device)


@lru_cache(maxsize=1)
def _gaussian_array() -> np.ndarray:
    return gaussian_table().numpy()


@lru_cache(maxsize=4)
def installed(package: str) -> bool:
    """Whether an optional package can be imported."""
    return importlib.util.find_spec(package) is not None


@lru_cache(maxsize=16)
def _runs_triton(device: torch.device) -> bool:
    """Whether the GPU kernel can run: Triton and matrix products of bfloat16."""
    if device.type != "cuda" or not installed("triton"):
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)

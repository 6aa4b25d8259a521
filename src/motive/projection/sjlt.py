"""Hashed SJLT: each coordinate goes to s of the D' sums with a random sign [Kane & Nelson, 2014].

The D' sums are s groups of D'/s; repetition r sends a coordinate to one sum of group r. Bucket and
sign are one Philox word, so nothing is stored. With s = 1 this is the count sketch: the cheapest
projection there is, unbiased like the others, with more variance only where a gradient lives in few
coordinates; s = 4 is close to Gaussian there too.

Invariant: the word of an element depends on its place in the parameter, the parameter's name, the
seed and the repetition alone.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from motive.errors import UsageError
from motive.projection.blocks import Run, flat_slice, runs
from motive.projection.hadamard import CHUNK_ELEMENTS, installed, sum_of_tasks
from motive.projection.randomness import element_words, key_words

_BLOCK = 1 << 15  # unit in which elements are counted; part of the definition
_MOST_NONZEROS = 64


class HashedSJLT:
    """Streaming SJLT.

    Attributes:
        dim: D', a power of two up to 2^20.
        seed: Projection seed.
        nonzeros: s, a power of two: how many sums each coordinate enters.

    Raises:
        UsageError: A size that is no power of two, or out of range.

    Example:
        >>> projection = HashedSJLT(dim=8, seed=0)
        >>> once = projection.finish(projection.partial("layer.weight", torch.arange(40.0)))
        >>> float(once.abs().sum()) <= float(torch.arange(40.0).sum())
        True
    """

    def __init__(self, dim: int = 512, seed: int = 0, nonzeros: int = 1) -> None:
        if not 4 <= dim <= 1 << 20 or dim & (dim - 1):
            raise UsageError(f"projection size {dim}: must be a power of two, for example 512")
        most = min(dim, _MOST_NONZEROS)
        if not 1 <= nonzeros <= most or nonzeros & (nonzeros - 1):
            raise UsageError(
                f"projection nonzeros {nonzeros}: must be a power of two of at most {most}"
            )
        if not 0 <= seed < 1 << 64:
            raise UsageError(f"projection seed {seed}: must be between 0 and 2^64-1")
        self.dim, self.seed, self.nonzeros = dim, seed, nonzeros

    def identity(self) -> dict[str, object]:
        """Kind, version, D', seed and s: features agree only if all of them do."""
        return {
            "kind": "sjlt",
            "version": 1,
            "dim": self.dim,
            "seed": self.seed,
            "nonzeros": self.nonzeros,
        }

    def partial(
        self, name: str, gradient: torch.Tensor, start: int = 0, total: int | None = None
    ) -> torch.Tensor:
        """Contribution of one parameter or of a slice of it; see `ShardProjection.partial`."""
        flat, whole = flat_slice(name, gradient, start, total)
        stop = start + flat.numel()
        # A block of the counter is never cut shorter, so `whole` decides nothing here.
        padded = -(-whole // _BLOCK) * _BLOCK
        tasks = list(runs(start, stop, padded, _BLOCK, _BLOCK, CHUNK_ELEMENTS))
        if flat.device.type == "cpu" and flat.dtype != torch.float64 and installed("numba"):
            return self._partial_on_cpu(name, flat, start, tasks)
        dtype = torch.float64 if flat.dtype == torch.float64 else torch.float32
        result = torch.zeros(self.dim, dtype=dtype, device=flat.device)
        for run in tasks:
            begin, end = run.first * _BLOCK, run.last * _BLOCK
            piece = flat[max(begin - start, 0) : end - start].to(dtype)
            inside = slice(max(start - begin, 0), min(stop, end) - begin)
            self._scatter(name, run, piece, inside, result)
        return result

    def finish(self, accumulated: torch.Tensor) -> torch.Tensor:
        """Scale: every coordinate entered s sums."""
        return accumulated / math.sqrt(self.nonzeros)

    def _partial_on_cpu(
        self, name: str, flat: torch.Tensor, start: int, tasks: list[Run]
    ) -> torch.Tensor:
        from motive.projection import cpu_kernels

        values, kind = cpu_kernels.bits_of(flat)
        words = np.array(key_words(self.seed, name), np.uint64)

        def work(run: Run, sums: np.ndarray) -> None:
            blocks = (run.first, run.last)
            cpu_kernels.scatter(values, kind, start, blocks, _BLOCK, words, self.nonzeros, sums)

        return torch.from_numpy(sum_of_tasks(work, tasks, self.dim).astype(np.float32))

    def _scatter(
        self, name: str, run: Run, piece: torch.Tensor, inside: slice, result: torch.Tensor
    ) -> None:
        width = self.dim // self.nonzeros
        for repetition in range(self.nonzeros):
            words = element_words(
                self.seed, name, run.first, run.last - run.first, _BLOCK, piece.device, repetition
            ).reshape(-1)[inside]
            signed = torch.where(words >> 31 == 0, piece, -piece)
            place = (words & (width - 1)) + repetition * width
            # Unlike scatter_add, index_put is deterministic on a GPU: it sorts.
            result.index_put_((place,), signed, accumulate=True)

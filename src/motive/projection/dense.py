"""A dense Gaussian projection: the textbook operator that Fastfood is measured against."""

from __future__ import annotations

import math

import numpy as np
import torch

from motive.projection.blocks import flat_slice
from motive.projection.randomness import name_words


class DenseGaussian:
    """P with independent N(0, 1/D') entries, made again at every call. For tests and benchmarks.

    Attributes:
        dim: D'.
        seed: Projection seed.
    """

    def __init__(self, dim: int = 512, seed: int = 0) -> None:
        self.dim, self.seed = dim, seed

    def identity(self) -> dict[str, object]:
        """Kind, D' and seed."""
        return {"kind": "dense-gaussian", "version": 1, "dim": self.dim, "seed": self.seed}

    def partial(
        self, name: str, gradient: torch.Tensor, start: int = 0, total: int | None = None
    ) -> torch.Tensor:
        """P_name · gradient, or the part of it that a slice contributes; float64 stays float64."""
        flat, whole = flat_slice(name, gradient, start, total)
        flat = flat if flat.dtype == torch.float64 else flat.float()
        low, high = name_words(name)
        generator = np.random.Generator(np.random.Philox(key=[self.seed, high << 32 | low]))
        matrix = torch.from_numpy(generator.standard_normal((self.dim, whole)))
        matrix = matrix[:, start : start + flat.numel()]
        return matrix.to(flat) @ flat / math.sqrt(self.dim)

    def finish(self, accumulated: torch.Tensor) -> torch.Tensor:
        """Nothing is left to do."""
        return accumulated

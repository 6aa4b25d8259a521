"""MOTIVE's stored projections through the TRAK kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motive.bench.clipwork import FeatureSpec
from motive.bench.context import Bench
from motive.bench.methods.gradients import gradient_scores
from motive.influence import ridge_kernel_scores


@dataclass(frozen=True)
class RidgeKernel:
    """TRAK's preconditioner on the features that MOTIVE stores."""

    name: str = "MOTIVE, ridge kernel"
    key: str = "ridge-kernel"
    about: str = (
        "φ(v̂)ᵀ (ΦᵀΦ + λI)⁻¹ φ(v) on the same projections (TRAK), λ = the kernel's mean eigenvalue."
    )
    uses_pixels: bool = True
    quick: bool = True

    def scores(self, bench: Bench) -> np.ndarray:
        """Scores "q n"."""
        return gradient_scores(bench, FeatureSpec(), ridge_kernel_scores)


RIDGE_KERNEL = RidgeKernel()

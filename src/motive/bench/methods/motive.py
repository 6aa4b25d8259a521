"""MOTIVE: cosine of motion-weighted gradients  [paper eq. 8, 15-17]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motive.bench.clipwork import FeatureSpec
from motive.bench.context import Bench
from motive.bench.methods.gradients import gradient_scores
from motive.influence import cosine_scores


@dataclass(frozen=True)
class GradientCosine:
    """Cosine of projected gradients of one spec."""

    name: str
    key: str
    about: str
    spec: FeatureSpec
    quick: bool = True
    uses_pixels: bool = True

    def scores(self, bench: Bench) -> np.ndarray:
        """I = g̃(v̂)ᵀ g̃(v_n), "q n"."""
        return gradient_scores(
            bench, self.spec, lambda query, train: cosine_scores(query.vectors, train.vectors)
        )


MOTIVE = GradientCosine(
    "MOTIVE",
    "motive",
    "Cosine of projected motion-weighted gradients at t = 751: g̃(v̂)ᵀ g̃(v) (paper eq. 8, 17).",
    FeatureSpec(),
)

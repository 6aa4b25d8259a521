"""MOTIVE with the norms kept: strong gradients count more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motive.bench.clipwork import FeatureSpec
from motive.bench.context import Bench
from motive.bench.methods.gradients import gradient_scores
from motive.influence import dot_product_scores


@dataclass(frozen=True)
class DotProduct:
    """Dot product of projected gradients."""

    name: str = "MOTIVE, dot product"
    key: str = "dot-product"
    about: str = "(P ĝ)ᵀ (P g) of the same gradients, not normalised: first-order loss change."
    uses_pixels: bool = True
    quick: bool = True

    def scores(self, bench: Bench) -> np.ndarray:
        """Scores "q n"."""
        return gradient_scores(bench, FeatureSpec(), dot_product_scores)


DOT_PRODUCT = DotProduct()

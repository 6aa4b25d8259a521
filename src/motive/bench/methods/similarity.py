"""Shared by the methods that compare one vector per clip, without gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from motive.bench.context import Bench, Role
from motive.influence import cosine_scores, unit_rows


@dataclass(frozen=True)
class Similarity:
    """Cosine of one vector per clip."""

    name: str
    key: str
    about: str
    vectors: Callable[[Bench, Role], np.ndarray]  # "n ..."
    uses_pixels: bool = True
    centred: bool = True
    quick: bool = True

    def scores(self, bench: Bench) -> np.ndarray:
        """Scores "q n"."""
        train = self.vectors(bench, "candidates").astype(np.float64)
        query = self.vectors(bench, "queries").astype(np.float64)
        # Without the mean: all clips share a background brightness, which would fill the cosine.
        centre = train.mean(axis=0) if self.centred else 0.0
        return cosine_scores(unit_rows(query - centre), unit_rows(train - centre))

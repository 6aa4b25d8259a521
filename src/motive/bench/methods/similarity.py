"""Shared by the methods that compare one vector per clip, without gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from motive.bench.context import Bench, Role
from motive.influence import vector_cosine


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
        train, query = self.vectors(bench, "candidates"), self.vectors(bench, "queries")
        return vector_cosine(query, train, centred=self.centred)

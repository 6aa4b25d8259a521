"""Chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motive.bench.context import Bench


@dataclass(frozen=True)
class RandomScores:
    """Uniform random scores."""

    name: str = "random"
    key: str = "random"
    about: str = "Uniform random scores: what no knowledge gives."
    uses_pixels: bool = False
    quick: bool = True

    def scores(self, bench: Bench) -> np.ndarray:
        """Scores "q n"; the same for the same problem."""
        shape = len(bench.problem.queries), len(bench.problem.candidates)
        return np.random.default_rng(bench.seed).random(shape)


RANDOM = RandomScores()

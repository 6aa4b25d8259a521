"""Several noise levels, each compared with itself: scores are averaged, not gradients.

Averaging gradients first also compares one level's gradient with another's. Two clips share almost
nothing there (different noise), so those products add variance and no signal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motive.bench.context import Bench
from motive.bench.methods.gradients import gradient_scores
from motive.bench.methods.timesteps import TIMESTEPS
from motive.influence import cosine_scores


@dataclass(frozen=True)
class TimestepScores:
    """Mean over timesteps of the cosine at each; the same features as `TIMESTEPS`."""

    name: str = "MOTIVE, mean of 3 scores"
    key: str = "timestep-scores"
    about: str = "Mean over t = 751, 550, 300 of MOTIVE's cosine at each (TracIn's sum over pairs)."
    uses_pixels: bool = True
    quick: bool = False

    def scores(self, bench: Bench) -> np.ndarray:
        """Scores "q n"."""
        each = [
            gradient_scores(bench, spec, lambda q, n: cosine_scores(q.vectors, n.vectors))
            for spec in TIMESTEPS.spec.singles()
        ]
        mean: np.ndarray = np.mean(each, axis=0)
        return mean


TIMESTEP_SCORES = TimestepScores()

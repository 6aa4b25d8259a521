"""Motion magnitude: the clips that move most, whatever the query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motive.bench.context import Bench


@dataclass(frozen=True)
class MotionMagnitude:
    """Mean motion of the candidate."""

    name: str = "motion magnitude"
    key: str = "magnitude"
    about: str = "Mean optical flow of the candidate in pixels per frame; the same for all queries."
    uses_pixels: bool = False
    quick: bool = True

    def scores(self, bench: Bench) -> np.ndarray:
        """Scores "q n"."""
        magnitudes = bench.magnitudes("candidates")
        return np.tile(magnitudes, (len(bench.problem.queries), 1))


MAGNITUDE = MotionMagnitude()

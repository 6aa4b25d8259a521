"""Several gradients per clip, each compared with its own kind: scores are averaged, not gradients.

Averaging gradients first also compares gradients under different noise. Two clips share almost
nothing there, so those products add variance and no signal.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from motive.bench.clipwork import FeatureSpec
from motive.bench.context import Bench
from motive.bench.methods.gradients import gradient_scores
from motive.bench.methods.timesteps import TIMESTEPS
from motive.influence import cosine_scores


@dataclass(frozen=True)
class MeanOfScores:
    """Mean over specs of the cosine under each."""

    name: str
    key: str
    about: str
    specs: tuple[FeatureSpec, ...]
    quick: bool = False
    uses_pixels: bool = True

    def scores(self, bench: Bench) -> np.ndarray:
        """Scores "q n"."""
        each = [
            gradient_scores(bench, spec, lambda q, n: cosine_scores(q.vectors, n.vectors))
            for spec in self.specs
        ]
        mean: np.ndarray = np.mean(each, axis=0)
        return mean


TIMESTEP_SCORES = MeanOfScores(
    "MOTIVE, mean of 3 scores",
    "timestep-scores",
    "Mean over t = 751, 550, 300 of MOTIVE's cosine at each (TracIn's sum over pairs).",
    tuple(TIMESTEPS.spec.singles()),
)

_LATE = FeatureSpec(timesteps=(300.0,), caption=False, parameters=r"\.ffn\.")
_DRAWS = tuple(dataclasses.replace(_LATE, noise_seed=seed) for seed in range(3))

FEED_FORWARD = MeanOfScores(
    "MOTIVE, feed-forward at t = 300",
    "feed-forward",
    "Mean over 3 noise draws of the cosine at t = 300, feed-forward weights alone, empty caption: "
    "what a study of variants on a part of these clips found best.",
    _DRAWS,
)

FEED_FORWARD_NO_MASK = MeanOfScores(
    "feed-forward at t = 300, no mask",
    "feed-forward-no-mask",
    "The same with W ≡ 1.",
    tuple(dataclasses.replace(spec, mask=False) for spec in _DRAWS),
)

"""One score under other motion weights: what each option of the weights changes.

The score is MOTIVE's under the empty caption, whose frozen control is not helped by words. Its row
and these differ in the weights alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motive.bench.context import Bench
from motive.bench.methods.motive import GradientCosine
from motive.bench.methods.no_caption import NO_CAPTION


@dataclass(frozen=True)
class Reweighted:
    """A masked score under other motion weights."""

    name: str
    key: str
    about: str
    motion: str = "default"
    options: tuple[str, ...] = ()
    score: GradientCosine = NO_CAPTION
    quick: bool = False
    uses_pixels: bool = True

    def scores(self, bench: Bench) -> np.ndarray:
        """Scores "q n"."""
        return self.score.scores(bench.weighted(motion=self.motion, motion_options=self.options))


def _option(label: str, about: str, *options: str, motion: str = "default") -> Reweighted:
    return Reweighted(
        f"weights: {label}",
        f"weights-{label.replace(' ', '-')}",
        f"MOTIVE, empty caption, with other motion weights: {about}",
        motion,
        options,
    )


WEIGHTINGS = (
    _option("objects", "the preset objects (against the camera, robust).", motion="objects"),
    _option("residual", "what an affine camera does not explain.", "weight_by=residual"),
    _option("evidence", "only where the pictures prove motion.", "evidence=true"),
    _option("robust", "percentiles in place of extremes.", "normalise=robust"),
    _option("noise floor", "less than 0.3 px counts as none.", "noise_floor=0.3"),
    _option("max pool", "the largest of a latent frame's frames.", "pool=max"),
    _option("anchor", "cumulative from frame 0, in place.", "displacement=anchor"),
    _option(
        "anchor literal",
        "cumulative, left in frame 0's coordinates, as the paper has it.",
        "displacement=anchor-literal",
    ),
    _option("farneback", "Farneback's flow.", "tracker=farneback"),
    _option("codec", "the encoder's motion vectors.", "tracker=codec"),
)

"""Control: what gradients of a network that has learnt nothing find similar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motive.bench.context import Bench
from motive.bench.methods.motive import MOTIVE


@dataclass(frozen=True)
class UntrainedNetwork:
    """MOTIVE's features from a freshly initialised network of the same architecture."""

    name: str = "MOTIVE, untrained network"
    key: str = "untrained"
    about: str = (
        "Control: MOTIVE's features from random weights; what they retrieve was not learnt."
    )
    uses_pixels: bool = True
    quick: bool = False

    def scores(self, bench: Bench) -> np.ndarray:
        """Scores "q n"."""
        return MOTIVE.scores(bench.untrained())


UNTRAINED = UntrainedNetwork()

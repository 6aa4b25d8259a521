"""Scores that something else computed: a peer library's matrix, or features to compare."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motive.bench.context import Bench
from motive.bench.scorefile import read_scores


@dataclass(frozen=True)
class FromFile:
    """A score file (see `motive.bench.scorefile`); it cannot answer for control views."""

    name: str
    path: Path
    uses_pixels: bool = False
    quick: bool = True

    @property
    def key(self) -> str:
        """The name."""
        return self.name

    @property
    def about(self) -> str:
        """Where the scores come from."""
        return f"Scores read from {self.path.name}."

    def scores(self, bench: Bench) -> np.ndarray:
        """Scores "q n"."""
        return read_scores(self.path, bench.problem)

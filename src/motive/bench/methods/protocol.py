"""What a method is: a name on the board and a score for every query and candidate."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from motive.bench.context import Bench


class Method(Protocol):
    """One row of the board.

    Attributes:
        name: As the board shows it.
        key: As the command line calls it.
        about: One sentence with the equation or the source.
        uses_pixels: Whether scores can differ between views; where not, the frozen and shuffled
            controls are the same number by construction.
        quick: Whether the quick board includes it.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def about(self) -> str: ...  # noqa: D102
    @property
    def uses_pixels(self) -> bool: ...  # noqa: D102
    @property
    def quick(self) -> bool: ...  # noqa: D102

    def scores(self, bench: Bench) -> np.ndarray:
        """Influence of every candidate on every query, "q n"; higher is more positive."""
        ...

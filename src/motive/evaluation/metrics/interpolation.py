"""Motion smoothness: can every second frame be guessed from its neighbours?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import cv2
import numpy as np

from motive.errors import ModelError
from motive.evaluation.metrics.flow import backward_flow, forward_flow, pixel_grid, sample
from motive.evaluation.metrics.formulas import smoothness
from motive.evaluation.metrics.plugins import callable_identity, load_callable
from motive.evaluation.metrics.protocol import Opened, Readings
from motive.motion import DISTracker


class Interpolator(Protocol):
    """The frame in the middle of two others."""

    @property
    def settings(self) -> Mapping[str, Any]: ...  # noqa: D102
    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """uint8 "h w 3" twice -> uint8 "h w 3"."""


class DISMidpoint:
    """Both frames moved half way along their DIS flow to each other, averaged.

    The built-in interpolator. It is no AMT-S: it blurs where something is uncovered.
    """

    def __init__(self) -> None:
        self.tracker = DISTracker()

    @property
    def settings(self) -> Mapping[str, Any]:
        """The flow's."""
        return {"interpolator": "DIS midpoint", "tracker": self.tracker.settings}

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The frame in the middle."""
        pair = np.stack([first, second])
        there, back = forward_flow(self.tracker, pair)[0], backward_flow(self.tracker, pair)[0]
        grid = pixel_grid(*first.shape[:2])
        from_first = sample(first.astype(np.float32), grid - there / 2)
        from_second = sample(second.astype(np.float32), grid - back / 2)
        return np.clip((from_first + from_second) / 2 + 0.5, 0, 255).astype(np.uint8)


class NamedInterpolator:
    """A function of the user's: how AMT-S (CC-BY-NC-4.0, not part of this package) comes in.

    Args:
        text: "FILE.py:FUNCTION" or "MODULE:FUNCTION", taking and giving what `Interpolator` says.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._function: Any = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its name."""
        return {"interpolator": callable_identity(self.text)}

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The frame in the middle.

        Raises:
            ModelError: The function gave something else.
        """
        if self._function is None:
            self._function = load_callable(self.text)
        found = self._function(first, second)
        if not isinstance(found, np.ndarray) or (found.shape, found.dtype) != (
            first.shape,
            np.dtype(np.uint8),
        ):
            raise ModelError(
                f"{self.text}: must return a uint8 array {first.shape}, returned "
                f"{type(found).__name__} {getattr(found, 'shape', '')}"
            )
        return found


class InterpolationSmoothness:
    """(255 − mean |I_odd − Î_odd|) / 255, Î interpolated between the even neighbours.

    Args:
        key: "motion_smoothness" with AMT-S, "interpolation_smoothness" with the built-in one.
        interpolator: Makes Î.
    """

    def __init__(self, key: str, interpolator: Interpolator) -> None:
        self.key, self.interpolator = key, interpolator

    @property
    def keys(self) -> tuple[str, ...]:
        """One metric."""
        return (self.key,)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The interpolator's."""
        return {"formula": 1, **self.interpolator.settings}

    def begin(self, video: Opened) -> SmoothnessTally:
        """Holds two frames."""
        return SmoothnessTally(self.key, self.interpolator)


class SmoothnessTally:
    """Differences of the odd frames."""

    def __init__(self, key: str, interpolator: Interpolator) -> None:
        self.key, self.interpolator = key, interpolator
        self.differences: list[float] = []
        self._waiting: list[np.ndarray] = []  # an even frame, and the odd one after it

    def add(self, frames: np.ndarray) -> None:
        """Take the next frames."""
        for frame in frames:
            self._waiting.append(frame.copy())
            if len(self._waiting) == 3:
                even, odd, later = self._waiting
                guess = self.interpolator(even, later)
                self.differences.append(float(cv2.absdiff(odd, guess).mean()))
                self._waiting = [later]

    def finish(self) -> Readings:
        """The one metric; a last frame without an even neighbour after it is not judged."""
        if not self.differences:
            return {self.key: "fewer than three frames; needs a neighbour on both sides"}
        return {self.key: smoothness(self.differences)}

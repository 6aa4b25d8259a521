"""Built-in measures look at videos of one scale: resolution decides neither time nor score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from motive.evaluation.metrics.protocol import Measure, Opened, Readings, Tally

WORKING_SIDE = 256  # px of the shorter side; smaller videos stay as they are


class AtWorkingSize:
    """A measure that is shown frames whose shorter side is at most 256 pixels.

    Args:
        measure: What is measured.
    """

    def __init__(self, measure: Measure) -> None:
        self.measure = measure

    @property
    def keys(self) -> tuple[str, ...]:
        """The measure's."""
        return self.measure.keys

    @property
    def settings(self) -> Mapping[str, Any]:
        """The measure's, and the size."""
        return {**self.measure.settings, "shorter_side": WORKING_SIDE}

    def begin(self, video: Opened) -> Tally:
        """A tally of the smaller frames."""
        height, width = working_size(video.height, video.width)
        smaller = replace(video, height=height, width=width)
        return _Shrunk(self.measure.begin(smaller), (height, width))


class _Shrunk:
    def __init__(self, tally: Tally, size: tuple[int, int]) -> None:
        self.tally, self.size = tally, size

    def add(self, frames: np.ndarray) -> None:
        if frames.shape[1:3] != self.size:
            frames = np.stack([_area_resize(frame, self.size) for frame in frames])
        self.tally.add(frames)

    def finish(self) -> Readings:
        return self.tally.finish()


def working_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) at which built-in measures look.

    Example:
        >>> working_size(480, 832), working_size(64, 64)
        ((256, 444), (64, 64))
    """
    scale = min(1.0, WORKING_SIDE / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _area_resize(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(frame, (size[1], size[0]), interpolation=cv2.INTER_AREA)

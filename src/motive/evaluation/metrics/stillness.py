"""Frozen frames, still areas and flicker: what moves too little, or back and forth."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from motive.evaluation.metrics.consistency import ONE_FRAME
from motive.evaluation.metrics.flow import Overlapping
from motive.evaluation.metrics.protocol import Opened, Readings

_BLOCK = 8  # px
_CHANGES = 2.0  # grey levels, mean over a block; compression of a still picture stays below


class Stillness:
    """Three metrics over blocks of 8x8 pixels, in grey levels of 255.

    A block changes between two frames if its mean absolute difference is above 2 grey levels.
    Frozen frames: share of pairs of neighbours in which no block changes. Still area: share of
    blocks that never change. Flicker: with d_t the change of a block's mean brightness from frame t
    to t+1, the mean over blocks and time of min(|d_t|, |d_{t+1}|) where their signs differ: change
    that the next frame takes back.
    """

    keys = ("frozen_frames", "still_area", "flicker")

    @property
    def settings(self) -> Mapping[str, Any]:
        """Block and threshold."""
        return {"formula": 1, "block": _BLOCK, "changes": _CHANGES}

    def begin(self, video: Opened) -> StillnessTally:
        """Holds one frame and two maps of blocks."""
        return StillnessTally(video)


class StillnessTally:
    """Sums over pairs of frames."""

    def __init__(self, video: Opened) -> None:
        self.blocks = max(1, video.width // _BLOCK), max(1, video.height // _BLOCK)
        self.joined = Overlapping()
        self.frozen: list[bool] = []
        self.still = np.ones(self.blocks[::-1], bool)
        self.taken_back: list[float] = []
        self._step: np.ndarray | None = None

    def add(self, frames: np.ndarray) -> None:
        """Take the next frames."""
        chunk = self.joined.join(frames)
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in chunk]
        for now, later in pairwise(grey):
            same = self._means(np.abs(later - now)) <= _CHANGES
            self.frozen.append(bool(same.all()))
            self.still &= same
            step = self._means(later - now)
            if self._step is not None:
                smaller = np.minimum(np.abs(step), np.abs(self._step))
                self.taken_back.append(float((smaller * (step * self._step < 0)).mean()))
            self._step = step

    def finish(self) -> Readings:
        """The three metrics."""
        if not self.frozen:
            return dict.fromkeys(Stillness.keys, ONE_FRAME)
        flicker = float(np.mean(self.taken_back)) if self.taken_back else "fewer than three frames"
        return {
            "frozen_frames": float(np.mean(self.frozen)),
            "still_area": float(self.still.mean()),
            "flicker": flicker,
        }

    def _means(self, values: np.ndarray) -> np.ndarray:
        """Mean of every block, "rows columns"; what no block covers joins its neighbours."""
        return cv2.resize(values, self.blocks, interpolation=cv2.INTER_AREA)

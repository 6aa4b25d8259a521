"""Dynamic degree: does enough of the picture move often enough?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from motive.evaluation.metrics.consistency import ONE_FRAME
from motive.evaluation.metrics.flow import EveryNth, FlowTracker, Overlapping, forward_flow
from motive.evaluation.metrics.formulas import (
    dynamic_margin,
    is_dynamic,
    sampling_interval,
    top_magnitude,
)
from motive.evaluation.metrics.protocol import Opened, Readings

_MOST_PAIRS = 8  # flows held at a time


class DynamicDegree:
    """VBench's yes or no, and its margin.

    Args:
        keys: The yes or no, and the margin.
        tracker: RAFT (trained on things) gives VBench's number; any other flow, its own.
    """

    def __init__(self, keys: tuple[str, str], tracker: FlowTracker) -> None:
        self.keys, self.tracker = keys, tracker

    @property
    def settings(self) -> Mapping[str, Any]:
        """The tracker's."""
        return {"formula": 1, "tracker": self.tracker.settings}

    def begin(self, video: Opened) -> DynamicTally:
        """Samples about 8 frames per second by counting frames, as VBench does."""
        return DynamicTally(self.keys, self.tracker, video)


class DynamicTally:
    """Top magnitudes of every sampled pair."""

    def __init__(self, keys: tuple[str, str], tracker: FlowTracker, video: Opened) -> None:
        self.keys, self.tracker, self.video = keys, tracker, video
        self.sampled = EveryNth(sampling_interval(video.fps))
        self.joined = Overlapping()
        self.magnitudes: list[float] = []

    def add(self, frames: np.ndarray) -> None:
        """Take the next frames."""
        picked = self.sampled.pick(frames)
        if not len(picked):
            return
        chunk = self.joined.join(picked)
        for first in range(0, len(chunk) - 1, _MOST_PAIRS):
            flows = forward_flow(self.tracker, chunk[first : first + _MOST_PAIRS + 1])
            self.magnitudes += [top_magnitude(flow) for flow in flows]

    def finish(self) -> Readings:
        """Both metrics."""
        answer, margin = self.keys
        if not self.magnitudes:
            why = ONE_FRAME if self.sampled.interval == 1 else "one frame at 8 fps; needs two"
            return dict.fromkeys(self.keys, why)
        size = self.video.height, self.video.width
        return {
            answer: float(is_dynamic(self.magnitudes, *size)),
            margin: dynamic_margin(self.magnitudes, *size),
        }

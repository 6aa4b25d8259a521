"""What optical flow says about a video: smoothness, jerk, warping error, consistency.

Notation: F_t(x) is the flow from frame t to t+1 at pixel x, x' = x + F_t(x) where that pixel goes.
A pixel counts where it stays in the picture and is not covered: forward and backward flow cancel,
‖F + B(x')‖² ≤ 0.01 (‖F‖² + ‖B(x')‖²) + 0.5 (Ruder et al. 2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from motive.evaluation.metrics.consistency import ONE_FRAME
from motive.evaluation.metrics.flow import (
    FlowTracker,
    Overlapping,
    backward_flow,
    forward_flow,
    inside,
    pixel_grid,
    sample,
)
from motive.evaluation.metrics.protocol import Opened, Readings

MOVES = 0.5 / 256  # of the shorter side per frame: what counts as moving
_STILL = "nothing moves (no pixel by half a pixel per frame at a height of 256)"


class FlowQuality:
    """Four metrics from the flow between all neighbours.

    Smoothness is 1 − Σ‖F_{t+1}(x') − F_t(x)‖ / Σ(‖F_{t+1}(x')‖ + ‖F_t(x)‖) over moving pixels: 1
    when every pixel keeps its velocity, 0 when every velocity turns around. Jerk is the same ratio
    for F_{t+2} − 2 F_{t+1} + F_t, without "1 −". Warping error is the mean squared difference of a
    frame and the next one moved back onto it, values in [0, 1] (Lai et al. 2018); temporal
    consistency the mean structural similarity (Wang et al. 2004) of the two.

    Args:
        tracker: Gives the flow.
    """

    keys = ("flow_smoothness", "flow_jerk", "warping_error", "temporal_consistency")

    def __init__(self, tracker: FlowTracker) -> None:
        self.tracker = tracker

    @property
    def settings(self) -> Mapping[str, Any]:
        """The tracker's."""
        return {"formula": 1, "tracker": self.tracker.settings}

    def begin(self, video: Opened) -> FlowTally:
        """Holds one frame and two flows between chunks."""
        return FlowTally(self.tracker, video)


class FlowTally:
    """Sums over pixels, and per pair of frames the warping error and the similarity."""

    def __init__(self, tracker: FlowTracker, video: Opened) -> None:
        self.tracker = tracker
        self.moves = MOVES * min(video.height, video.width)
        self.grid = pixel_grid(video.height, video.width)
        self.joined = Overlapping()
        self.past: list[tuple[np.ndarray, np.ndarray]] = []  # (flow, visible) of the last two pairs
        self.changes = np.zeros((2, 2))  # acceleration, jerk x (numerator, denominator)
        self.errors: list[float] = []
        self.similarities: list[float] = []

    def add(self, frames: np.ndarray) -> None:
        """Take the next frames."""
        chunk = self.joined.join(frames)
        if len(chunk) < 2:
            return
        flows, backs = forward_flow(self.tracker, chunk), backward_flow(self.tracker, chunk)
        for (now, later), flow, back in zip(pairwise(chunk), flows, backs, strict=True):
            places = self.grid + flow
            visible = inside(places) & cancels(flow, sample(back, places))
            self._compare(now, sample(later, places), visible)
            self._follow(flow, visible)

    def finish(self) -> Readings:
        """The four metrics."""
        if not self.errors and not self.similarities and not self.past:
            return dict.fromkeys(FlowQuality.keys, ONE_FRAME)
        found: Readings = {}
        hidden = "no pixel can be followed from one frame to the next"
        found["warping_error"] = float(np.mean(self.errors)) if self.errors else hidden
        found["temporal_consistency"] = (
            float(np.mean(self.similarities)) if self.similarities else hidden
        )
        for key, need, (part, whole) in zip(
            ("flow_smoothness", "flow_jerk"), ("three", "four"), self.changes, strict=True
        ):
            short = len(self.past) < (2 if need == "three" else 3)
            why = f"fewer than {need} frames" if short else _STILL
            found[key] = why if whole == 0 else float(part / whole)
        smooth = found["flow_smoothness"]
        found["flow_smoothness"] = smooth if isinstance(smooth, str) else 1.0 - smooth
        return found

    def _compare(self, now: np.ndarray, warped: np.ndarray, visible: np.ndarray) -> None:
        if not visible.any():
            return
        difference = (now.astype(np.float32) - warped.astype(np.float32)) / 255.0
        self.errors.append(float(np.square(difference).mean(axis=2)[visible].mean()))
        grey, other = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (now, warped))
        self.similarities.append(float(structural_similarity(grey, other)[visible].mean()))

    def _follow(self, flow: np.ndarray, visible: np.ndarray) -> None:
        """Velocities along the paths of the pixels that are seen in this pair and those before."""
        self.past.append((flow, visible))
        self.past = self.past[-3:]
        for order, row in ((1, 0), (2, 1)):
            if len(self.past) > order:
                self.changes[row] += self._change(self.past[-order - 1 :])

    def _change(self, pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """(Σ‖difference‖, Σ of its parts' lengths) over moving pixels, for two or three flows."""
        places, seen = self.grid, np.ones(self.grid.shape[:2], bool)
        speeds = []
        for flow, visible in pairs:
            seen &= sample(visible.astype(np.float32), places) > 0.99
            speeds.append(sample(flow, places))
            places = places + speeds[-1]
        signs = (-1.0, 1.0) if len(speeds) == 2 else (1.0, -2.0, 1.0)
        lengths = [np.linalg.norm(speed, axis=2) for speed in speeds]
        counted = seen & (np.max(lengths, axis=0) > self.moves)
        change = sum(sign * speed for sign, speed in zip(signs, speeds, strict=True))
        whole = sum(abs(sign) * length for sign, length in zip(signs, lengths, strict=True))
        part = np.linalg.norm(np.asarray(change)[counted], axis=1).sum(dtype=np.float64)
        return np.array([part, np.asarray(whole)[counted].sum(dtype=np.float64)])


def cancels(flow: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Where forward and backward flow cancel, so that the pixel is not covered: bool "h w"."""
    rest = np.square(flow + back).sum(axis=2)
    size = np.square(flow).sum(axis=2) + np.square(back).sum(axis=2)
    found: np.ndarray = rest <= 0.01 * size + 0.5
    return found


def structural_similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """SSIM map of two grey pictures, uint8 "h w": Gaussian window of σ = 1.5, K = (0.01, 0.03).

    Wang et al. 2004, equation 13.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)

    def blur(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    likeness = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    found: np.ndarray = likeness / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return found

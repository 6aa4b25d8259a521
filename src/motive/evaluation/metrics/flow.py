"""Flow between consecutive frames of a stream, and pictures moved along it."""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np
import torch


class FlowTracker(Protocol):
    """What is needed of a tracker of `motive.motion`."""

    @property
    def settings(self) -> dict[str, Any]: ...  # noqa: D102
    def consecutive(self, frames: torch.Tensor) -> torch.Tensor: ...  # noqa: D102


def forward_flow(tracker: FlowTracker, frames: np.ndarray) -> np.ndarray:
    """Flow from each frame to the next, uint8 "k h w 3" -> float32 "k-1 h w 2"."""
    if len(frames) < 2:
        return np.zeros((0, *frames.shape[1:3], 2), np.float32)
    found = tracker.consecutive(torch.from_numpy(np.ascontiguousarray(frames)))
    return found[:-1].numpy()


def backward_flow(tracker: FlowTracker, frames: np.ndarray) -> np.ndarray:
    """Flow from each frame but the first to the one before it, "k-1 h w 2"."""
    return forward_flow(tracker, frames[::-1])[::-1]


class Overlapping:
    """Joins chunks of a stream so that no pair of neighbours is lost between two of them.

    Args:
        overlap: Frames of the last chunk that are given again.
    """

    def __init__(self, overlap: int = 1) -> None:
        self.overlap = overlap
        self._held: np.ndarray | None = None

    def join(self, frames: np.ndarray) -> np.ndarray:
        """The held frames and these, "k h w 3"."""
        if self._held is not None:
            frames = np.concatenate([self._held, frames])
        self._held = frames[-self.overlap :].copy()
        return frames


class EveryNth:
    """Every n-th frame of a stream, starting with the first.

    Args:
        interval: n.
    """

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self._seen = 0

    def pick(self, frames: np.ndarray) -> np.ndarray:
        """Those of the next frames that count, "k h w 3"; may be none."""
        first = -self._seen % self.interval
        self._seen += len(frames)
        return frames[first :: self.interval]


def pixel_grid(height: int, width: int) -> np.ndarray:
    """(x, y) of every pixel, float32 "h w 2"."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([x, y], axis=-1)


def sample(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Bilinear values of a picture "h w ..." at places "h w 2" (x, y); the edge is repeated."""
    return cv2.remap(
        picture,
        places,
        None,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,  # type: ignore[call-overload]
    )


def inside(places: np.ndarray) -> np.ndarray:
    """Which places lie in the picture, bool "h w"."""
    height, width = places.shape[:2]
    x, y = places[..., 0], places[..., 1]
    found: np.ndarray = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return found

"""Trackers: how far every pixel of a clip moves.

Invariant: a tracker is a pure function of the frames and its settings, so that weights can be
cached and compared; everything that changes its numbers stands in `settings`.

Displacements are (dx, dy) in pixels of the given frames, x to the right and y down.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Protocol

import cv2
import numpy as np
import torch

from motive.errors import UsageError

Preset = Literal["ultrafast", "fast", "medium"]

_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
_DIS_SMALLEST = 32  # below 12 px OpenCV refuses or crashes; 32 keeps well clear of that


class Tracker(Protocol):
    """Dense displacement of every pixel of a clip."""

    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that changes the numbers, for the fingerprint: JSON values only."""

    def consecutive(self, frames: torch.Tensor) -> torch.Tensor:
        """Displacement from each frame to the next, in that frame's own coordinates.

        The last frame has no next: it gets minus its displacement to the frame before.

        Args:
            frames: uint8 "f h w 3", RGB.

        Returns:
            float32 "f h w 2", (dx, dy) in pixels; zeros for a single frame.
        """

    def anchor(self, frames: torch.Tensor) -> torch.Tensor:
        """Displacement from frame 0 to every frame, in frame 0's coordinates (cumulative).

        Args:
            frames: uint8 "f h w 3", RGB.

        Returns:
            float32 "f h w 2", (dx, dy) in pixels; zeros for frame 0.
        """


class DISTracker:
    """OpenCV's Dense Inverse Search flow: no weights, CPU, the same numbers for any thread count.

    DIS works at half resolution or less, so objects of a few pixels are lost in small frames.
    Frames whose shorter side is below `min_side` are therefore enlarged by a whole factor first and
    the flow is brought back. At 64 px, doubling halves the error on a moving disc of 23 px from
    1.3 to 0.5 px; `min_side=256` brings it to 0.2 px at four times the time.
    """

    name = "dis"

    def __init__(self, preset: Preset = "medium", min_side: int = 128) -> None:
        """Choose the settings.

        Args:
            preset: OpenCV's trade-off between speed and quality.
            min_side: Shorter side in pixels below which frames are enlarged, at least 32.

        Raises:
            UsageError: An unknown preset, or a `min_side` below 32.
        """
        if preset not in _PRESETS:
            raise UsageError(f"preset={preset!r}: must be one of {', '.join(_PRESETS)}")
        if min_side < _DIS_SMALLEST:
            raise UsageError(f"min_side={min_side}: must be at least {_DIS_SMALLEST}")
        self.preset = preset
        self.min_side = min_side

    @property
    def settings(self) -> dict[str, Any]:
        """Name, preset and smallest side."""
        return {"name": self.name, "preset": self.preset, "min_side": self.min_side}

    def consecutive(self, frames: torch.Tensor) -> torch.Tensor:
        """Displacement to the next frame; see `Tracker.consecutive`."""
        grey, factor = self._prepare(frames)
        count, height, width, _ = frames.shape
        flow = torch.zeros(count, height, width, 2)
        for f in range(count - 1):
            flow[f] = _to_size(self._flow(grey[f], grey[f + 1]), factor)
        if count > 1:
            flow[-1] = -_to_size(self._flow(grey[-1], grey[-2]), factor)
        return flow

    def anchor(self, frames: torch.Tensor) -> torch.Tensor:
        """Displacement from frame 0; see `Tracker.anchor`.

        Each search starts from the flow to the frame before, so that displacements larger than
        what DIS finds in one step are followed as they build up.
        """
        grey, factor = self._prepare(frames)
        count, height, width, _ = frames.shape
        flow = torch.zeros(count, height, width, 2)
        current: np.ndarray | None = None
        for f in range(1, count):
            current = self._flow(grey[0], grey[f], current)
            flow[f] = _to_size(current, factor)
        return flow

    def _prepare(self, frames: torch.Tensor) -> tuple[list[np.ndarray], int]:
        """Grey frames, enlarged by the returned whole factor where they are small."""
        if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
            raise UsageError(
                f"frames {frames.dtype} {tuple(frames.shape)}: must be uint8 'f h w 3'"
            )
        factor = max(1, math.ceil(self.min_side / min(frames.shape[1:3])))
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames.cpu().numpy()]
        if factor > 1:
            how = cv2.INTER_CUBIC
            grey = [cv2.resize(g, None, fx=factor, fy=factor, interpolation=how) for g in grey]
        return grey, factor

    def _flow(
        self, first: np.ndarray, second: np.ndarray, start: np.ndarray | None = None
    ) -> np.ndarray:
        """Flow "h w 2" from one grey frame to another, searched from `start`."""
        search = cv2.DISOpticalFlow.create(_PRESETS[self.preset])
        initial: Any = None if start is None else start.copy()  # calc writes into it
        return search.calc(first, second, initial)


def get_tracker(name: str, **options: Any) -> Tracker:
    """The tracker of this name.

    Args:
        name: One of `TRACKERS`.
        options: The tracker's own settings.

    Raises:
        UsageError: An unknown name, or options that this tracker does not have.
    """
    if name not in TRACKERS:
        raise UsageError(f"tracker={name!r}: must be one of {', '.join(TRACKERS)}")
    try:
        return TRACKERS[name](**options)
    except TypeError as error:
        raise UsageError(f"tracker={name!r}: {error}") from None


TRACKERS: dict[str, type[DISTracker]] = {DISTracker.name: DISTracker}


def _to_size(flow: np.ndarray, factor: int) -> torch.Tensor:
    """Flow of enlarged frames, in the pixels of the original ones."""
    if factor > 1:
        height, width = flow.shape[0] // factor, flow.shape[1] // factor
        flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / factor
    return torch.from_numpy(flow)

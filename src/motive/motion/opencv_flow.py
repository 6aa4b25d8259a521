"""Optical flow by OpenCV: no weights, CPU, the same numbers for any thread count.

Both methods lose objects of a few pixels in small frames. Frames whose shorter side is below
`min_side` are therefore enlarged by a whole factor first and the flow is brought back.
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from typing import Any, Literal

import cv2
import numpy as np
import torch

from motive.errors import UsageError
from motive.motion.side_by_side import side_by_side

Preset = Literal["ultrafast", "fast", "medium"]

_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
_SMALLEST = 32  # DIS refuses or crashes below 12 px; 32 keeps well clear of that


class _PairFlow(ABC):
    """Displacements of a clip from a flow between two grey frames."""

    name: str

    def __init__(self, min_side: int) -> None:
        if min_side < _SMALLEST:
            raise UsageError(f"min_side={min_side}: must be at least {_SMALLEST}")
        self.min_side = min_side

    def consecutive(self, frames: torch.Tensor) -> torch.Tensor:
        """Displacement to the next frame; see `Tracker.consecutive`."""
        grey, factor = self._prepare(frames)
        count, height, width, _ = frames.shape
        flow = torch.zeros(count, height, width, 2)
        if count < 2:
            return flow
        others = [*range(1, count), count - 2]  # of the last frame: the one before

        def step(f: int) -> torch.Tensor:
            return _to_size(self._flow(grey[f], grey[others[f]]), factor)

        for f, found in enumerate(side_by_side(step, count)):
            flow[f] = found
        flow[-1].neg_()
        return flow

    def anchor(self, frames: torch.Tensor) -> torch.Tensor:
        """Displacement from frame 0; see `Tracker.anchor`.

        Each search starts from the flow to the frame before, so that displacements larger than
        what is found in one step are followed as they build up.
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

    @abstractmethod
    def _flow(
        self, first: np.ndarray, second: np.ndarray, start: np.ndarray | None = None
    ) -> np.ndarray:
        """Flow "h w 2" from one grey frame to another, searched from `start`."""


class DISTracker(_PairFlow):
    """Dense Inverse Search flow.

    DIS works at half resolution or less. At 64 px, doubling halves the error on a moving disc of
    23 px from 1.3 to 0.5 px; `min_side=256` brings it to 0.2 px at four times the time.
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
        super().__init__(min_side)
        self.preset = preset
        self._own = threading.local()

    @property
    def settings(self) -> dict[str, Any]:
        """Name, preset and smallest side."""
        return {"name": self.name, "preset": self.preset, "min_side": self.min_side}

    def _flow(
        self, first: np.ndarray, second: np.ndarray, start: np.ndarray | None = None
    ) -> np.ndarray:
        # A search keeps its buffers, a tenth of its time, and must not be shared by threads.
        if not hasattr(self._own, "search"):
            self._own.search = cv2.DISOpticalFlow.create(_PRESETS[self.preset])
        initial: Any = None if start is None else start.copy()  # calc writes into it
        found: np.ndarray = self._own.search.calc(first, second, initial)
        return found


class FarnebackTracker(_PairFlow):
    """Farneback's polynomial expansion flow: older and smoother than DIS.

    Pyramid of halves down to 16 px, three iterations a level, polynomials over 5 px: OpenCV's
    usual values.
    """

    name = "farneback"

    def __init__(self, window: int = 15, min_side: int = 128) -> None:
        """Choose the settings.

        Args:
            window: Side in pixels of the neighbourhood that is taken to move alike, from 3 on.
            min_side: Shorter side in pixels below which frames are enlarged, at least 32.

        Raises:
            UsageError: A `window` below 3, or a `min_side` below 32.
        """
        if window < 3:
            raise UsageError(f"window={window}: must be at least 3")
        super().__init__(min_side)
        self.window = window

    @property
    def settings(self) -> dict[str, Any]:
        """Name, window and smallest side."""
        return {"name": self.name, "window": self.window, "min_side": self.min_side}

    def _flow(
        self, first: np.ndarray, second: np.ndarray, start: np.ndarray | None = None
    ) -> np.ndarray:
        levels = max(0, int(math.log2(min(first.shape) / 16)))
        flags = 0 if start is None else cv2.OPTFLOW_USE_INITIAL_FLOW
        initial: Any = None if start is None else start.copy()
        return cv2.calcOpticalFlowFarneback(
            first, second, initial, 0.5, levels, self.window, 3, 5, 1.1, flags
        )


def _to_size(flow: np.ndarray, factor: int) -> torch.Tensor:
    """Flow of enlarged frames, in the pixels of the original ones."""
    if factor > 1:
        height, width = flow.shape[0] // factor, flow.shape[1] // factor
        flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / factor
    return torch.from_numpy(flow)

"""What a clip's pixels say before any motion is measured: cuts, and letterbox bars.

A displacement across a cut means nothing and dwarfs all others, and a bar that stands still while
the picture pans looks like an object that moves against the camera.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from motive.motion.side_by_side import side_by_side

_LONG_SIDE = 96  # px to which frames are shrunk to look for cuts
_DARK = 24  # of 255: video black is 16, and compression adds a few
_STEADY = 6  # of 255: how far a bar may differ from its own mean over the clip
_LARGEST_BAR = 0.4  # of the height or width on one side
_DIFFERS = 6.0  # of 255, mean; a blink of compression stays below
_PLAIN = 2.0  # of 255, standard deviation: a black or white frame
_PICTURE = 10.0  # of 255, standard deviation: more than the last step of a fade
_ALIKE = 0.6  # correlation of a frame with the next one brought back along the flow


def find_cuts(pixels: torch.Tensor) -> tuple[int, ...]:
    """First frames of new shots.

    A frame belongs to the shot before if that shot's last frame can be made of it by moving
    pixels: both are shrunk, a quick flow is found, and the two are correlated along it. Pans,
    however fast, keep a high correlation; hard cuts and flashes do not. A fade is no cut.

    Args:
        pixels: uint8 "f h w 3", RGB.

    Returns:
        Frame numbers from 1 on, ascending.
    """
    frames = pixels.cpu().numpy()
    small = list(side_by_side(lambda f: _shrunk(frames[f]), len(frames)))
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return tuple(f for f in range(1, len(small)) if _is_cut(small[f - 1], small[f], search))


def picture_area(pixels: torch.Tensor) -> torch.Tensor:
    """Where the picture is: everything but dark, steady bars along the borders.

    Args:
        pixels: uint8 "f h w 3", RGB.

    Returns:
        bool "h w"; all True when nothing would be left of the picture.
    """
    values = pixels.cpu().numpy()
    largest, least = values.max(axis=0), values.min(axis=0)
    spread = largest - least  # largest is never below least: no overflow
    bar = (largest.max(axis=-1) <= _DARK) & (spread.max(axis=-1) <= _STEADY)
    height, width = bar.shape
    top, bottom = _bars(bar.mean(axis=1) > 0.99, height)
    left, right = _bars(bar.mean(axis=0) > 0.99, width)
    area = torch.zeros(height, width, dtype=torch.bool)
    area[top : height - bottom, left : width - right] = True
    return area


def _bars(dark: NDArray[np.bool_], length: int) -> tuple[int, int]:
    """Dark lines at the start and at the end; none when they are too many for bars."""
    if dark.all():
        return 0, 0
    start, end = int(np.argmin(dark)), int(np.argmin(dark[::-1]))
    limit = _LARGEST_BAR * length
    return (start, end) if start <= limit and end <= limit else (0, 0)


def _shrunk(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey frame with a longer side of at most `_LONG_SIDE`, and no side below 32 px."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    factor = min(1.0, _LONG_SIDE / max(height, width))
    size = (max(32, round(width * factor)), max(32, round(height * factor)))
    small: NDArray[np.uint8] = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return small


def _is_cut(
    before: NDArray[np.uint8], after: NDArray[np.uint8], search: cv2.DISOpticalFlow
) -> bool:
    if float(np.abs(before.astype(np.int16) - after).mean()) < _DIFFERS:
        return False
    contrast = sorted((float(before.std()), float(after.std())))
    if contrast[0] < _PLAIN:  # nothing in a plain frame can be said to move
        return contrast[1] > _PICTURE
    flow = search.calc(before, after, None)  # type: ignore[call-overload]
    height, width = before.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    goal_x, goal_y = x + flow[..., 0], y + flow[..., 1]
    back = cv2.remap(after, goal_x, goal_y, cv2.INTER_LINEAR)
    inside = (goal_x >= 0) & (goal_x <= width - 1) & (goal_y >= 0) & (goal_y <= height - 1)
    if inside.mean() < 0.1:
        return True
    return float(np.corrcoef(before[inside], back[inside])[0, 1]) < _ALIKE

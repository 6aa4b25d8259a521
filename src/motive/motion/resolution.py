"""Tracking at a lower resolution than that of the clip: less time, and fewer pixels to go wrong.

Invariant: displacements stay in pixels of the clip, whatever they were tracked at.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch

from motive.motion.side_by_side import side_by_side


def shrink_frames(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """Frames whose shorter side is at most `side` pixels, by averaging areas.

    Args:
        pixels: uint8 "f h w 3", RGB.
        side: In pixels. Smaller frames stay as they are.

    Returns:
        uint8 "f y x 3".
    """
    count, height, width, _ = pixels.shape
    factor = side / min(height, width)
    if factor >= 1:
        return pixels
    rows, columns = round(height * factor), round(width * factor)
    frames, small = pixels.cpu().numpy(), np.empty((count, rows, columns, 3), np.uint8)

    def shrink(f: int) -> None:
        cv2.resize(frames[f], (columns, rows), dst=small[f], interpolation=cv2.INTER_AREA)

    for _ in side_by_side(shrink, count):
        pass
    return torch.from_numpy(small)


def enlarge_flow(flow: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Displacements of shrunk frames as those of the frames themselves.

    Args:
        flow: float32 "f y x 2", in pixels of the shrunk frames.
        size: (height, width) of the frames.

    Returns:
        float32 "f h w 2", in pixels of the frames.
    """
    (height, width), (rows, columns) = size, flow.shape[1:3]
    scale = torch.tensor([width / columns, height / rows])
    return enlarge(flow, size).mul_(scale)


def enlarge(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bring float32 "f y x ..." to "f h w ...", bilinearly."""
    height, width = size
    out = np.empty((len(values), height, width, *values.shape[3:]), np.float32)

    def grow(f: int) -> None:
        cv2.resize(values[f].numpy(), (width, height), dst=out[f])

    for _ in side_by_side(grow, len(values)):
        pass
    return torch.from_numpy(out)

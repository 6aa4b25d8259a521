"""Show motion as a heat map on the clip.

Invariant: where nothing moves the picture stays exactly as it was, so an overlay never hides what
a mask leaves out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from motive.clips.encode import write_mp4
from motive.errors import UsageError

_OPACITY = 0.75  # of the hottest places: the picture still shows through
_HOTTEST = 215  # of the colour map's 256 steps: orange-yellow; the last ones bleach the picture
_FULL_HEAT = 0.995  # quantile that is shown hottest, so that one outlier does not dim the rest
_FLOOR = 0.5  # px (or weight) shown hottest at least, so that noise in a still clip stays invisible


def overlay_frames(
    pixels: torch.Tensor,
    heat: torch.Tensor,
    *,
    groups: Sequence[Sequence[int]] | None = None,
    full_heat: float | None = None,
) -> torch.Tensor:
    """Draw motion over a clip.

    Args:
        pixels: uint8 "f h w 3", RGB.
        heat: float "f h w": magnitude in pixels, or weights. Another height and width is enlarged.
        groups: If `heat` has latent frames: the pixel frames of each.
        full_heat: Value shown hottest; by default the 99.5 % quantile of the clip, at least 0.5.

    Returns:
        uint8 "f h w 3", RGB.

    Raises:
        UsageError: `heat` has not one picture per frame (or per group).
    """
    count, height, width, _ = pixels.shape
    heat = _per_frame(heat.detach().float().cpu(), count, groups)
    if full_heat is None:
        full_heat = max(_FLOOR, float(np.quantile(heat.numpy(), _FULL_HEAT)))
    if heat.shape[1:] != (height, width):
        heat = F.interpolate(heat[:, None], size=(height, width), mode="bilinear")[:, 0]
    level = (heat / full_heat).clamp(0, 1).numpy()
    frames = pixels.cpu().numpy()
    drawn = [_draw(frame, hot) for frame, hot in zip(frames, level, strict=True)]
    return torch.from_numpy(np.stack(drawn))


def write_overlay(
    path: str | os.PathLike[str],
    pixels: torch.Tensor,
    heat: torch.Tensor,
    fps: float,
    *,
    groups: Sequence[Sequence[int]] | None = None,
    full_heat: float | None = None,
    crf: int = 18,
) -> None:
    """Write the overlay of a clip as mp4; see `overlay_frames` and `write_mp4`."""
    frames = overlay_frames(pixels, heat, groups=groups, full_heat=full_heat)
    write_mp4(path, frames, fps, crf=crf)


def _per_frame(
    heat: torch.Tensor, count: int, groups: Sequence[Sequence[int]] | None
) -> torch.Tensor:
    """Heat with one picture per pixel frame."""
    expected = count if groups is None else len(groups)
    if heat.ndim != 3 or heat.shape[0] != expected:
        raise UsageError(f"heat {tuple(heat.shape)}: must be 'f h w' with f = {expected}")
    if groups is None:
        return heat
    latent_of = {frame: latent for latent, group in enumerate(groups) for frame in group}
    missing = sorted(set(range(count)) - set(latent_of))
    if missing:
        raise UsageError(f"groups: frame {missing[0]} of {count} is in no group")
    return heat[[latent_of[frame] for frame in range(count)]]


def _draw(frame: np.ndarray, level: np.ndarray) -> np.ndarray:
    """One frame "h w 3" under heat "h w" in [0, 1]."""
    colours = cv2.applyColorMap((level * _HOTTEST).round().astype(np.uint8), cv2.COLORMAP_INFERNO)
    colours = cv2.cvtColor(colours, cv2.COLOR_BGR2RGB).astype(np.float32)
    # A smooth step: faint motion hardly tints the picture, strong motion is plain to see.
    opacity = (_OPACITY * level * level * (3 - 2 * level))[..., None].astype(np.float32)
    mixed = frame * (1 - opacity) + colours * opacity
    return mixed.round().clip(0, 255).astype(np.uint8)

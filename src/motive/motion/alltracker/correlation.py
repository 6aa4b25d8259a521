"""All-pairs correlation between an anchor frame and other frames, looked up around positions.

Architecture after AllTracker (Harley et al. 2025, MIT), itself after RAFT. The volume grows with
the square of the picture (3.3 GB for a window of 16 frames of 480 x 832), so above a budget it is
not kept but computed anew for a piece of the anchor's cells at a time. Each cell's correlations
depend on no other cell, so the pieces give the same numbers.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

LEVELS = 5
RADIUS = 4
CHANNELS = LEVELS * (2 * RADIUS + 1) ** 2
_FAR = 1 << 20  # cells; keeps the conversion to whole numbers defined for runaway positions


class CorrelationLookup:
    """Correlation of every anchor cell with the surroundings of where it may have gone.

    Invariant: the numbers do not depend on the budget (beyond the rounding of a matrix product).
    """

    def __init__(self, anchor: torch.Tensor, targets: torch.Tensor, budget: int) -> None:
        """Prepare the pyramid of targets, and the whole volume where it fits.

        Args:
            anchor: float32 "b c h w", features of the frame whose cells are followed.
            targets: float32 "b s c h w", features of the frames they are looked for in.
            budget: Bytes that correlations may take at any time.
        """
        batch, length, channels, height, width = targets.shape
        queries = anchor.flatten(2).transpose(1, 2)[:, None] / math.sqrt(channels)
        self._queries = queries  # b 1 n c
        self._size = (height, width)
        self._pyramid = _pyramid(targets)
        cells = sum(level.shape[3] * level.shape[4] for level in self._pyramid)
        bytes_per_query = batch * length * cells * targets.element_size()
        self._piece = max(1, min(height * width, budget // bytes_per_query))
        self._volume: list[torch.Tensor] | None = None
        if self._piece == height * width:
            self._volume = [_correlate(queries, level) for level in self._pyramid]

    def __call__(self, positions: torch.Tensor) -> torch.Tensor:
        """Correlations within 4 cells of each position, on five scales.

        Args:
            positions: float32 "b s 2 h w", (x, y) in feature cells of the targets.

        Returns:
            float32 "b s 405 h w".
        """
        points = positions.flatten(3).transpose(2, 3)  # b s n 2
        found = points.new_empty(*points.shape[:3], CHANNELS)
        step = CHANNELS // LEVELS
        for start in range(0, points.shape[2], self._piece):
            part = slice(start, start + self._piece)
            for level, targets in enumerate(self._pyramid):
                if self._volume is not None:
                    volume = self._volume[level]
                else:
                    volume = _correlate(self._queries[:, :, part], targets)
                centres = points[:, :, part] / 2**level
                found[:, :, part, level * step : (level + 1) * step] = _sample(volume, centres)
        return found.transpose(2, 3).unflatten(3, self._size).contiguous()


def _pyramid(targets: torch.Tensor) -> list[torch.Tensor]:
    """Targets "b s c h w" and four halvings of them."""
    levels = [targets]
    for _ in range(LEVELS - 1):
        halved = F.interpolate(levels[-1].flatten(0, 1), scale_factor=0.5, mode="area")
        levels.append(halved.unflatten(0, targets.shape[:2]))
    return levels


def _correlate(queries: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Dot products "b s n h w" of queries "b 1 n c" with targets "b s c h w"."""
    return (queries @ targets.flatten(3)).unflatten(3, targets.shape[3:])


def _sample(volume: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Bilinear samples of "b s n h w" on the 9 x 9 grid around centres "b s n 2": "b s n 81".

    Outside the picture the nearest cell counts. The offset along x is the slow index: the original
    adds an (row, column) grid to (x, y) positions, and the checkpoints are trained that way. All
    81 samples share one fraction, so 10 x 10 cells are read and blended first along x, then y.
    """
    height, width = volume.shape[3:]
    offsets = torch.arange(-RADIUS, RADIUS + 2, device=volume.device)
    corner = centres.floor()
    fraction = (centres - corner)[..., None, None]  # b s n 2 1 1
    whole = corner.clamp(-_FAR, _FAR).long()
    columns = (whole[..., :1] + offsets).clamp(0, width - 1)
    rows = (whole[..., 1:] + offsets).clamp(0, height - 1)
    cells = (columns[..., :, None] + width * rows[..., None, :]).flatten(3)
    near = volume.flatten(3).gather(3, cells).unflatten(3, (2 * RADIUS + 2, 2 * RADIUS + 2))
    near = torch.lerp(near[..., :-1, :], near[..., 1:, :], fraction[..., 0, :, :])
    near = torch.lerp(near[..., :-1], near[..., 1:], fraction[..., 1, :, :])
    return near.flatten(3)

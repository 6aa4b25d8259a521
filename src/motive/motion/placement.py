"""Put what is known in frame 0's coordinates where it is in another frame.

Invariant: nothing is invented. Where no track leads, the result is 0 and the coverage says so;
only gaps narrower than the filter, which come from a picture that grew, are closed.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

_GAP = 3  # px; a scale change of 3 still leaves no hole between neighbours' tracks
_COVERED = 0.05  # of a pixel: less than a grazing track


def place_in_frame(
    values: torch.Tensor, displacement: torch.Tensor, trust: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Forward bilinear splatting with normalisation by coverage.

    Every pixel carries its values to where its track ends and shares them among the four pixels
    there. Where several tracks end, the mean counts each by its share and its trust.

    Args:
        values: float "h w c" in anchor coordinates.
        displacement: float "h w 2", from the anchor frame to this frame, pixels.
        trust: float "h w", not negative: how much a track counts against others that end in the
            same place (visibility, or the size of motion: what moves covers what stands).

    Returns:
        Values in this frame's coordinates "h w c", and the coverage "h w" (1 where one track ends
        per pixel).
    """
    height, width, channels = values.shape
    weight = torch.ones(height, width) if trust is None else trust.float()
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    goal_x, goal_y = x + displacement[..., 0], y + displacement[..., 1]
    left, top = goal_x.floor(), goal_y.floor()
    carried = torch.cat(
        [values * weight[..., None], weight[..., None], torch.ones_like(values[..., :1])], -1
    )
    total = torch.zeros(height * width, channels + 2)
    for below in (0, 1):
        for right in (0, 1):
            row, column = top + below, left + right
            share = (1 - (goal_x - column).abs()) * (1 - (goal_y - row).abs())
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width) & (share > 0)
            index = (row * width + column).long()[inside]
            total.index_add_(0, index, (carried * share[..., None])[inside])
    total = total.view(height, width, channels + 2)
    near = F.avg_pool2d(total.permute(2, 0, 1)[None], _GAP, 1, _GAP // 2)[0].permute(1, 2, 0)
    coverage = total[..., -1]
    filled = torch.where((coverage > _COVERED)[..., None], total, near)
    known = (filled[..., -1] > _COVERED) & (filled[..., -2] > 0)
    placed = torch.where(
        known[..., None], filled[..., :channels] / filled[..., -2:-1].clamp_min(1e-12), 0.0
    )
    return placed, coverage

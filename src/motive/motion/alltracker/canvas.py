"""From frames of any size to a picture the network can take, and its maps back.

Sides are padded to multiples of 64 and at least 128 px, as five halvings of the feature map need;
the border is repeated, as in the original. Where the shorter side is below `min_side`, the frames
are first enlarged by a whole factor. Padding alone would also make small frames run, but it leaves
an object of 16 px two feature cells wide, and most of the picture a repeated border that the
network never saw in training; enlarging gives the object more cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

_MULTIPLE = 64  # stride 8 and three halvings, as the original pads
_SMALLEST = 128  # below that the fifth level of the correlation pyramid has no cell


@dataclass(frozen=True)
class Canvas:
    """How frames of one size lie on the picture that the network sees.

    Attributes:
        size: (height, width) of the frames.
        factor: Whole factor by which they are enlarged.
        padding: (left, right, top, bottom), in pixels of the enlarged frames.
    """

    size: tuple[int, int]
    factor: int
    padding: tuple[int, int, int, int]

    @classmethod
    def of(cls, height: int, width: int, min_side: int) -> Canvas:
        """The canvas for frames of this size.

        Args:
            height: Of the frames, in pixels.
            width: Of the frames, in pixels.
            min_side: Shorter side in pixels below which frames are enlarged; 1 never enlarges.
        """
        factor = math.ceil(min_side / min(height, width))
        extra_y, extra_x = (_lacking(factor * side) for side in (height, width))
        padding = (extra_x // 2, extra_x - extra_x // 2, extra_y // 2, extra_y - extra_y // 2)
        return cls((height, width), factor, padding)

    def place(self, frames: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Frames on the canvas.

        Args:
            frames: uint8 "n h w 3".
            device: Where the canvas shall be.

        Returns:
            float32 "n 3 H W" in [0, 255].
        """
        pictures = frames.to(device).permute(0, 3, 1, 2).float()
        if self.factor > 1:
            pictures = F.interpolate(pictures, scale_factor=self.factor, mode="bicubic")
            pictures = pictures.clamp(0.0, 255.0)  # bicubic overshoots at edges
        return F.pad(pictures, self.padding, mode="replicate")

    def take(self, maps: torch.Tensor) -> torch.Tensor:
        """The frames' part of maps "n c H W", at their own size: "n c h w"."""
        left, _, top, _ = self.padding
        height, width = (self.factor * side for side in self.size)
        maps = maps[..., top : top + height, left : left + width]
        return F.avg_pool2d(maps, self.factor) if self.factor > 1 else maps


def _lacking(side: int) -> int:
    """Pixels that a side lacks to the next size that the network can take."""
    return max(_SMALLEST, math.ceil(side / _MULTIPLE) * _MULTIPLE) - side

"""From uint8 frames to what a network was trained on: resize, crop, normalise.

Invariant: sizes are rounded as torchvision rounds them (shorter side exact, longer side truncated,
crop offset rounded), because published scores were made with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn import functional as F

Mode = Literal["bilinear", "bicubic"]
Triple = tuple[float, float, float]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Preprocessing:
    """How frames are prepared.

    Attributes:
        resize: Shorter side in pixels.
        crop: Side of the centred square that is kept; None keeps the whole frame.
        mode: Interpolation.
        antialias: Widen the filter when shrinking. VBench does not.
        mean: Per channel, of values in [0, 1].
        std: Per channel.
    """

    resize: int
    crop: int | None
    mode: Mode = "bilinear"
    antialias: bool = False
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD

    @property
    def settings(self) -> dict[str, Any]:
        """JSON values."""
        return dict(vars(self))

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        """Prepare frames.

        Args:
            frames: uint8 "f h w 3", RGB.

        Returns:
            float32 "f 3 h w".
        """
        images = frames.permute(0, 3, 1, 2).float()
        images = resize_shorter_side(images, self.resize, self.mode, antialias=self.antialias)
        if self.crop is not None:
            images = centre_crop(images, self.crop)
        mean, std = images.new_tensor(self.mean), images.new_tensor(self.std)
        return (images / 255.0 - mean[:, None, None]) / std[:, None, None]


def resize_shorter_side(
    images: torch.Tensor, side: int, mode: Mode = "bilinear", *, antialias: bool = False
) -> torch.Tensor:
    """Scale so that the shorter side is `side` pixels; the longer one is truncated.

    Args:
        images: float "n c h w".
        side: Pixels.
        mode: Interpolation.
        antialias: Widen the filter when shrinking.

    Example:
        >>> tuple(resize_shorter_side(torch.zeros(1, 3, 480, 832), 224).shape[2:])
        (224, 388)
    """
    height, width = images.shape[-2:]
    shorter = min(height, width)
    size = (int(side * height / shorter), int(side * width / shorter))
    return _resize(images, size, mode, antialias)


def resize_longer_side(images: torch.Tensor, side: int) -> torch.Tensor:
    """Shrink, without anti-aliasing, until the longer side is at most `side` pixels.

    Example:
        >>> tuple(resize_longer_side(torch.zeros(1, 3, 480, 832), 512).shape[2:])
        (295, 512)
    """
    height, width = images.shape[-2:]
    longer = max(height, width)
    if longer <= side:
        return images
    scale = float(side) / longer
    return _resize(images, (int(scale * height), int(scale * width)), "bilinear", antialias=False)


def centre_crop(images: torch.Tensor, side: int) -> torch.Tensor:
    """The centred square of `side` pixels; a smaller image is padded with zeros around it.

    Args:
        images: float "n c h w".
        side: Pixels.
    """
    height, width = images.shape[-2:]
    if height < side or width < side:
        top, left = max(0, side - height) // 2, max(0, side - width) // 2
        bottom, right = max(0, side - height) - top, max(0, side - width) - left
        images = F.pad(images, (left, right, top, bottom))
        height, width = images.shape[-2:]
    top, left = round((height - side) / 2.0), round((width - side) / 2.0)
    return images[..., top : top + side, left : left + side]


def _resize(
    images: torch.Tensor, size: tuple[int, int], mode: Mode, antialias: bool
) -> torch.Tensor:
    if tuple(images.shape[-2:]) == size:
        return images
    size = (max(1, size[0]), max(1, size[1]))
    return F.interpolate(images, size=size, mode=mode, align_corners=False, antialias=antialias)

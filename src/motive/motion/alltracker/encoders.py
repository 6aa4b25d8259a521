"""Image encoders of AllTracker: frames to feature maps at one eighth of their resolution.

Architecture after AllTracker (Harley et al. 2025, MIT): ConvNeXt-tiny for the full variant, the
residual encoder of RAFT for the tiny one. Module names are those of the released checkpoints.
Both treat every frame by itself, so features do not depend on what is encoded beside them.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

STRIDE = 8  # pixels per feature cell


class Permute(nn.Module):
    """`torch.permute` as a layer; it has no weights but takes its place in a `Sequential`."""

    def __init__(self, *order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Reorder the dimensions."""
        return x.permute(self.order)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of "b c h w"."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise each pixel by itself."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """7x7 depthwise convolution and an inverted bottleneck, scaled and added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer_scale = nn.Parameter(torch.full((channels, 1, 1), 1e-6))
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, 7, padding=3, groups=channels),
            Permute(0, 2, 3, 1),
            nn.LayerNorm(channels, eps=1e-6),
            nn.Linear(channels, 4 * channels),
            nn.GELU(),
            nn.Linear(4 * channels, channels),
            Permute(0, 3, 1, 2),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape "b c h w" is kept."""
        return x + self.layer_scale * self.block(x)


class ConvNeXtEncoder(nn.Module):
    """The first three stages of ConvNeXt-tiny, "b 3 h w" to "b 384 h/8 w/8".

    The third stage keeps the resolution of the second: its 2x2 stride-2 convolution has become a
    3x3 convolution of dilation 2.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 96, 4, stride=4), ChannelNorm(96)),
            nn.Sequential(*(ConvNeXtBlock(96) for _ in range(3))),
            nn.Sequential(ChannelNorm(96), nn.Conv2d(96, 192, 2, stride=2)),
            nn.Sequential(*(ConvNeXtBlock(192) for _ in range(3))),
            nn.Sequential(ChannelNorm(192), nn.Conv2d(192, 384, 3, padding=2, dilation=2)),
            nn.Sequential(*(ConvNeXtBlock(384) for _ in range(9))),
        )

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Features of normalised frames."""
        return self.features(frames)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance norm; the shortcut shrinks where the block does."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.InstanceNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride=stride), nn.InstanceNorm2d(channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From "b c h w" to "b c' h/stride w/stride"."""
        y = F.relu(self.norm(self.conv1(x)))
        y = F.relu(self.norm(self.conv2(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResidualEncoder(nn.Module):
    """RAFT's encoder with its four scales joined, "b 3 h w" to "b channels h/8 w/8"."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (channels // 2, channels // 4 * 3, channels, channels)
        self.conv1 = nn.Conv2d(3, widths[0], 7, stride=2, padding=3)
        self.norm1 = nn.InstanceNorm2d(widths[0])
        self.layer1 = _residual_stage(widths[0], widths[0], stride=1)
        self.layer2 = _residual_stage(widths[0], widths[1], stride=2)
        self.layer3 = _residual_stage(widths[1], widths[2], stride=2)
        self.layer4 = _residual_stage(widths[2], widths[3], stride=2)
        self.conv2 = nn.Conv2d(sum(widths), 2 * channels, 3, padding=1)
        self.norm2 = nn.InstanceNorm2d(2 * channels)
        self.conv3 = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Features of normalised frames."""
        size = (frames.shape[2] // STRIDE, frames.shape[3] // STRIDE)
        x = F.relu(self.norm1(self.conv1(frames)))
        scales = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            scales.append(F.interpolate(x, size, mode="bilinear", align_corners=True))
        x = self.conv2(torch.cat(scales, dim=1))
        return self.conv3(F.relu(self.norm2(x)))


def _residual_stage(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        ResidualBlock(channels_in, channels, stride), ResidualBlock(channels, channels, 1)
    )

"""The network of AllTracker: features of frames, and refinement of flow within a window.

Architecture after AllTracker (Harley et al. 2025, MIT). Invariant: parameters have the names and
shapes of the released checkpoints, and flow, positions and correlation are float32 whatever the
convolutions run in, since bfloat16 cannot hold a position of 100 cells to half a cell.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from motive.motion.alltracker.correlation import CorrelationLookup
from motive.motion.alltracker.encoders import STRIDE, ConvNeXtEncoder, ResidualEncoder
from motive.motion.alltracker.update import UpdateBlock

Variant = Literal["full", "tiny"]

CHANNELS = 128
WINDOW = 16  # frames that the time embedding of the checkpoints spans
_TAPS = 9  # the 3x3 neighbours that convex upsampling blends
_FRAMES_AT_ONCE = 4  # the encoder's widest maps take 30 times the bytes of a frame
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class Refined(NamedTuple):
    """What one window gives.

    Attributes:
        flow: float32 "b s 2 H W", (dx, dy) in pixels.
        visconf: float32 "b s 2 H W", visibility and confidence in [0, 1].
        coarse_flow: float32 "b s 2 h w", (dx, dy) in feature cells; the next window's start.
        coarse_visconf: float32 "b s 2 h w", logits; the next window's start.
    """

    flow: torch.Tensor
    visconf: torch.Tensor
    coarse_flow: torch.Tensor
    coarse_visconf: torch.Tensor


class AllTrackerNet(nn.Module):
    """AllTracker's network, full (16.5 million parameters) or tiny (6.3 million)."""

    time_emb: torch.Tensor

    def __init__(self, variant: Variant = "full") -> None:
        """Build the network with fresh weights; `load_alltracker` fills in trained ones.

        Args:
            variant: "full" (ConvNeXt features, split into matching and context halves) or "tiny"
                (RAFT-like features that serve as both).
        """
        super().__init__()
        self.variant = variant
        if variant == "full":
            self.cnn = ConvNeXtEncoder()
            self.dot_conv = nn.Conv2d(384, 2 * CHANNELS, 1)
        else:
            self.fnet = ResidualEncoder(CHANNELS)
        self.upsample_weight = nn.Sequential(
            nn.Conv2d(CHANNELS, 2 * CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * CHANNELS, _TAPS * STRIDE**2, 1),
        )
        self.flow_head = _head()
        self.visconf_head = _head()
        self.update_block = UpdateBlock(CHANNELS)
        self.register_buffer("time_emb", _sinusoids(WINDOW, CHANNELS))

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.time_emb.device

    def encode(self, frames: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Features of frames.

        Args:
            frames: float32 "n 3 H W", RGB in [0, 255], sides multiples of 64 and at least 128.
            dtype: What the convolutions run in.

        Returns:
            float32 "n c H/8 W/8", c = 256 (full) or 128 (tiny).
        """
        mean = frames.new_tensor(_IMAGENET_MEAN)[:, None, None]
        std = frames.new_tensor(_IMAGENET_STD)[:, None, None]
        features = []
        for part in frames.split(_FRAMES_AT_ONCE):
            with self._precision(dtype):
                normal = (part / 255.0 - mean) / std
                encoded = (
                    self.dot_conv(self.cnn(normal)) if self.variant == "full" else self.fnet(normal)
                )
            features.append(encoded.float())
        return torch.cat(features)

    def refine(
        self,
        anchor: torch.Tensor,
        targets: torch.Tensor,
        start: tuple[torch.Tensor, torch.Tensor] | None = None,
        *,
        iterations: int = 4,
        dtype: torch.dtype = torch.float32,
        correlation_bytes: int = 1 << 31,
    ) -> Refined:
        """Flow from the anchor frame to the frames of one window.

        Args:
            anchor: float32 "b c h w", features of the anchor frame.
            targets: float32 "b s c h w", features of the window's frames.
            start: `coarse_flow` and `coarse_visconf` to start from; zeros where None.
            iterations: Refinement steps, at least 1.
            dtype: What the convolutions run in.
            correlation_bytes: Budget of `CorrelationLookup`.
        """
        batch, length, _, height, width = targets.shape
        if start is None:
            flow = targets.new_zeros(batch * length, 2, height, width)
            visconf = torch.zeros_like(flow)
        else:
            flow, visconf = (part.flatten(0, 1) for part in start)
        lookup = CorrelationLookup(anchor, targets, correlation_bytes)
        state, context = anchor[:, :CHANNELS], anchor[:, -CHANNELS:]  # the same map where c = 128
        state = state[:, None].expand(-1, length, -1, -1, -1).flatten(0, 1)
        context = context[:, None] + self.time_embedding(length)[:, :, None, None]
        context = context.flatten(0, 1)
        cells = _cell_grid(height, width, targets.device)
        for _ in range(iterations):
            correlation = lookup((cells + flow).unflatten(0, (batch, length))).flatten(0, 1)
            with self._precision(dtype):
                state = self.update_block(state, context, visconf, correlation, flow, length)
                flow = flow + self.flow_head(state).float()
                visconf = visconf + self.visconf_head(state).float()
        with self._precision(dtype):
            weights = 0.25 * self.upsample_weight(state)
        fine = convex_upsample(torch.cat([flow, visconf], dim=1), weights.float())
        shape = (batch, length)
        return Refined(
            fine[:, :2].unflatten(0, shape),
            fine[:, 2:].sigmoid().unflatten(0, shape),
            flow.unflatten(0, shape),
            visconf.unflatten(0, shape),
        )

    def time_embedding(self, length: int) -> torch.Tensor:
        """The embedding "length c" of a window's frames.

        Windows of another length stretch the trained embedding; a single frame is taken for the
        second of a window, the first being the anchor itself.
        """
        if length == self.time_emb.shape[1]:
            return self.time_emb[0]
        if length == 1:
            return self.time_emb[0, 1:2]
        stretched = F.interpolate(self.time_emb.transpose(1, 2), size=length, mode="linear")
        return stretched[0].T

    def _precision(self, dtype: torch.dtype) -> torch.autocast:
        low = dtype != torch.float32
        return torch.autocast(self.device.type, dtype if low else torch.bfloat16, enabled=low)


def convex_upsample(coarse: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Enlarge by 8: every pixel is a weighted mean of the 3x3 cells around it, times 8.

    The factor 8 turns feature cells into pixels. It is applied to the logits of visibility and
    confidence too, as the checkpoints are trained.

    Args:
        coarse: float32 "n c h w"; zeros are assumed around it.
        weights: float32 "n 576 h w", before the softmax over 9 neighbours; 576 = 9 · 8 · 8.

    Returns:
        float32 "n c 8h 8w".
    """
    count, channels, height, width = coarse.shape
    shares = weights.view(count, 1, _TAPS, STRIDE, STRIDE, height, width).softmax(dim=2)
    near = F.unfold(STRIDE * coarse, 3, padding=1).view(count, channels, _TAPS, 1, 1, height, width)
    fine = coarse.new_zeros(count, channels, STRIDE, STRIDE, height, width)
    for tap in range(_TAPS):  # one product at a time: all nine would take nine times the memory
        fine.addcmul_(shares[:, :, tap], near[:, :, tap])
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(count, channels, STRIDE * height, STRIDE * width)


def _head() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(CHANNELS, 2 * CHANNELS, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(2 * CHANNELS, 2, 3, padding=1),
    )


def _cell_grid(height: int, width: int, device: torch.device) -> torch.Tensor:
    """(x, y) of every feature cell: float32 "2 h w"."""
    ys = torch.arange(height, dtype=torch.float32, device=device)
    xs = torch.arange(width, dtype=torch.float32, device=device)
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([x, y])


def _sinusoids(length: int, channels: int) -> torch.Tensor:
    """Sines and cosines of the place in the window: float32 "1 length channels"."""
    # In NumPy: other libraries patch torch.linspace, and under the meta device half of a product
    # would then lie on the CPU.
    rates = 10000.0 ** -np.linspace(0, 1, channels // 2 + 1)[:-1]
    angles = np.arange(length)[:, None] * rates
    return torch.from_numpy(np.concatenate([np.sin(angles), np.cos(angles)], 1)[None]).float()

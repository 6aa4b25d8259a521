"""The update block of AllTracker: what it saw so far, to a better state of every feature cell.

Architecture after AllTracker (Harley et al. 2025, MIT). Space is mixed by ConvNeXt blocks within
each frame, time by attention between the frames of a window, cell by cell.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from motive.motion.alltracker.correlation import CHANNELS
from motive.motion.alltracker.encoders import ConvNeXtBlock

HEADS = 8
DEPTH = 3  # pairs of a temporal and a spatial block
# CUDA's attention kernels take fewer than 65,536 sequences at once; a window of 1024 x 1024 has
# 16,384, sixteen pairs of frames have more. Pieces also bound the memory of the MLP.
_SEQUENCES = 32_768


class Attention(nn.Module):
    """Self-attention over "n s c" with the projections of the released checkpoints."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(channels, channels)
        self.to_kv = nn.Linear(channels, 2 * channels)
        self.to_out = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape "n s c" is kept."""
        query, key, value = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2)  # n heads s d
            for part in (self.to_q(x), *self.to_kv(x).chunk(2, dim=-1))
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.to_out(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers with the tanh form of GELU between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape "n s c" is kept."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class TransformerBlock(nn.Module):
    """Attention and MLP, each after a layer norm without weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, elementwise_affine=False, eps=1e-6)
        self.attn = Attention(channels)
        self.mlp = Mlp(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape "n s c" is kept."""
        x = x + self.attn(self.norm(x))
        return x + self.mlp(self.norm(x))


class TemporalBlock(nn.Module):
    """A transformer block along time for every feature cell, scaled and added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer_scale = nn.Parameter(torch.full((channels, 1), 1e-6))
        self.block = TransformerBlock(channels)

    def forward(self, x: torch.Tensor, length: int) -> torch.Tensor:
        """Mix the frames of each window.

        Args:
            x: "(b s) c h w".
            length: s, the frames of a window.
        """
        height, width = x.shape[2:]
        cells = x.unflatten(0, (-1, length)).permute(0, 3, 4, 1, 2).flatten(0, 2)  # (b h w) s c
        mixed = torch.cat([self.block(part) for part in cells.split(_SEQUENCES)])
        cells = cells + self.layer_scale[:, 0] * mixed
        cells = cells.unflatten(0, (-1, height, width))
        return cells.permute(0, 3, 4, 1, 2).flatten(0, 1).contiguous()


class MotionEncoder(nn.Module):
    """Correlation and flow to features; the flow itself stays as the last two channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convc1 = nn.Conv2d(CHANNELS, 4 * channels, 1)
        self.convc2 = nn.Conv2d(4 * channels, channels + channels // 2, 3, padding=1)
        self.convf1 = nn.Conv2d(2, 2 * channels, 5, padding=2)
        self.convf2 = nn.Conv2d(2 * channels, channels // 2, 3, padding=1)
        self.conv = nn.Conv2d(2 * channels, channels - 2, 3, padding=1)

    def forward(self, flow: torch.Tensor, correlation: torch.Tensor) -> torch.Tensor:
        """From "n 2 h w" and "n 405 h w" to "n channels h w"."""
        seen = F.relu(self.convc2(F.relu(self.convc1(correlation))))
        moved = F.relu(self.convf2(F.relu(self.convf1(flow))))
        return torch.cat([F.relu(self.conv(torch.cat([seen, moved], dim=1))), flow], dim=1)


class UpdateBlock(nn.Module):
    """One step of the iteration."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.motion_encoder = MotionEncoder(channels)
        self.compressor = nn.Conv2d(3 * channels + 2, channels, 1)
        blocks: list[nn.Module] = []
        for _ in range(DEPTH):
            blocks += [TemporalBlock(channels), ConvNeXtBlock(channels)]
        self.refine = nn.ModuleList(blocks)
        self.final_conv = nn.Conv2d(channels, channels, 1)

    def forward(
        self,
        state: torch.Tensor,
        context: torch.Tensor,
        visconf: torch.Tensor,
        correlation: torch.Tensor,
        flow: torch.Tensor,
        length: int,
    ) -> torch.Tensor:
        """The next state.

        Args:
            state: "(b s) c h w", from the step before or from the anchor's features.
            context: "(b s) c h w", the anchor's features plus the place in the window.
            visconf: "(b s) 2 h w", logits of visibility and confidence.
            correlation: "(b s) 405 h w".
            flow: "(b s) 2 h w", in feature cells.
            length: s, the frames of a window.

        Returns:
            "(b s) c h w".
        """
        motion = self.motion_encoder(flow, correlation)
        state = self.compressor(torch.cat([state, context, motion, visconf], dim=1))
        for block in self.refine:
            state = block(state, length) if isinstance(block, TemporalBlock) else block(state)
        return self.final_conv(state)

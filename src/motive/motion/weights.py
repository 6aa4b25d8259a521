"""From the magnitude of motion to the weights that mask a clip's loss.

Invariant: by default the weights are the paper's, bit for bit (eq. 12-14); what the paper leaves
open (time pooling, the kind of displacement) and what departs from it are options of
`MotionConfig`. Facts that warn of a bad mask (static clip, camera pan) are reported beside the
weights, not mixed into them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from motive.clips import Clip, Provenance
from motive.errors import UsageError
from motive.motion.config import ZETA, MotionConfig
from motive.motion.facts import MOVING_PX, MagnitudeFacts
from motive.motion.measure import measure_magnitude

_SAMPLES = 1 << 20  # values that percentiles are taken of; a larger clip is sampled evenly


@dataclass(frozen=True)
class MotionWeights:
    """Weights of one clip on the latent grid, and the facts behind them.

    Attributes:
        weights: float32 "f h w" on the latent grid, in [0, 1].
        tracker: Name of the tracker.
        displacement: As in `MotionConfig`.
        facts: See `MagnitudeFacts`; `MotionFacts` where the weights need the camera fitted. Where
            they say `static`, min-max has stretched noise and the weights say nothing.
    """

    weights: torch.Tensor
    tracker: str
    displacement: str
    facts: MagnitudeFacts


def compute_motion_weights(
    pixels: torch.Tensor,
    groups: Sequence[Sequence[int]],
    grid: tuple[int, int],
    config: MotionConfig,
    *,
    clip: Clip | None = None,
    provenance: Provenance | None = None,
) -> MotionWeights:
    """Motion weights of a clip on a latent grid.

    Args:
        pixels: uint8 "f h w 3", RGB.
        groups: For each latent frame, the pixel frames that the VAE folds into it.
        grid: (height, width) of the latent grid.
        config: How to measure and pool.
        clip: Where the pixels come from; only a tracker that reads files needs it.
        provenance: The same: what `decode_clip` says about the pixels.

    Raises:
        UsageError: Unknown tracker or options, or `groups` and `grid` do not fit the pixels.
        ClipError: A tracker that reads files cannot read this one.
    """
    motion = measure_magnitude(pixels, config, clip=clip, provenance=provenance)
    return MotionWeights(
        weights_from_magnitude(motion.magnitude, groups, grid, config),
        config.tracker,
        config.displacement,
        motion.facts,
    )


def weights_from_magnitude(
    magnitude: torch.Tensor,
    groups: Sequence[Sequence[int]],
    grid: tuple[int, int],
    config: MotionConfig,
) -> torch.Tensor:
    """Motion weights from the magnitude of each pixel's motion: normalise, pool, resample.

    Args:
        magnitude: float32 "f h w", in pixels, from `measure_magnitude`.
        groups: For each latent frame, the pixel frames that the VAE folds into it.
        grid: (height, width) of the latent grid.
        config: How to normalise and pool.

    Returns:
        float32 "f h w" on the latent grid, in [0, 1].
    """
    return latent_motion_weights(
        normalised_weights(magnitude, config),
        groups,
        grid,
        pool=config.pool,
        antialias=config.antialias,
    )


def normalised_weights(magnitude: torch.Tensor, config: MotionConfig) -> torch.Tensor:
    """Magnitude in pixels brought to [0, 1] as the config says, same shape."""
    if config.normalise == "minmax":
        return minmax_weights(magnitude, config.zeta)
    return robust_weights(magnitude, config.percentile)


def minmax_weights(magnitude: torch.Tensor, zeta: float = ZETA) -> torch.Tensor:
    """W = (M - min M) / (max M - min M + ζ), over all frames and pixels (paper eq. 13).

    Args:
        magnitude: float "f h w".
        zeta: Keeps the quotient finite when nothing moves; the weights are then 0.

    Returns:
        Same shape and dtype, in [0, 1).
    """
    low, high = magnitude.aminmax()
    return (magnitude - low).div_(high - low + zeta)


def robust_weights(magnitude: torch.Tensor, percentile: float = 99.0) -> torch.Tensor:
    """Min-max with percentiles in place of the extremes, so that no outlier flattens the rest.

    W = clip((M - low) / max(high - low, 0.5 px), 0, 1), where `high` is the percentile of all
    values of the clip and `low` its counterpart. The least range of half a pixel keeps a clip in
    which nothing moves at small weights.

    Args:
        magnitude: float "f h w", in pixels.
        percentile: Above 50 and at most 100; 100 takes the extremes.

    Returns:
        Same shape and dtype, in [0, 1].
    """
    values = magnitude.flatten()
    values = values[:: max(1, values.numel() // _SAMPLES)]
    low, high = np.percentile(values.numpy(), [100 - percentile, percentile])
    return ((magnitude - float(low)) / max(float(high - low), MOVING_PX)).clamp(0, 1)


def latent_motion_weights(
    weights: torch.Tensor,
    groups: Sequence[Sequence[int]],
    grid: tuple[int, int],
    *,
    pool: Literal["mean", "max"] = "mean",
    antialias: bool = True,
) -> torch.Tensor:
    """Bring pixel weights to the latent grid: pool in time, then resample bilinearly (eq. 14).

    Args:
        weights: float "F H W" in [0, 1].
        groups: For each latent frame, the pixel frames that the VAE folds into it (Wan: frame 0
            alone, then 4 by 4). The paper gives no pooling in time.
        grid: (height, width) of the latent grid.
        pool: "mean" or "max" over a group's frames.
        antialias: Widen the bilinear filter when shrinking; see `MotionConfig`.

    Returns:
        float "f h w" in [0, 1], f = len(groups).

    Raises:
        UsageError: Empty groups, frames outside the clip, an empty grid, or an unknown `pool`.
    """
    count = weights.shape[0]
    if not groups or any(not group for group in groups):
        raise UsageError("groups: every latent frame needs at least one pixel frame")
    if any(not 0 <= frame < count for group in groups for frame in group):
        raise UsageError(f"groups: name frames outside the clip's {count} frames")
    if min(grid) < 1:
        raise UsageError(f"grid={grid}: must be positive")
    if pool not in ("mean", "max"):
        raise UsageError(f"pool={pool!r}: must be 'mean' or 'max'")
    pooled = torch.stack(
        [
            weights[list(group)].mean(0) if pool == "mean" else weights[list(group)].amax(0)
            for group in groups
        ]
    )
    resampled = F.interpolate(
        pooled[:, None], size=grid, mode="bilinear", align_corners=False, antialias=antialias
    )
    return resampled[:, 0].clamp(0.0, 1.0)  # rounding may pass the bounds by one ulp

"""From a clip's pixels to the motion weights that mask its loss.

Invariant: the weights are the paper's, bit for bit (eq. 12-14); what the paper leaves open (time
pooling, the kind of displacement) is an option of `MotionConfig` and nothing else is changed.
Facts that warn of a bad mask (static clip, camera pan) are reported beside the weights, not mixed
into them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch.nn import functional as F

from motive.errors import UsageError
from motive.motion.trackers import get_tracker

ZETA = 1e-6  # paper eq. 13
STATIC_MAX_PX = 0.05  # px; nothing at all moves
# px; identical frames after H.264 at CRF 10 to 30 reach a mean of 0.0045 (and a maximum of 2, which
# is why the maximum alone cannot tell); a disc on 1 % of the picture moving 1 px/frame gives 0.01.
STATIC_MEAN_PX = 0.005
MOVING_PX = 0.5  # px per frame; above the noise of every tracker


@dataclass(frozen=True)
class MotionConfig:
    """How motion is measured and turned into weights.

    Attributes:
        tracker: Name of the tracker (`dis`).
        tracker_options: The tracker's own settings, such as `preset` of `dis`.
        displacement: "consecutive": from each frame to the next, so that a weight sits where the
            motion is in that frame. "anchor": from frame 0 to each frame, cumulative, in frame 0's
            coordinates, as AllTracker gives it.
        pool: How the frames that the VAE folds into one latent frame are joined: "mean" or "max".
        zeta: Added to the range in the min-max formula (paper eq. 13).
        antialias: Widen the bilinear filter when shrinking to the latent grid, so that every pixel
            counts. False samples four pixels per latent cell, the literal reading of eq. 14.
    """

    tracker: str = "dis"
    tracker_options: Mapping[str, Any] = field(default_factory=dict)
    displacement: Literal["consecutive", "anchor"] = "consecutive"
    pool: Literal["mean", "max"] = "mean"
    zeta: float = ZETA
    antialias: bool = True

    def __post_init__(self) -> None:
        if self.displacement not in ("consecutive", "anchor"):
            raise UsageError(
                f"displacement={self.displacement!r}: must be 'consecutive' or 'anchor'"
            )
        if self.pool not in ("mean", "max"):
            raise UsageError(f"pool={self.pool!r}: must be 'mean' or 'max'")
        if not self.zeta > 0:
            raise UsageError(f"zeta={self.zeta}: must be positive")

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that changes the weights, for the fingerprint: JSON values only."""
        return {
            "tracker": get_tracker(self.tracker, **self.tracker_options).settings,
            "displacement": self.displacement,
            "pool": self.pool,
            "zeta": self.zeta,
            "antialias": self.antialias,
        }


@dataclass(frozen=True)
class MotionWeights:
    """Weights of one clip on the latent grid, and the facts behind them.

    Magnitudes are in pixels of the standardised clip: per frame for consecutive displacement,
    since frame 0 for anchored displacement.

    Attributes:
        weights: float32 "f h w" on the latent grid, in [0, 1].
        tracker: Name of the tracker.
        displacement: "consecutive" or "anchor".
        mean_magnitude: Mean over frames and pixels.
        max_magnitude: Largest over frames and pixels.
        moving_fraction: Share of pixels that move by more than 0.5 px, in [0, 1].
        uniformity: How evenly motion fills the picture, in [0, 1]; see `motion_uniformity`. Near 1
            the mask masks nothing: a camera move, most likely.
        static: True when no more moves than compression noise (largest below 0.05 px, or mean
            below 0.005 px). The min-max formula then stretches noise, so the weights say nothing.
    """

    weights: torch.Tensor
    tracker: str
    displacement: str
    mean_magnitude: float
    max_magnitude: float
    moving_fraction: float
    uniformity: float
    static: bool


def compute_motion_weights(
    pixels: torch.Tensor,
    groups: Sequence[Sequence[int]],
    grid: tuple[int, int],
    config: MotionConfig,
) -> MotionWeights:
    """Motion weights of a clip on a latent grid.

    Args:
        pixels: uint8 "f h w 3", RGB.
        groups: For each latent frame, the pixel frames that the VAE folds into it.
        grid: (height, width) of the latent grid.
        config: How to measure and pool.

    Raises:
        UsageError: Unknown tracker or options, or `groups` and `grid` do not fit the pixels.
    """
    return weights_from_magnitude(pixel_motion(pixels, config), groups, grid, config)


def pixel_motion(pixels: torch.Tensor, config: MotionConfig) -> torch.Tensor:
    """How far each pixel moves, by the tracker and kind of displacement of the config.

    Args:
        pixels: uint8 "f h w 3", RGB.
        config: Tracker and displacement.

    Returns:
        float32 "f h w", in pixels.
    """
    tracker = get_tracker(config.tracker, **config.tracker_options)
    anchored = config.displacement == "anchor"
    return motion_magnitude(tracker.anchor(pixels) if anchored else tracker.consecutive(pixels))


def weights_from_magnitude(
    magnitude: torch.Tensor,
    groups: Sequence[Sequence[int]],
    grid: tuple[int, int],
    config: MotionConfig,
) -> MotionWeights:
    """Motion weights and facts from the magnitude of each pixel's motion.

    Args:
        magnitude: float32 "f h w", in pixels, from `pixel_motion`.
        groups: For each latent frame, the pixel frames that the VAE folds into it.
        grid: (height, width) of the latent grid.
        config: How to pool; tracker and displacement are only recorded.
    """
    weights = minmax_weights(magnitude, config.zeta)
    largest, mean = float(magnitude.max()), float(magnitude.mean(dtype=torch.float64))
    return MotionWeights(
        weights=latent_motion_weights(
            weights, groups, grid, pool=config.pool, antialias=config.antialias
        ),
        tracker=config.tracker,
        displacement=config.displacement,
        mean_magnitude=mean,
        max_magnitude=largest,
        moving_fraction=float((magnitude > MOVING_PX).double().mean()),
        uniformity=motion_uniformity(magnitude),
        static=largest < STATIC_MAX_PX or mean < STATIC_MEAN_PX,
    )


def motion_magnitude(displacement: torch.Tensor) -> torch.Tensor:
    """M_f(y, x) = ‖(dx, dy)‖₂ (paper eq. 12).

    Args:
        displacement: float "f h w 2", in pixels.

    Returns:
        float "f h w", in pixels.
    """
    return torch.linalg.vector_norm(displacement, dim=-1)


def minmax_weights(magnitude: torch.Tensor, zeta: float = ZETA) -> torch.Tensor:
    """W = (M - min M) / (max M - min M + ζ), over all frames and pixels (paper eq. 13).

    Args:
        magnitude: float "f h w".
        zeta: Keeps the quotient finite when nothing moves; the weights are then 0.

    Returns:
        Same shape and dtype, in [0, 1).
    """
    low, high = magnitude.min(), magnitude.max()
    return (magnitude - low) / (high - low + zeta)


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


def motion_uniformity(magnitude: torch.Tensor) -> float:
    """How evenly motion fills the picture: the participation ratio of the magnitude, in [0, 1].

    Per frame (mean M)² / mean(M²): 1 when every pixel moves alike (a pan), p when a share p of the
    pixels moves alike and the rest stands still. Frames count by how much they move. It is taken
    from M, not from W, because min-max stretches the small differences within a pan. 0 when
    nothing moves at all.

    Args:
        magnitude: float "f h w".
    """
    values = magnitude.double().flatten(1)
    mean, square = values.mean(1), values.square().mean(1)
    total = float(mean.sum())
    if total == 0:
        return 0.0
    ratio = mean.square() / square.clamp_min(torch.finfo(torch.float64).tiny)
    return min(1.0, float((ratio * mean).sum()) / total)

"""The motion-weighted loss at a fixed (t, ε)  [paper eq. 6-7, 15-17].

Masking lives in loss space only: noising and the forward pass are those of ordinary training. An
alternative to the paper's loss asks how the error *changes* from frame to frame (`residual`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from motive.errors import UsageError

Residual = Literal["error", "temporal difference"]
T_FIX = 751.0  # paper: the scheduler's index 500 of 1000 with shift 3, σ ≈ 0.751


@dataclass(frozen=True)
class Objective:
    """Which loss is differentiated; training clips and queries share every part of it.

    Attributes:
        timesteps: Timesteps of 1000, σ = t / 1000. One is the paper's estimator; with several,
            gradients are normalised per (t, ε) before they are averaged.
        noise_seed: Seed of ε_fix, shared by all clips; the i-th timestep uses seed + i.
        mask: Weight the error by motion. Without, this is the ordinary training objective.
        frame_normalize: Divide by the number of frames F. It cancels in cosine scores and matters
            for un-normalised ones.
        residual: What is squared and weighted, from r = prediction − target. "error": r itself, as
            in the paper. "temporal difference": r of a latent frame minus r of the one before, at
            the weights of the later one; what stands still is predicted as well or as badly in
            every frame, and so cancels.
    """

    timesteps: tuple[float, ...] = (T_FIX,)
    noise_seed: int = 0
    mask: bool = True
    frame_normalize: bool = True
    residual: Residual = "error"

    def __post_init__(self) -> None:
        if not self.timesteps:
            raise UsageError("timesteps: give at least one, for example 751")
        for timestep in self.timesteps:
            if not 0 < timestep <= 1000:
                raise UsageError(f"timestep {timestep}: must be above 0 and at most 1000")
        if self.noise_seed < 0:
            raise UsageError(f"noise seed {self.noise_seed}: must not be negative")
        if self.residual not in ("error", "temporal difference"):
            raise UsageError(
                f"residual {self.residual!r}: must be 'error' or 'temporal difference'"
            )

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that changes the gradient, for the fingerprint: JSON values only.

        The default residual is left out, so that features made before there was a choice stay
        valid.
        """
        values = {**vars(self), "timesteps": list(self.timesteps)}
        if self.residual == "error":
            del values["residual"]
        return values


def fixed_noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """ε_fix: one standard normal draw, float32, identical on every device and worker.

    Drawn by NumPy's Philox on the CPU: torch's generators differ between devices.
    """
    generator = np.random.Generator(np.random.Philox(key=seed))
    return torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))


def location_error(
    prediction: torch.Tensor, target: torch.Tensor, residual: Residual = "error"
) -> torch.Tensor:
    """Squared residual averaged over channels, at least float32.

    Args:
        prediction: "b c f h w".
        target: Same shape.
        residual: "error": r = prediction − target; "temporal difference": r_{f+1} − r_f.

    Returns:
        "b f h w"; for the temporal difference "b f-1 h w", whose frame f belongs to latent frame
        f + 1 and so to the weights W̃_{f+1}.

    Raises:
        UsageError: A temporal difference of a single latent frame.
    """
    difference = prediction - target
    if difference.dtype in (torch.float16, torch.bfloat16):
        difference = difference.float()
    if residual == "temporal difference":
        if difference.shape[2] < 2:
            raise UsageError("temporal difference: needs clips of at least 2 latent frames")
        difference = difference.diff(dim=2)
    return difference.square().mean(dim=1)


def motion_weighted_loss(
    error: torch.Tensor, weights: torch.Tensor | None, frames: int | None
) -> torch.Tensor:
    """L_mot = 1/F · mean over f, y, x of W̃ · L̃  [paper eq. 16-17].

    Args:
        error: L̃, "b f h w" (see `location_error`).
        weights: W̃, "b f h w" in [0, 1]; None stands for W̃ ≡ 1, the ordinary objective.
        frames: F, the clip's number of pixel frames; None leaves the factor 1/F out.

    Returns:
        One loss per clip, "b".

    Example:
        >>> error = torch.ones(1, 2, 2, 2)
        >>> half = torch.full_like(error, 0.5)
        >>> motion_weighted_loss(error, half, frames=5).item()  # 0.5 / 5
        0.10000000149011612
    """
    if weights is not None:
        if weights.shape != error.shape:
            raise ValueError(
                f"weights {tuple(weights.shape)} and error {tuple(error.shape)} must have the same "
                "shape b f h w (the latent grid)"
            )
        error = error * weights.to(error)
    loss = error.mean(dim=(1, 2, 3))
    return loss if frames is None else loss / frames

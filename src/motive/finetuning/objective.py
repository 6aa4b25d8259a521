"""The flow-matching loss of fine-tuning, and the same loss at fixed (σ, ε).

z = (1 − σ) h + σ ε, target ε − h, unmasked (paper §"Fine-tuning": motion weights select clips, they
do not train on them). Trainers agree on that; they differ in how σ is drawn and weighted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from motive.backbones import Backbone
from motive.backbones.flow import shifted
from motive.backbones.protocol import NoiseLevel
from motive.gradients import fixed_noise, location_error, motion_weighted_loss

DENSITIES = ("uniform", "logit-normal")
WEIGHTINGS = ("bell", "none")

_STEPS = 1000  # of the schedule that trainers draw from
_EDGE = 1e-6  # keeps the logit-normal's quantiles finite


def training_sigma(level: torch.Tensor, density: str, shift: float) -> torch.Tensor:
    """Noise levels σ "b" of uniform draws u "b" in [0, 1).

    Args:
        level: u.
        density: "uniform": u itself (DiffSynth-Studio); "logit-normal": the sigmoid of the standard
            normal quantile of u (Stable Diffusion 3), more of it in the middle.
        shift: Of `shifted`, applied afterwards.
    """
    if density == "logit-normal":
        level = torch.special.ndtri(level.double().clamp(_EDGE, 1 - _EDGE)).sigmoid().float()
    return shifted(level, shift)


def level_weight(sigma: torch.Tensor, weighting: str, shift: float) -> torch.Tensor:
    """Weight of the loss at each noise level, "b".

    "bell" is DiffSynth-Studio's: w = (exp(−2 (σ − ½)²) − exp(−½)) / c, zero at σ = 0 and 1, where c
    makes the mean over the trainer's 1000 shifted levels 1. "none" is 1 everywhere.
    """
    if weighting == "none":
        return torch.ones_like(sigma)
    floor, mean = _bell(shift)
    return (torch.exp(-2.0 * (sigma - 0.5) ** 2) - floor) / mean


@lru_cache(maxsize=16)
def _bell(shift: float) -> tuple[float, float]:
    """Smallest value of the bell on the trainer's levels, and the mean above it."""
    grid = [shifted(1.0 - step / _STEPS, shift) for step in range(_STEPS)]
    heights = [math.exp(-2.0 * (sigma - 0.5) ** 2) for sigma in grid]
    floor = min(heights)
    return floor, sum(heights) / len(heights) - floor


def flow_losses(
    backbone: Backbone,
    clean: torch.Tensor,
    noise: torch.Tensor,
    sigma: NoiseLevel,
    text: torch.Tensor,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean squared error of the predicted velocity, one number per clip.

    Args:
        backbone: The model; differentiable in its transformer's parameters.
        clean: Latents h, float32 "b c f h w".
        noise: ε, "b c f h w" or "1 c f h w".
        sigma: For the batch, or "b".
        text: Caption embeddings "b l d".
        weights: Motion weights "b f h w" where a held-out clip is judged by its motion; None for
            the ordinary loss.

    Returns:
        At least float32, "b".
    """
    prediction = backbone.predict(backbone.add_noise(clean, noise, sigma), sigma, text)
    target = backbone.target(clean, noise, sigma).to(prediction)
    return motion_weighted_loss(location_error(prediction, target), weights, None)


@torch.inference_mode()
def fixed_losses(
    backbone: Backbone,
    clean: torch.Tensor,
    text: torch.Tensor,
    sigmas: Sequence[float],
    noise_seed: int,
    weights: torch.Tensor | None = None,
) -> np.ndarray:
    """Loss of a batch of clips at fixed (σ, ε) pairs, which changes with the model alone.

    The i-th noise level uses the noise of seed + i, shared by all clips, as gradients do.

    Args:
        backbone: The model to judge.
        clean: Latents "b c f h w".
        text: Caption embeddings "b l d".
        sigmas: Noise levels in (0, 1].
        noise_seed: Of the first ε.
        weights: Motion weights "b f h w", or None.

    Returns:
        float64 "b s".
    """
    columns = []
    for number, sigma in enumerate(sigmas):
        noise = fixed_noise(tuple(clean.shape[1:]), noise_seed + number)[None]
        loss = flow_losses(backbone, clean, noise, sigma, text, weights)
        columns.append(loss.double().cpu().numpy())
    return np.stack(columns, axis=1)

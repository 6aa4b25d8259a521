"""From a clip's latents, caption embedding and motion weights to its feature."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from motive.backbones import Backbone, TextEmbedding
from motive.errors import ClipError
from motive.gradients.collector import ALL_PARAMETERS, Collected, GradientCollector
from motive.gradients.objective import (
    Objective,
    fixed_noise,
    location_error,
    motion_weighted_loss,
)
from motive.projection import Projection


class ZeroGradientError(ClipError):
    """Nothing moves under the mask, so the motion-weighted loss has no gradient."""


@dataclass(frozen=True)
class Feature:
    """The projected gradient of one clip.

    Attributes:
        vector: g̃ = P g / ‖P g‖, float32 "d", unit length  [paper eq. 8].
        projected_norm: ‖P g‖; vector · projected_norm gives P g back.
        gradient_norm: ‖g‖ of the unprojected gradient (the mean over (t, ε) pairs).
        loss: L_mot (the mean over (t, ε) pairs).
    """

    vector: torch.Tensor
    projected_norm: float
    gradient_norm: float
    loss: float


class Featurizer:
    """Computes features with one backbone, projection and objective.

    Args:
        backbone: The model; only its transformer is differentiated.
        projection: See `motive.projection`.
        objective: The fixed (t, ε) and the loss.
        parameters: Regular expression of attributed parameter names.
        checkpointing: Recompute activations in backward: less memory, a third more time.

    A featurizer is used inside `ready()`:

        with featurizer.ready():
            feature = featurizer.feature(latents, text, weights, frames=81)
    """

    def __init__(
        self,
        backbone: Backbone,
        projection: Projection,
        objective: Objective,
        *,
        parameters: str = ALL_PARAMETERS,
        checkpointing: bool = False,
    ) -> None:
        self.backbone, self.projection, self.objective = backbone, projection, objective
        self.checkpointing = checkpointing
        self.collector = GradientCollector(backbone.transformer, projection, parameters)
        self._noise: dict[tuple[tuple[int, ...], int], torch.Tensor] = {}

    @contextmanager
    def ready(self) -> Iterator[Featurizer]:
        """Install the gradient hooks (and checkpointing) for the duration of the block."""
        model = self.backbone.transformer
        if self.checkpointing:
            model.enable_gradient_checkpointing()  # type: ignore[operator]
        try:
            with self.collector.active():
                yield self
        finally:
            if self.checkpointing:
                model.disable_gradient_checkpointing()  # type: ignore[operator]

    def feature(
        self,
        latents: torch.Tensor,
        text: TextEmbedding,
        weights: torch.Tensor | None,
        frames: int,
    ) -> Feature:
        """The feature of one clip.

        Args:
            latents: h, "c f h w".
            text: Caption embedding.
            weights: W̃ on the latent grid, "f h w"; ignored when the objective has no mask.
            frames: F, pixel frames of the clip.

        Raises:
            ZeroGradientError: The gradient is zero (no motion under the mask).
            ClipError: The gradient is not finite.
        """
        sums = torch.zeros(self.projection.dim)
        norms, losses = [], []
        pairs = len(self.objective.timesteps)
        for index, timestep in enumerate(self.objective.timesteps):
            loss_value, collected = self._one_pair(
                latents, text, weights, frames, timestep / 1000.0, index
            )
            norm = collected.squared_norm**0.5
            if not torch.isfinite(collected.projected).all() or norm != norm:
                raise ClipError("gradient is not finite; try --dtype float32")
            if norm == 0.0:
                raise ZeroGradientError(
                    "gradient is zero: nothing moves in this clip, so no motion can be attributed"
                )
            # With one pair the scale is kept; with several each gradient counts equally.
            scaled = collected.projected / (norm if pairs > 1 else 1.0)
            sums = sums + scaled
            norms.append(norm)
            losses.append(loss_value)
        projected = sums / pairs
        length = float(projected.norm())
        return Feature(projected / length, length, sum(norms) / pairs, sum(losses) / pairs)

    def _one_pair(
        self,
        latents: torch.Tensor,
        text: TextEmbedding,
        weights: torch.Tensor | None,
        frames: int,
        sigma: float,
        index: int,
    ) -> tuple[float, Collected]:
        value = 0.0

        def loss() -> torch.Tensor:
            nonlocal value
            clean = latents[None]
            noise = self._fixed_noise(tuple(clean.shape), self.objective.noise_seed + index)
            noisy = self.backbone.add_noise(clean, noise, sigma)
            target = self.backbone.target(clean, noise, sigma)
            prediction = self.backbone.predict(noisy, sigma, text.padded()[None])
            error = location_error(prediction, target.to(prediction), self.objective.residual)
            mask = weights[None] if self.objective.mask and weights is not None else None
            if mask is not None and self.objective.residual == "temporal difference":
                mask = mask[:, 1:]  # a change belongs to the later of its two frames
            divisor = frames if self.objective.frame_normalize else None
            result = motion_weighted_loss(error, mask, divisor).sum()
            value = float(result.detach())
            return result

        collected = self.collector.collect(loss)
        return value, collected

    def _fixed_noise(self, shape: tuple[int, ...], seed: int) -> torch.Tensor:
        key = (shape, seed)
        if key not in self._noise:
            self._noise[key] = fixed_noise(shape, seed)
        return self._noise[key]

"""One short fine-tuning on a set of clips, from the base weights and back to them.

Invariant: nested common random numbers (see `motive.finetuning.draws`). Two sets that share clips
share those clips' randomness, so what differs between two retrained models is what they were
trained on, and the difference stands out from the noise of training with fewer seeds.

The loss is the ordinary, unmasked objective (method §4); motion weights enter only where a
held-out clip is judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from motive.backbones import Backbone, TextEmbedding
from motive.backbones.flow import shifted
from motive.errors import ModelError, UsageError
from motive.finetuning.draws import Visit, Visits, noise_levels, training_noise
from motive.finetuning.objective import fixed_losses, flow_losses


@dataclass(frozen=True)
class Recipe:
    """How a model is fine-tuned: AdamW on all transformer weights, constant rate after a warm-up.

    Attributes:
        steps: Updates, whatever the number of clips: selections are compared at equal cost.
        batch_size: Clips per update.
        learning_rate: Of AdamW, after the warm-up.
        warmup: Updates over which the rate rises linearly.
        weight_decay: Of AdamW.
        shift: Training noise levels are σ = shift u / (1 + (shift − 1) u), u uniform.
        averaging: η of the polynomial-decay average of the weights, which is judged in the end:
            step t enters with (η + 1) / (t + η) (Shamir & Zhang 2013). It takes away much of what
            the last batches happened to be. None judges the last weights.
    """

    steps: int = 96
    batch_size: int = 8
    learning_rate: float = 1e-4
    warmup: int = 20
    weight_decay: float = 0.01
    shift: float = 3.0
    averaging: float | None = 2.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1 or self.warmup < 0:
            raise UsageError(
                f"{self.steps} steps of {self.batch_size} clips, warm-up {self.warmup}: at least "
                "one step of one clip, and no negative warm-up"
            )
        if not self.learning_rate > 0 or self.weight_decay < 0 or not self.shift > 0:
            raise UsageError(
                f"learning rate {self.learning_rate}, weight decay {self.weight_decay}, shift "
                f"{self.shift}: rate and shift must be positive, the decay not negative"
            )
        if self.averaging is not None and self.averaging < 0:
            raise UsageError(f"averaging {self.averaging}: must not be negative")


@dataclass(frozen=True)
class TrainingClips:
    """What can be trained on.

    Attributes:
        ids: n clip ids.
        latents: float32 "n c f h w".
        texts: n caption embeddings.
    """

    ids: tuple[str, ...]
    latents: torch.Tensor
    texts: tuple[TextEmbedding, ...]

    @cached_property
    def position(self) -> dict[str, int]:
        """Clip id -> row."""
        return {clip_id: row for row, clip_id in enumerate(self.ids)}

    def text(self, rows: Sequence[int]) -> torch.Tensor:
        """Padded caption embeddings "b l d" of some rows."""
        return torch.stack([self.texts[row].padded() for row in rows])


@dataclass(frozen=True)
class HeldOutClips(TrainingClips):
    """Query clips, on which a retrained model is judged and never trained.

    Attributes:
        weights: Motion weights W̃, float32 "n f h w".
    """

    weights: torch.Tensor


@contextmanager
def fine_tuned(
    backbone: Backbone, clips: TrainingClips, chosen: Sequence[str], recipe: Recipe, seed: int
) -> Iterator[None]:
    """Inside the block the backbone's transformer is fine-tuned; afterwards it is as before.

    Args:
        backbone: Its transformer is trained in place, in evaluation mode (no dropout).
        clips: Where the chosen clips' latents and captions are.
        chosen: Ids of the clips to train on; their order does not matter.
        recipe: How.
        seed: Of everything random.

    Raises:
        UsageError: Nothing was chosen, a clip twice, or one that is not there.
        ModelError: The transformer is not in float32, in which small updates would be lost, or the
            training diverged.
    """
    _check_chosen(clips, chosen)
    model = backbone.transformer
    parameters = [p for p in model.parameters() if p.dtype.is_floating_point]
    if any(p.dtype != torch.float32 for p in parameters):
        raise ModelError(f"{backbone.name}: fine-tuning needs float32 weights; use --dtype float32")
    base = [p.detach().clone() for p in parameters]
    flags = [p.requires_grad for p in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        _train(backbone, parameters, clips, chosen, recipe, seed)
        yield
    finally:
        with torch.no_grad():
            for parameter, value, flag in zip(parameters, base, flags, strict=True):
                parameter.copy_(value)
                parameter.requires_grad_(flag)
                parameter.grad = None


def held_out_losses(
    backbone: Backbone,
    clips: HeldOutClips,
    sigmas: Sequence[float],
    *,
    noise_seed: int = 0,
    batch_size: int = 25,
) -> np.ndarray:
    """Motion-weighted loss of every held-out clip at fixed (σ, ε) pairs  [paper eq. 15-16].

    The i-th noise level uses the noise of seed + i, shared by all clips, as gradients do.

    Args:
        backbone: The model to judge.
        clips: The clips and their motion weights.
        sigmas: Noise levels in (0, 1].
        noise_seed: Of the first ε.
        batch_size: Clips per pass; changes the speed only.

    Returns:
        float64 "n s".
    """
    losses = np.zeros((len(clips.ids), len(sigmas)))
    for first in range(0, len(clips.ids), batch_size):
        rows = slice(first, min(first + batch_size, len(clips.ids)))
        losses[rows] = fixed_losses(
            backbone,
            clips.latents[rows],
            clips.text(range(rows.start, rows.stop)),
            sigmas,
            noise_seed,
            clips.weights[rows],
        )
    return losses


def _check_chosen(clips: TrainingClips, chosen: Sequence[str]) -> None:
    if not chosen:
        raise UsageError("no clip to fine-tune on: choose at least one")
    if len(set(chosen)) < len(chosen):
        raise UsageError("a clip was chosen twice for fine-tuning; give each id once")
    strange = next((clip_id for clip_id in chosen if clip_id not in clips.position), None)
    if strange is not None:
        raise UsageError(f"clip {strange!r} is not among the {len(clips.ids)} candidates")


def _train(
    backbone: Backbone,
    parameters: list[torch.nn.Parameter],
    clips: TrainingClips,
    chosen: Sequence[str],
    recipe: Recipe,
    seed: int,
) -> None:
    """Train in place; the parameters end as their running average where the recipe asks for it."""
    optimizer = torch.optim.AdamW(
        parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    visits = Visits(chosen, seed)
    average = [p.detach().clone() for p in parameters]
    loss = torch.tensor(0.0)
    for step in range(1, recipe.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * min(1.0, step / max(1, recipe.warmup))
        batch = visits.span((step - 1) * recipe.batch_size, recipe.batch_size)
        loss = _batch_loss(backbone, clips, batch, recipe, seed)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        eta = recipe.averaging or 0.0
        torch._foreach_lerp_(average, [p.detach() for p in parameters], (eta + 1) / (step + eta))
    if not torch.isfinite(loss.detach()):
        raise ModelError(f"{backbone.name}: fine-tuning diverged; lower the learning rate")
    if recipe.averaging is not None:
        with torch.no_grad():
            for parameter, value in zip(parameters, average, strict=True):
                parameter.copy_(value)


def _batch_loss(
    backbone: Backbone,
    clips: TrainingClips,
    batch: Sequence[Visit],
    recipe: Recipe,
    seed: int,
) -> torch.Tensor:
    rows = [clips.position[clip_id] for clip_id, _ in batch]
    clean = clips.latents[rows]
    sigma = shifted(noise_levels(seed, batch), recipe.shift)
    noise = training_noise(clean.shape[1:], seed, batch)
    return flow_losses(backbone, clean, noise, sigma, clips.text(rows)).mean()

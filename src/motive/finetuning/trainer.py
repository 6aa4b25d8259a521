"""One update after the other: AdamW on the flow-matching loss, clipped, averaged, exact to repeat.

Invariant: update n is a function of the parameters, the optimiser's state, the settings and n
alone. No random state lives between updates, so a training that was killed and continued ends with
the bits of one that was not (on one device and number of threads).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from motive.backbones import Backbone
from motive.errors import ModelError
from motive.finetuning.checkpoints import Checkpoint, restore_weights
from motive.finetuning.config import FinetuneConfig
from motive.finetuning.draws import Visit, Visits, draws, noise_levels, training_noise
from motive.finetuning.group import Group
from motive.finetuning.material import Material
from motive.finetuning.objective import flow_losses, level_weight, training_sigma

_NAMED = 3  # clips named when a gradient overflows


class Trainer:
    """A transformer in training.

    Args:
        backbone: Its transformer is trained in place, in evaluation mode (no dropout).
        parameters: What is trained, float32.
        material: What it is trained on.
        config: How.
        precision: "float32" or "bfloat16" (of products; parameters and sums stay float32).
        group: The processes that train together.

    Attributes:
        step: Updates done.
    """

    def __init__(
        self,
        backbone: Backbone,
        parameters: dict[str, torch.nn.Parameter],
        material: Material,
        config: FinetuneConfig,
        precision: str,
        group: Group,
    ) -> None:
        self.backbone, self.parameters, self.material = backbone, parameters, material
        self.config, self.group, self.step = config, group, 0
        self.visits = Visits(list(material.clips), config.seed)
        self.optimizer = torch.optim.AdamW(
            parameters.values(), lr=config.rate, weight_decay=config.weight_decay
        )
        self._ema = None if config.ema is None else _moving_average(parameters, config.ema)
        device = next(iter(parameters.values())).device
        self._half = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
        if config.checkpointing:
            backbone.transformer.enable_gradient_checkpointing()  # type: ignore[operator]

    def update(self) -> float:
        """Do one update; returns the loss that it lowered, averaged over its clips.

        Raises:
            ModelError: The loss or its gradient is not finite: names the step and the clips, and
                leaves the parameters as they were.
            MotiveError: Out of memory.
        """
        config = self.config
        share = config.batch * config.accumulate
        first = (self.step * self.group.count + self.group.rank) * share
        visits = self.visits.span(first, share)
        self.optimizer.zero_grad(set_to_none=True)
        losses: list[tuple[str, float]] = []
        for start in range(0, share, config.batch):
            losses += self._pass(visits[start : start + config.batch])
        losses = self.group.collect(losses)
        self._require_finite(losses)
        self._average_and_clip(losses)
        for rate in self.optimizer.param_groups:
            rate["lr"] = config.rate * min(1.0, (self.step + 1) / max(1, config.warmup))
        self.optimizer.step()
        if self._ema is not None:
            self._ema.step(self.parameters.values())
        self.step += 1
        return math.fsum(loss for _, loss in losses) / len(losses)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside the block the parameters are those to be saved: their average where asked for."""
        if self._ema is None:
            yield
            return
        self._ema.store(self.parameters.values())
        self._ema.copy_to(self.parameters.values())
        try:
            yield
        finally:
            self._ema.restore(self.parameters.values())

    @contextmanager
    def judged(self) -> Iterator[None]:
        """`averaged`, with products of the training's precision."""
        with self.averaged(), self._half:
            yield

    def checkpoint(self, record: dict[str, Any]) -> Checkpoint:
        """Everything that a continuation needs."""
        average = None
        if self._ema is not None:
            average = dict(zip(self.parameters, self._ema.shadow_params, strict=True))
        weights: dict[str, torch.Tensor] = dict(self.parameters)
        return Checkpoint(self.step, weights, average, self.optimizer.state_dict(), record)

    def restore(self, checkpoint: Checkpoint, where: Path) -> None:
        """Continue from a checkpoint; `where` names it in errors.

        Raises:
            ModelError: It is of another architecture.
        """
        restore_weights(where, self.parameters, checkpoint.weights)
        if self._ema is not None:
            shadow = dict(zip(self.parameters, self._ema.shadow_params, strict=True))
            restore_weights(where, shadow, checkpoint.average or {})
            self._ema.optimization_step = checkpoint.step
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.step = checkpoint.step

    def _pass(self, batch: Sequence[Visit]) -> list[tuple[str, float]]:
        """Add the gradient of a few visits; returns (clip id, loss) of each."""
        try:
            each = self._losses(batch)
            torch.autograd.backward(each.mean() / self.config.accumulate)
        except torch.OutOfMemoryError as error:
            first = str(error).splitlines()[0]
            raise ModelError(
                f"{self.backbone.name}: out of memory ({first:.80}); try --checkpointing, a "
                "smaller --batch with more --accumulate, --lora, or fewer frames or pixels"
            ) from error
        return list(zip([clip_id for clip_id, _ in batch], each.detach().tolist(), strict=True))

    def _losses(self, batch: Sequence[Visit]) -> torch.Tensor:
        """Weighted loss of each visit, "b"."""
        config, ids = self.config, [clip_id for clip_id, _ in batch]
        clean = self.material.latents(ids)
        sigma = training_sigma(noise_levels(config.seed, batch), config.density, config.shift)
        noise = training_noise(clean.shape[1:], config.seed, batch)
        text = self.material.text([None if self._drops(visit) else visit[0] for visit in batch])
        with self._half:
            each = flow_losses(self.backbone, clean, noise, sigma, text)
        return each * level_weight(sigma, config.weighting, config.shift).to(each)

    def _drops(self, visit: Visit) -> bool:
        """Whether this visit is trained with the empty caption."""
        share = self.config.caption_dropout
        return share > 0 and draws(self.config.seed, *visit, "caption").random() < share

    def _average_and_clip(self, losses: Sequence[tuple[str, float]]) -> None:
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        self.group.average(gradients)
        norm = torch.nn.utils.clip_grad_norm_(
            self.parameters.values(), self.config.clip_norm or math.inf
        )
        if not math.isfinite(float(norm)):
            names = "; ".join(self.material.clips[name].source for name, _ in losses[:_NAMED])
            raise ModelError(
                f"{self.backbone.name}: the gradient is {float(norm)} at step {self.step + 1} "
                f"(clips {names}); lower --lr, or look at these clips"
            )

    def _require_finite(self, losses: Sequence[tuple[str, float]]) -> None:
        bad = next(((name, loss) for name, loss in losses if not math.isfinite(loss)), None)
        if bad is not None:
            raise ModelError(
                f"{self.backbone.name}: the loss is {bad[1]} at step {self.step + 1} for clip "
                f"{self.material.clips[bad[0]].source}; lower --lr, or look at this clip"
            )


def _moving_average(parameters: dict[str, torch.nn.Parameter], decay: float) -> Any:
    from diffusers.training_utils import EMAModel

    return EMAModel(parameters.values(), decay=decay, foreach=True)

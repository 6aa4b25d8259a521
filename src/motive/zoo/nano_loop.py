"""One resumable optimisation loop, shared by wan-nano's autoencoder and its transformer.

Invariant: a run that was killed and continued ends with bit-for-bit the weights of a run that was
not. So no random state lives between steps: everything random in step n is drawn from a generator
seeded by (seed, stage, n), and a checkpoint is complete or absent, never half-written.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from motive.errors import UsageError
from motive.files import whole_file
from motive.zoo.nano_muon import Muon, hidden_matrices

logger = logging.getLogger(__name__)

LossFn = Callable[[torch.Generator], torch.Tensor]
_LOSS_EVERY = 10  # steps averaged into one point of the loss curve


@dataclass(frozen=True)
class TrainProgress:
    """What a progress callback is told.

    Attributes:
        stage: "clips", "vae", "decoder", "latents" or "transformer".
        step: Units done (clips or optimisation steps).
        steps: Units in this stage.
        loss: Recent training loss; NaN where there is none.
    """

    stage: str
    step: int
    steps: int
    loss: float = math.nan


ProgressFn = Callable[[TrainProgress], None]


@dataclass(frozen=True)
class StageOptions:
    """How one stage is optimised: linear warm-up, cosine decay, moving average of the weights.

    Attributes:
        steps: Optimisation steps.
        muon_rate: Peak learning rate of the hidden matrices, trained by Muon.
        adam_rate: Peak learning rate of all other parameters, trained by AdamW.
        warmup: Steps of linear warm-up.
        betas: AdamW's moment decays.
        weight_decay: Decoupled decay of the hidden matrices.
        ema_decay: Decay of the averaged weights that are kept; grows from 0 at the start.
        final_rate: Rate at the last step, relative to the peak.
        clip_norm: Largest gradient norm.
        checkpoint_seconds: Wall-clock time between checkpoints.
    """

    steps: int
    muon_rate: float = 0.02
    adam_rate: float = 1e-3
    warmup: int = 100
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    ema_decay: float = 0.998
    final_rate: float = 0.02
    clip_norm: float = 1.0
    checkpoint_seconds: float = 300.0

    def scale(self, step: int) -> float:
        """Rate of step 0, 1, ..., steps - 1, relative to the peak."""
        warm = min(1.0, (step + 1) / max(1, min(self.warmup, self.steps // 4)))
        cosine = 0.5 * (1.0 + math.cos(math.pi * step / max(1, self.steps)))
        return warm * (self.final_rate + (1.0 - self.final_rate) * cosine)


@dataclass
class Stage:
    """The mutable state of one stage: weights, averaged weights, optimiser and loss curve.

    Attributes:
        name: Stage name; part of the random key and the checkpoint's file name.
        modules: The modules being trained.
        options: How they are optimised.
        seed: Seed of everything random in the stage.
        key: What must be equal for a checkpoint to be continued (data, sizes, options).
        step: Steps done.
        losses: (step, mean loss since the point before).
    """

    name: str
    modules: Sequence[torch.nn.Module]
    options: StageOptions
    seed: int
    key: str
    step: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parameters: list[torch.Tensor] = [
            parameter for module in self.modules for parameter in module.parameters()
        ]
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        hidden = hidden_matrices(self.modules)
        known = {id(parameter) for parameter in hidden}
        others = [parameter for parameter in self.parameters if id(parameter) not in known]
        self.optimizers: tuple[torch.optim.Optimizer, ...] = (
            Muon(hidden, weight_decay=self.options.weight_decay),
            torch.optim.AdamW(others, betas=self.options.betas, weight_decay=0.0),
        )

    def state(self) -> dict[str, Any]:
        """Everything a continuation needs, as tensors and plain values."""
        return {
            "key": self.key,
            "step": self.step,
            "losses": self.losses,
            "parameters": [p.detach() for p in self.parameters],
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`.

        Raises:
            UsageError: It belongs to other data, sizes or options.
        """
        if state["key"] != self.key:
            raise UsageError(
                f"wan-nano {self.name}: the checkpoint was made with other clips or options; "
                "repeat them, or train into another folder"
            )
        self.step = state["step"]
        self.losses = [(int(step), float(loss)) for step, loss in state["losses"]]
        with torch.no_grad():
            for target, value in zip(self.parameters, state["parameters"], strict=True):
                target.copy_(value)
            for target, value in zip(self.average, state["average"], strict=True):
                target.copy_(value)
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def swap_average(self) -> None:
        """Exchange the weights in the modules with their moving average (twice = no change)."""
        with torch.no_grad():
            for parameter, average in zip(self.parameters, self.average, strict=True):
                current = parameter.clone()
                parameter.copy_(average)
                average.copy_(current)

    def update(self, loss_fn: LossFn) -> float:
        """Do one step; returns its loss."""
        scale = self.options.scale(self.step)
        rates = (self.options.muon_rate, self.options.adam_rate)
        for optimizer, rate in zip(self.optimizers, rates, strict=True):
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = rate * scale
        loss = loss_fn(step_generator(self.seed, self.name, self.step))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.parameters, self.options.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        decay = min(self.options.ema_decay, self.step / (self.step + 9.0))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1.0 - decay)
        return float(loss.detach())


def run_stage(
    stage: Stage,
    loss_fn: LossFn,
    checkpoint: Path,
    *,
    on_progress: ProgressFn | None = None,
    on_checkpoint: Callable[[], object] | None = None,
) -> None:
    """Run a stage to its last step, from its checkpoint if there is one.

    Args:
        stage: The stage; afterwards its modules hold the averaged weights.
        loss_fn: Loss of one step, everything random in it drawn from the generator it is given.
        checkpoint: File written every `checkpoint_seconds` and at the end.
        on_progress: Called every 10 steps.
        on_checkpoint: Called after each checkpoint, with the averaged weights in the modules.

    Raises:
        UsageError: The checkpoint belongs to other data or options, or the loss is not finite.
    """
    if checkpoint.exists():
        stage.restore(torch.load(checkpoint, map_location="cpu", weights_only=True))
        logger.info("%s: continuing at step %d", stage.name, stage.step)
    recent: list[float] = []
    last_save = time.monotonic()
    steps = stage.options.steps
    while stage.step < steps:
        loss = stage.update(loss_fn)
        if not math.isfinite(loss):
            raise UsageError(
                f"wan-nano {stage.name}: loss is {loss} at step {stage.step}; "
                "lower the learning rate or look for blank clips"
            )
        recent.append(loss)
        due = time.monotonic() - last_save >= stage.options.checkpoint_seconds
        if stage.step % _LOSS_EVERY == 0 or stage.step == steps or due:
            stage.losses.append((stage.step, sum(recent) / len(recent)))
            recent.clear()
            if on_progress is not None:
                on_progress(TrainProgress(stage.name, stage.step, steps, stage.losses[-1][1]))
        if due or stage.step == steps:
            save_checkpoint(stage.state(), checkpoint)
            if on_checkpoint is not None and stage.step < steps:
                stage.swap_average()
                on_checkpoint()
                stage.swap_average()
            last_save = time.monotonic()
    stage.swap_average()


def step_generator(seed: int, stage: str, step: int) -> torch.Generator:
    """The random numbers of one step: a function of (seed, stage, step) and of nothing else."""
    digest = hashlib.blake2b(f"{seed}/{stage}/{step}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint so that `path` holds the old one or the new one, whole.

    Raises:
        MotiveError: The disk is full or the folder cannot be written; the old file stays.
    """
    with whole_file(path) as temporary:
        torch.save(state, temporary)

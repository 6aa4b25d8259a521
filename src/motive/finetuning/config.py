"""The options of a fine-tuning: one typed place for the command line, the record and the docs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from motive.clips import ClipStandard
from motive.errors import UsageError
from motive.finetuning.objective import DENSITIES, WEIGHTINGS

FULL_RATE, LORA_RATE = 1e-5, 1e-4  # the paper's, and DiffSynth-Studio's for Wan 2.1 1.3B
_PRECISIONS = ("auto", "float32", "bfloat16")
_DECIDING = (
    "lora", "batch", "accumulate", "warmup", "weight_decay", "clip_norm", "ema", "shift",
    "density", "weighting", "caption_dropout", "seed",
)  # fmt: skip


def _option(default: Any, text: str, flag: str | None = None) -> Any:
    return field(default=default, metadata={"help": text, "flag": flag})


@dataclass(frozen=True)
class FinetuneConfig:
    """Every option of a fine-tuning. Each field's help text is its metadata entry "help".

    The defaults are those of the paper's trainer (DiffSynth-Studio, `train.py` for Wan 2.1), except
    for the gradient clipping, which it leaves out.
    """

    model: str = _option("wan-nano-base", "Diffusers pipeline folder, hub id or embedded name.")
    lora: int | None = _option(
        None, "Train low-rank adapters of this rank (32 is common); default: the full transformer."
    )
    steps: int = _option(1000, "Updates, whatever the number of clips.")
    learning_rate: float | None = _option(
        None, "Of AdamW; default: 1e-5, with --lora 1e-4.", "--lr"
    )
    batch: int = _option(1, "Clips per forward pass and process.")
    accumulate: int = _option(1, "Forward passes whose gradients are averaged into one update.")
    warmup: int = _option(0, "Updates over which the learning rate rises linearly.")
    weight_decay: float = _option(0.01, "Of AdamW.")
    clip_norm: float | None = _option(
        1.0, "Largest norm of the gradient; a longer one is scaled down. 0: no limit."
    )
    ema: float | None = _option(
        None, "Decay of a moving average of the weights, which is then saved; for example 0.999."
    )
    shift: float = _option(5.0, "Of the noise levels in training; above 1, more of them are high.")
    density: str = _option("uniform", "Noise levels before the shift: uniform, logit-normal.")
    weighting: str = _option(
        "bell", "Of the loss over noise levels: bell (DiffSynth-Studio's), none."
    )
    caption_dropout: float = _option(0.0, "Share of visits with an empty caption, for guidance.")
    seed: int = _option(0, "Of order, noise, noise levels and adapters.")
    frames: int | None = _option(None, "Frames per clip, 4k+1; default: the run's or the model's.")
    fps: float | None = _option(None, "Frames per second; default: the run's or the model's.")
    height: int | None = _option(None, "Pixels; default: the run's or the model's.")
    width: int | None = _option(None, "Pixels; default: the run's or the model's.")
    precision: str = _option(
        "auto", "float32; bfloat16 (products, and frozen weights under LoRA); auto: by device."
    )
    device: str = _option("auto", "auto, cpu, cuda or cuda:N; accelerate launch decides for more.")
    checkpointing: bool = _option(False, "Recompute activations: less memory, more time.")
    checkpoint_every: int | None = _option(
        None, "Updates between checkpoints; default: every ten minutes. One is written at the end."
    )
    keep_checkpoint: bool = _option(
        True, "Keep the last checkpoint, so that the training can be made longer later."
    )
    merge: bool = _option(False, "With --lora: also save a pipeline with the adapters merged in.")
    sample_every: int | None = _option(
        None, "Updates between samples; default: at the start and the end."
    )
    sample_steps: int | None = _option(None, "Denoising steps of samples; default: pipeline's.")
    sample_guidance: float | None = _option(None, "Guidance of samples; default: pipeline's.")
    held_out_every: int | None = _option(
        None, "Updates between measurements on held-out clips; default: twenty in all."
    )
    skip_unusable: bool = _option(
        False, "Train without clips that are missing, damaged or too short; they are listed."
    )

    def __post_init__(self) -> None:
        """Check every value that can be checked without the model."""
        counts = ("steps", "batch", "accumulate", "lora", "checkpoint_every", "sample_every")
        for name in (*counts, "held_out_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} {value}: must be at least 1")
        for name in ("warmup", "weight_decay", "seed", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise UsageError(f"--{name.replace('_', '-')} {value}: must not be negative")
        if self.learning_rate is not None and not 0 < self.learning_rate < 10:
            raise UsageError(f"--lr {self.learning_rate}: must be above 0; try 1e-5")
        if not 0 < self.shift < 1000:
            raise UsageError(f"--shift {self.shift}: must be above 0; Wan uses 3 or 5")
        if self.ema is not None and not 0 < self.ema < 1:
            raise UsageError(f"--ema {self.ema}: must be between 0 and 1, for example 0.999")
        if not 0 <= self.caption_dropout <= 1:
            raise UsageError(f"--caption-dropout {self.caption_dropout}: must be a share, 0 to 1")
        choices = {
            "density": DENSITIES,
            "weighting": WEIGHTINGS,
            "precision": _PRECISIONS,
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise UsageError(
                    f"--{name} {getattr(self, name)}: choose one of {', '.join(known)}"
                )

    @property
    def rate(self) -> float:
        """The learning rate after the warm-up."""
        if self.learning_rate is not None:
            return self.learning_rate
        return FULL_RATE if self.lora is None else LORA_RATE

    def standard(self, default: ClipStandard) -> ClipStandard:
        """The clip shape: the default where nothing else was asked for."""
        return default.changed(self.frames, self.fps, self.height, self.width)

    def precision_on(self, device: str) -> str:
        """What "auto" means: "bfloat16" on a GPU, "float32" elsewhere."""
        if self.precision != "auto":
            return self.precision
        return "bfloat16" if device.startswith("cuda") else "float32"

    def settings(self) -> dict[str, Any]:
        """What decides the weights after n updates, JSON-able, for checkpoints to be compared by.

        Not the number of updates: the rate is constant, so a training can be made longer. Not the
        device: another one rounds otherwise, but it is the same training.
        """
        return {"learning_rate": self.rate} | {name: getattr(self, name) for name in _DECIDING}

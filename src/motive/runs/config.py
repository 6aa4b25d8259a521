"""The options of a run: one typed place that feeds the command line, `config.yaml` and the docs."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from motive.clips import ClipStandard
from motive.errors import UsageError
from motive.gradients import Objective
from motive.motion import MotionConfig
from motive.projection import BlockedFastfood
from motive.versions import versions as versions


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class RunConfig:
    """Every option of a run. Each field's help text is its metadata entry "help"."""

    model: str = _option(
        "wan-nano", "Diffusers pipeline folder, hub id, or wan-nano (inside the package)."
    )
    weights: str | None = _option(
        None, "Fine-tuned weights of the model's transformer, on top: a safetensors file."
    )
    lora: str | None = _option(
        None, "LoRA of the model's transformer, on top: a safetensors file or a trainer's folder."
    )
    merge_lora: bool = _option(
        True, "Add the LoRA to the weights; off: apart, --parameters lora attributes it alone."
    )
    frames: int | None = _option(None, "Frames per clip, mostly 4k+1; default: the model's own.")
    fps: float | None = _option(None, "Frames per second sampled by timestamp; default: model's.")
    height: int | None = _option(None, "Pixels; default: the model's own size.")
    width: int | None = _option(None, "Pixels; default: the model's own size.")
    motion: str = _option(
        "default",
        "Motion weights. default: the paper's formula on DIS flow; objects: what moves against the "
        "camera; paper: to the letter, with AllTracker.",
    )
    tracker: str | None = _option(
        None, "Motion estimator, see `motive doctor`; default: that of the motion weights."
    )
    displacement: str | None = _option(
        None,
        "consecutive: frame to next frame, in each frame's own place; anchor: from frame 0; "
        "anchor-literal: the same, left in frame 0's coordinates.",
    )
    pool: str | None = _option(
        None, "Pooling of weights over the frames of a latent frame: mean (default), max."
    )
    motion_options: tuple[str, ...] = _option(
        (),
        "NAME=VALUE: other settings of the motion weights, such as weight_by=residual or "
        "noise_floor=0.1; tracker.NAME=VALUE: the tracker's own, such as tracker.weights=PATH.",
    )
    timesteps: tuple[float, ...] | None = _option(
        None,
        "Timestep(s) of 1000 at which gradients are taken, sigma = t / 1000 for every family; "
        "default: the model's own (751).",
    )
    noise_seed: int = _option(0, "Seed of the one noise sample that all clips share.")
    mask: bool = _option(True, "Weight the loss by motion; off: the ordinary training loss.")
    captions: bool = _option(
        True, "Condition the model on captions; off: on the empty one, so that none can leak."
    )
    residual: str = _option(
        "error",
        "error: the paper's squared error; temporal-difference: of its change between frames.",
    )
    dim: int = _option(512, "Projected dimension D', a power of two.")
    projection_seed: int = _option(0, "Seed of the random projection.")
    block: int = _option(1 << 15, "Largest Fastfood block, a power of two.")
    parameters: str = _option(".*", "Regular expression of transformer parameters to attribute.")
    dtype: str = _option("float32", "Transformer precision: float32, bfloat16 or float16.")
    device: str = _option("auto", "auto, cpu, cuda or cuda:N; does not change the features.")
    checkpointing: bool = _option(False, "Recompute activations: less memory, more time.")
    offload: bool = _option(
        False, "Keep weights in CPU memory, one layer on the device at a time; checkpoints too."
    )
    offload_activations: bool = _option(
        False, "Keep what backward needs in CPU memory: less memory on the device, more time."
    )
    compile_blocks: bool = _option(
        False, "Compile the model's blocks (torch.compile); pays where one clip fills the device."
    )
    batch: int | None = _option(
        None, "Clips per pass; default: 8 for small models on a CPU, else 1. Changes rounding only."
    )

    def __post_init__(self) -> None:
        """Check every value that can be checked without the model, before any work is done."""
        self.objective(1.0), self.projection(), self.motion_config().settings
        try:
            re.compile(self.parameters)
        except re.error as error:
            raise UsageError(f"parameter pattern {self.parameters!r}: {error}") from None
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"batch {self.batch}: must be at least 1")
        if self.batch not in (None, 1) and self.one_by_one:
            raise UsageError(
                f"batch {self.batch}: checkpointing, offloading and compiling take one clip at a "
                "time; leave them out, or use --batch 1"
            )

    @property
    def one_by_one(self) -> bool:
        """Whether an option rules several clips per pass out."""
        return self.checkpointing or self.offload or self.offload_activations or self.compile_blocks

    @property
    def sigma(self) -> float | None:
        """The highest noise level that was asked for; None: the model's own."""
        return None if self.timesteps is None else max(self.timesteps) / 1000.0

    def objective(self, sigma_fix: float) -> Objective:
        """The loss that is differentiated.

        Args:
            sigma_fix: The model's own noise level, taken where no timesteps were asked for.
        """
        # Rounded, so that a σ of 0.751 is timestep 751 exactly, as features on disk say.
        own = (round(1000.0 * sigma_fix, 6),)
        return Objective(
            own if self.timesteps is None else tuple(self.timesteps),
            self.noise_seed,
            self.mask,
            residual=self.residual.replace("-", " "),  # type: ignore[arg-type]
        )

    def projection(self) -> BlockedFastfood:
        """The projection."""
        return BlockedFastfood(self.dim, self.projection_seed, self.block)

    def motion_config(self) -> MotionConfig:
        """How motion weights are made.

        Raises:
            UsageError: A setting that does not exist, or a value out of range.
        """
        values: dict[str, Any] = {
            name: getattr(self, name) for name in ("tracker", "displacement", "pool")
        }
        of_tracker: dict[str, Any] = {}
        for text in self.motion_options:
            name, given, value = text.partition("=")
            if not (given and name and value):
                raise UsageError(
                    f"motion option {text!r}: write NAME=VALUE, for example weight_by=residual"
                )
            target = of_tracker if name.startswith("tracker.") else values
            target[name.removeprefix("tracker.")] = _plain(value)
        if of_tracker:
            values["tracker_options"] = of_tracker
        return MotionConfig.preset(self.motion, **values)

    def standard(self, default: ClipStandard) -> ClipStandard:
        """The clip shape: the model's own where nothing else was asked for."""
        return default.changed(self.frames, self.fps, self.height, self.width)

    def updated(self, **changes: Any) -> RunConfig:
        """A copy with the changes that are not None.

        Raises:
            UsageError: Unknown option.
        """
        known = {entry.name for entry in dataclasses.fields(self)}
        unknown = sorted(set(changes) - known)
        if unknown:
            raise UsageError(
                f"unknown option {unknown[0]!r}; options are {', '.join(sorted(known))}"
            )
        return dataclasses.replace(
            self, **{name: value for name, value in changes.items() if value is not None}
        )


def read_config(path: Path) -> dict[str, Any]:
    """Read a `config.yaml`; the run's options are under "options".

    Raises:
        UsageError: The file is missing or malformed.
    """
    try:
        loaded = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: file not found; run `motive index` first") from None
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None
    if not isinstance(loaded, dict) or not isinstance(loaded.get("options"), dict):
        raise UsageError(f"{path}: no options in it; is it the config.yaml of a run?")
    return loaded


def config_from(loaded: dict[str, Any], path: Path) -> RunConfig:
    """The options of a loaded `config.yaml`.

    Raises:
        UsageError: Unknown option, or a value of the wrong kind; names file and option.
    """
    hints = get_type_hints(RunConfig)
    values = {}
    for name, value in loaded["options"].items():
        if name not in hints:
            raise UsageError(f"{path}: unknown option {name!r}; remove or rename it")
        try:
            values[name] = _typed(value, hints[name])
        except (TypeError, ValueError):
            kind = str(getattr(hints[name], "__name__", hints[name]))
            raise UsageError(f"{path}: {name}: {value!r} is no {kind}; correct it") from None
    try:
        return RunConfig(**values)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _typed(value: Any, hint: Any) -> Any:
    """The value as the field's type; YAML knows neither tuples nor numbers such as 1e-05."""
    kinds = get_args(hint)
    if get_origin(hint) is tuple:
        return tuple(_typed(item, kinds[0]) for item in value)
    if type(None) in kinds:
        return None if value is None else _typed(value, kinds[0])
    if hint is float and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise TypeError(value)
    return value


def _plain(text: str) -> Any:
    """A number, true or false where the text is one; else the text."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, int | float) else text


def config_yaml(config: RunConfig, **sections: Any) -> str:
    """`config.yaml`: options with their help as comments, then other sections, then versions."""
    lines = [
        "# Written by motive; `motive index RUN` without options repeats this run.",
        "options:",
    ]
    for entry in dataclasses.fields(config):
        value = _one_line_yaml(getattr(config, entry.name))
        lines += [f"  # {entry.metadata['help']}", f"  {entry.name}: {value}"]
    rest = {**sections, "versions": versions()}
    return "\n".join(lines) + "\n" + yaml.safe_dump(rest, sort_keys=False, allow_unicode=True)


def _one_line_yaml(value: Any) -> str:
    text = yaml.safe_dump(
        list(value) if isinstance(value, tuple) else value,
        default_style='"' if isinstance(value, str) else None,  # escapes line breaks
        default_flow_style=True,
        allow_unicode=True,
        width=1 << 20,
    )
    return text.removesuffix("...\n").strip()

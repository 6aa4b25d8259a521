"""Everything an experiment does, in one YAML file.

Invariant: the file alone decides the numbers. What may differ between machines (folders, number of
processes) is on the command line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

from motive.backbones import EMBEDDED_MODELS
from motive.errors import UsageError
from motive.evaluation.metrics import OfficialVBench, Sources, chosen_metrics
from motive.experiment.conditions import KNOWN, PAPER, Condition
from motive.experiment.reading import check_names, load_yaml, merged, section, typed
from motive.finetuning import FinetuneConfig
from motive.generation import GenerateConfig
from motive.runs import RunConfig

PRESETS = ("motionzoo", "wan2.1")
MOTIONZOO = "motionzoo"  # stands for the clips and prompts inside the package
AUTO = "auto"


@dataclass(frozen=True)
class DataChoice:
    """Which clips, queries and prompts.

    Attributes:
        clips: Training clips: a folder or list, or "motionzoo".
        queries: Clips that show the wanted motions, never trained on; the same forms.
        prompts: List with a column prompt (and motion), never a training caption; or "motionzoo".
        motions: Only queries and prompts with these labels; None takes all.
        first_clips: Only so many of the clips, in the order of their list.
        queries_per_motion: Only so many queries of each label.
        prompts_per_motion: Only so many prompts of each label.
    """

    clips: str = MOTIONZOO
    queries: str = MOTIONZOO
    prompts: str = MOTIONZOO
    motions: tuple[str, ...] | None = None
    first_clips: int | None = None
    queries_per_motion: int | None = None
    prompts_per_motion: int | None = None

    def __post_init__(self) -> None:
        for name in ("first_clips", "queries_per_motion", "prompts_per_motion"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} {value}: must be at least 1")
        if self.motions is not None and not self.motions:
            raise UsageError("motions: name at least one, or leave it out for all")


@dataclass(frozen=True)
class SelectionChoice:
    """How clips are selected, for every method alike.

    Attributes:
        top: Share ("10%") or number of clips.
        percentile: Of a query's scores, above which it votes; None: the one that `top` implies.
        per_motion: Select, fine-tune and generate for each motion of the queries alone; else one
            model is asked for all motions. Choices that do not look at queries have one model.
        encoder: Of "embedding": folder or hub id; "auto" takes V-JEPA 2 if the hub's cache has it,
            else the built-in encoder; None takes the built-in one.
    """

    top: str = "10%"
    percentile: float | None = None
    per_motion: bool = False
    encoder: str | None = AUTO


@dataclass(frozen=True)
class JudgeChoice:
    """With what the videos are judged; see `motive.evaluation.metrics.Sources`.

    Attributes:
        metrics: Groups or metrics.
        weights: Name in `WEIGHTS` -> folder, file, hub id or function.
        hub: Whether DINO and CLIP may be downloaded.
        flow: Tracker of VBench's dynamic degree.
        classifier: Folder of another motion classifier.
        vbench: Python of an environment with the vbench package.
    """

    metrics: tuple[str, ...] = ("vbench", "built-in", "motion")
    weights: dict[str, str] = field(default_factory=dict)
    hub: bool = False
    flow: str = "raft"
    classifier: str | None = None
    vbench: str | None = None

    def __post_init__(self) -> None:
        _ = self.sources(), self.keys

    def sources(self, device: str = AUTO) -> Sources:
        """What the measures are made of."""
        weights = tuple(sorted(self.weights.items()))
        return Sources(weights, self.hub, device, self.flow, self.classifier or "")

    @property
    def keys(self) -> list[str]:
        """The metrics; those of the vbench package too where it is there."""
        asked = [*self.metrics, *(["official"] if self.vbench else [])]
        return chosen_metrics(list(dict.fromkeys(asked)))

    def official(self, device: str) -> OfficialVBench | None:
        """The vbench package in its environment."""
        if self.vbench is None:
            return None
        return OfficialVBench(Path(self.vbench), "cpu" if device == "cpu" else "cuda", 1)


@dataclass(frozen=True)
class ExperimentConfig:
    """An experiment. The sections have the options of the commands of the same names.

    Attributes:
        title: Heading of the page.
        model: Base model that is attributed and fine-tuned.
        device: auto, cpu, cuda or cuda:N, for all steps.
        seeds: Each trains every condition once and gives one video per prompt.
        main: Name of the condition that the others are compared with.
        conditions: Rows of the table.
        data: See `DataChoice`.
        selection: See `SelectionChoice`.
        features: Options of the run that attributes.
        finetune: Options of every fine-tuning; the seed is set per training.
        generate: Options of every generation; model and seed are set per condition.
        evaluate: See `JudgeChoice`.
        keep_models: Keep fine-tuned models once their videos are made.
        quick: Whether the section "quick" of the file was put on top.
    """

    title: str
    model: str
    device: str
    seeds: tuple[int, ...]
    main: str
    conditions: tuple[Condition, ...]
    data: DataChoice
    selection: SelectionChoice
    features: RunConfig
    finetune: FinetuneConfig
    generate: GenerateConfig
    evaluate: JudgeChoice
    keep_models: bool = True
    quick: bool = False

    def condition(self, name: str) -> Condition:
        """One of the conditions."""
        return next(condition for condition in self.conditions if condition.name == name)

    def features_of(self, condition: Condition) -> tuple[RunConfig, ...]:
        """Options of the run whose scores rank its clips; of several, one per draw of noise."""
        own = dataclasses.replace(self.features, **condition.features)
        step = len(own.timesteps or (0,))  # its i-th timestep has the noise of seed + i
        return tuple(
            dataclasses.replace(own, noise_seed=own.noise_seed + draw * step)
            for draw in range(condition.draws)
        )


_PLAIN: dict[str, tuple[Any, Any]] = {  # key -> (type, default)
    "title": (str, "Does a motion-aware selection make motion better?"),
    "model": (str, "wan-nano-base"),
    "device": (str, AUTO),
    "seeds": (tuple[int, ...], (0, 1, 2)),
    "main": (str, ""),
    "keep_models": (bool, True),
}
_SECTIONS = ("data", "selection", "features", "finetune", "generate", "evaluate")
_KEYS = (*_PLAIN, "conditions", *_SECTIONS, "quick")
# Set by the experiment, or about what it does not do.
_NOT_IN_FEATURES = ("model", "device")
# Of a condition's own features: all choose among the same clips, and how they are computed is no
# difference between them.
_NOT_IN_OWN_FEATURES = (
    *_NOT_IN_FEATURES, "frames", "fps", "height", "width", "checkpointing", "offload",
    "offload_activations", "compile_blocks", "batch",
)  # fmt: skip
_NOT_IN_FINETUNE = (
    "model", "device", "seed", "keep_checkpoint", "sample_every", "sample_steps",
    "sample_guidance", "held_out_every", "skip_unusable", "merge",
)  # fmt: skip
_NOT_IN_GENERATE = ("model", "device", "lora", "seeds", "naming")


def read_experiment(path: Path, *, quick: bool = False) -> ExperimentConfig:
    """Read an experiment; relative paths in it count from its folder.

    Args:
        path: YAML file.
        quick: Put the file's section "quick" on top of the rest.

    Raises:
        DatasetError: The file is missing or no YAML.
        UsageError: An unknown key (with the nearest one), or a value that is wrong.
    """
    loaded = load_yaml(path)
    check_names(loaded, _KEYS, str(path))
    changes = loaded.pop("quick", None)
    if quick:
        if not isinstance(changes, Mapping) or not changes:
            raise UsageError(f"{path}: has no section quick; say there what --quick changes")
        check_names(changes, [key for key in _KEYS if key != "quick"], f"{path}: quick")
        loaded = merged(loaded, changes)
    return experiment_from(loaded, str(path), path.parent, quick=quick)


def experiment_from(
    loaded: Mapping[str, Any], where: str, base: Path, *, quick: bool = False
) -> ExperimentConfig:
    """An experiment from the mapping in its file; see `read_experiment`."""
    check_names(loaded, _KEYS, where)
    plain = {
        key: typed(loaded[key], kind, f"{where}: {key}") if key in loaded else default
        for key, (kind, default) in _PLAIN.items()
    }
    seeds = plain["seeds"]
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UsageError(f"{where}: seeds {list(seeds)}: at least one, each once, none negative")
    conditions = _conditions(loaded.get("conditions", list(PAPER)), where)
    model, device = _local(plain.pop("model"), base), plain.pop("device")

    def part(kind: type, name: str, without: tuple[str, ...] = (), **fixed: Any) -> Any:
        given = loaded.get(name)
        return section(kind, given, f"{where}: {name}", without=without, **fixed)

    fixed = {"model": model, "device": device}
    features = part(RunConfig, "features", _NOT_IN_FEATURES, **fixed)
    return ExperimentConfig(
        **{**plain, "main": _main(plain["main"], conditions, where)},
        model=model,
        device=device,
        conditions=tuple(_checked(c, features, where, base) for c in conditions),
        data=_data(part(DataChoice, "data"), base),
        selection=_selection(part(SelectionChoice, "selection"), base),
        features=features,
        finetune=part(FinetuneConfig, "finetune", _NOT_IN_FINETUNE, **fixed, keep_checkpoint=False),
        generate=part(GenerateConfig, "generate", _NOT_IN_GENERATE, **fixed),
        evaluate=_judges(part(JudgeChoice, "evaluate"), base),
        quick=quick,
    )


def _conditions(given: Any, where: str) -> list[Condition]:
    if not isinstance(given, list) or not given:
        raise UsageError(f"{where}: conditions: list at least one, for example - motive")
    found: list[Condition] = []
    for entry in given:
        options = {"name": entry} if isinstance(entry, str) else entry
        if not isinstance(options, Mapping) or "name" not in options:
            raise UsageError(f"{where}: conditions: {entry!r} has no name; write name: ...")
        name = str(options["name"])
        if isinstance(entry, str) or "by" not in options:
            check_names({name: None}, list(KNOWN), f"{where}: conditions")
        found.append(
            section(Condition, {**KNOWN.get(name, {}), **options}, f"{where}: conditions: {name}")
        )
    for number, condition in enumerate(found):
        if any(other.name.lower() == condition.name.lower() for other in found[:number]):
            raise UsageError(
                f"{where}: conditions: {condition.name!r} is listed twice; name each once"
            )
    return found


def _main(given: str, conditions: list[Condition], where: str) -> str:
    names = [condition.name for condition in conditions]
    if given:
        check_names({given: None}, names, f"{where}: main")
        return given
    first = (c.name for c in conditions if c.by == "motive" and not c.bottom)
    return next(first, names[-1])


def _local(name: str, base: Path) -> str:
    """A path that exists beside the file, or the name as it is (hub ids, embedded models)."""
    if not name or name in EMBEDDED_MODELS:
        return name
    file, colon, function = name.rpartition(":") if ".py:" in name else (name, "", "")
    path = base / Path(file).expanduser()
    return f"{path.resolve()}{colon}{function}" if path.exists() else name


def _data(data: DataChoice, base: Path) -> DataChoice:
    def place(name: str) -> str:
        return name if name == MOTIONZOO else str((base / Path(name).expanduser()).resolve())

    return dataclasses.replace(
        data, clips=place(data.clips), queries=place(data.queries), prompts=place(data.prompts)
    )


def _selection(selection: SelectionChoice, base: Path) -> SelectionChoice:
    if selection.encoder in (None, AUTO):
        return selection
    return dataclasses.replace(selection, encoder=_local(str(selection.encoder), base))


def _checked(condition: Condition, features: RunConfig, where: str, base: Path) -> Condition:
    """The condition with its encoder's place, and its own features as a run's options."""
    own = f"{where}: conditions: {condition.name}: features"
    hints = get_type_hints(RunConfig)
    check_names(condition.features, [n for n in hints if n not in _NOT_IN_OWN_FEATURES], own)
    values = {
        name: typed(value, hints[name], f"{own}: {name}")
        for name, value in condition.features.items()
    }
    try:
        dataclasses.replace(features, **values)
    except UsageError as error:
        raise UsageError(f"{own}: {error}") from None
    encoder = condition.encoder and _local(condition.encoder, base)
    return dataclasses.replace(condition, encoder=encoder, features=values)


def _judges(judges: JudgeChoice, base: Path) -> JudgeChoice:
    def local(place: str | None) -> str | None:
        return place and _local(place, base)

    weights = {name: _local(place, base) for name, place in judges.weights.items()}
    return dataclasses.replace(
        judges,
        weights=weights,
        classifier=local(judges.classifier),
        vbench=local(judges.vbench),
    )


def preset(name: str) -> str:
    """Text of a YAML file to begin with.

    Raises:
        UsageError: There is none of that name.
    """
    check_names({name: None}, PRESETS, "--preset")
    return (resources.files("motive.experiment") / "presets" / f"{name}.yaml").read_text("utf-8")

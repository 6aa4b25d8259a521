"""What an experiment was, beside its numbers: what the tables and the page tell."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motive.clips import ClipStandard
from motive.errors import MotiveError, UsageError
from motive.experiment.attributing import Attribution, Chosen
from motive.experiment.conditions import Condition
from motive.experiment.config import ExperimentConfig
from motive.experiment.data import ExperimentData, Group, prompt_motion
from motive.experiment.producing import Production
from motive.versions import versions

FILE = "about.json"
STILL = "none"  # MotionZoo's label where nothing but the camera moves
Choice = tuple[str, str, int | None]  # condition, group, and the seed where clips are drawn


@dataclass(frozen=True)
class ConditionFacts:
    """One row of the table.

    Attributes:
        name: As in files.
        title: As in tables.
        by: How its clips were chosen.
        clips: How many; 0 for the base model.
        models: How many were trained.
        wanted: Share of its clips that are labelled with the motion its model is asked for; None
            where nothing is labelled.
        still: Share of its clips that are labelled "none".
        decoys: Share of decoys among its clips.
        shared: Share of its clips that the main condition has too.
        losses: (update, mean loss) over the training, mean over its models.
    """

    name: str
    title: str
    by: str
    clips: int
    models: int
    wanted: float | None
    still: float
    decoys: float
    shared: float
    losses: list[tuple[float, float]]


@dataclass(frozen=True)
class About:
    """What the numbers rest on.

    Attributes:
        title: Heading.
        model: Base model.
        main: The condition that the others are compared with.
        quick: Whether this was a quick run.
        conditions: In the order of the table.
        seeds: Of trainings and videos.
        motions: Labels of the queries.
        per_motion: Whether conditions that ask queries have a model for each motion.
        prompts: (text, motion or "") of each.
        clips: Training clips to choose from.
        queries: Queries.
        updates: Of every fine-tuning.
        per_update: Clips per update.
        rate: Learning rate.
        trained: What is trained, in words.
        sampling: Steps, guidance and shape, in words.
        fps: Frames per second of the videos.
        size: Their width and height in pixels.
        metrics: Keys that were asked for.
        cautions: What to know before comparing with other papers.
        notes: About the data.
        broken: Videos that could not be judged.
        seconds: Kind of step -> working time of all its steps.
        settings: The whole configuration.
        versions: Of the software.
        command: Shell line that repeats it.
    """

    title: str
    model: str
    main: str
    quick: bool
    conditions: list[ConditionFacts]
    seeds: list[int]
    motions: list[str]
    per_motion: bool
    prompts: list[tuple[str, str]]
    clips: int
    queries: int
    updates: int
    per_update: int
    rate: float
    trained: str
    sampling: str
    fps: float
    size: tuple[int, int]
    metrics: list[str]
    cautions: list[str]
    notes: list[str]
    broken: list[str]
    seconds: dict[str, float]
    settings: dict[str, Any]
    versions: dict[str, str]
    command: str

    def condition(self, name: str) -> ConditionFacts:
        """One of the conditions."""
        return next(facts for facts in self.conditions if facts.name == name)


def about_experiment(
    config: ExperimentConfig,
    data: ExperimentData,
    groups: Sequence[Group],
    attribution: Attribution,
    chosen: Mapping[Choice, Chosen],
    works: Sequence[Production],
    records: Mapping[str, Mapping[str, Any]],
    command: str,
) -> About:
    """Collect what the finished steps say about themselves."""
    tuning, evaluated = config.finetune, records["evaluate"]
    features = records["features"]
    making = config.generate
    shape = attribution.standard.changed(making.frames, making.fps, making.height, making.width)
    return About(
        title=config.title,
        model=config.model,
        main=config.main,
        quick=config.quick,
        conditions=[
            _facts(condition, config, groups, attribution.encoder, chosen, works, records)
            for condition in config.conditions
        ],
        seeds=list(config.seeds),
        motions=data.motions,
        per_motion=config.selection.per_motion,
        prompts=[(p.text, prompt_motion(p) or "") for p in data.prompts.prompts],
        clips=int(features["clips"]),
        queries=int(features["queries"]),
        updates=tuning.steps,
        per_update=tuning.batch * tuning.accumulate,
        rate=tuning.rate,
        trained="all weights" if tuning.lora is None else f"LoRA of rank {tuning.lora}",
        sampling=_sampling(config, shape),
        fps=shape.fps,
        size=(shape.width, shape.height),
        metrics=config.evaluate.keys,
        cautions=list(evaluated["cautions"]),
        notes=[*data.notes, *_left_out(attribution, records)],
        broken=[_shortened(str(line), attribution.out) for line in evaluated["broken"]],
        seconds=_seconds(records),
        settings=json.loads(json.dumps(dataclasses.asdict(config), default=str)),
        versions=versions(),
        command=command,
    )


def read_about(out: Path) -> About:
    """What an experiment's folder says about itself.

    Raises:
        UsageError: The experiment is not finished.
        MotiveError: The file is damaged.
    """
    path = out / FILE
    if not path.exists():
        raise UsageError(f"{out}: no finished experiment in it; `motive experiment run` makes one")
    try:
        loaded = json.loads(path.read_text("utf-8"))
        loaded["conditions"] = [ConditionFacts(**facts) for facts in loaded["conditions"]]
        loaded["size"] = tuple(loaded["size"])
        loaded["prompts"] = [(text, motion) for text, motion in loaded["prompts"]]
        return About(**loaded)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise MotiveError(f"{path}: damaged ({error}); run the experiment again") from None


def _facts(
    condition: Condition,
    config: ExperimentConfig,
    groups: Sequence[Group],
    encoder: str | None,
    chosen: Mapping[Choice, Chosen],
    works: Sequence[Production],
    records: Mapping[str, Mapping[str, Any]],
) -> ConditionFacts:
    mine = {choice: found for choice, found in chosen.items() if choice[0] == condition.name}
    trainings = {
        work.train.key: records[work.train.name]
        for work in works
        if work.condition == condition.name and work.train is not None
    }
    total = sum(len(found.ids) for found in mine.values())
    curves = [record["losses"] for record in trainings.values()]
    return ConditionFacts(
        name=condition.name,
        title=condition.shown(config.selection.top, condition.encoder or encoder),
        by=condition.by,
        clips=len(next(iter(mine.values())).ids) if mine else 0,
        models=len(trainings),
        wanted=_wanted(mine, groups),
        still=sum(found.labels.get(STILL, 0) for found in mine.values()) / max(1, total),
        decoys=sum(found.decoys for found in mine.values()) / max(1, total),
        shared=_shared(mine, chosen, config.main),
        losses=[
            (step, float(np.mean([line[k][1] for line in curves])))
            for k, (step, _) in enumerate(curves[0] if curves else [])
        ],
    )


def _wanted(mine: Mapping[Choice, Chosen], groups: Sequence[Group]) -> float | None:
    """Mean share of clips with a label that the model is asked for, over models and motions."""
    shares = [
        sum(found.labels.get(motion, 0) for motion in group.motions) / max(1, len(found.ids))
        for (_, name, _), found in mine.items()
        for group in groups
        if name in ("", group.name)
    ]
    labelled = any(found.labels for found in mine.values()) and any(g.motions for g in groups)
    return float(np.mean(shares)) if labelled else None


def _shared(mine: Mapping[Choice, Chosen], chosen: Mapping[Choice, Chosen], main: str) -> float:
    """Mean share of clips that the main condition's model for the same motion has too."""
    shares = [
        len({*found.ids} & {*other.ids}) / max(1, len(found.ids))
        for (_, name, _), found in mine.items()
        for (theirs, group, _), other in chosen.items()
        if theirs == main and (name == group or "" in (name, group))
    ]
    return float(np.mean(shares)) if shares else 0.0


def _left_out(attribution: Attribution, records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Clips that have no feature, and why."""
    found = []
    for name, label in {step.name: step.label for step in attribution.steps.values()}.items():
        what = f"Left out under {label}" if label else "Left out"
        reasons = records[name]["left_out"]
        found += [f"{what}: {_shortened(reason, attribution.out)}" for reason in reasons]
    return found


def _shortened(reason: str, out: Path) -> str:
    """A reason that names files inside the experiment's folder from there."""
    return reason.replace(f"{out.resolve()}/", "").replace(f"{out}/", "")


def _sampling(config: ExperimentConfig, shape: ClipStandard) -> str:
    making = config.generate
    said = [f"{shape.frames} frames of {shape.width}x{shape.height} at {shape.fps:g} fps"]
    said.append("the pipeline's own steps" if making.steps is None else f"{making.steps} steps")
    guidance = "the pipeline's own" if making.guidance is None else f"{making.guidance:g}"
    return ", ".join([*said, f"guidance {guidance}"])


def _seconds(records: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    found: Counter[str] = Counter()
    for name, record in records.items():
        found[name.split(" ")[0]] += record["seconds"]
    return {kind: round(seconds, 1) for kind, seconds in found.items()}

"""The first half of an experiment: features of all clips, and each condition's choice of clips."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motive.clips import Clip, ClipStandard
from motive.encoders import open_video_encoder
from motive.errors import ClipError, ModelError
from motive.experiment.conditions import FULL, LABELLED, Condition, options_in_words
from motive.experiment.config import AUTO, ExperimentConfig
from motive.experiment.data import ExperimentData, Group
from motive.experiment.steps import Step
from motive.finetuning.record import ids_digest
from motive.index import Fingerprint
from motive.index.manifest import TRAIN
from motive.runs import Progress, Run, RunConfig, select_run
from motive.selection import majority_vote, write_selection_csv

_LOG = logging.getLogger(__name__)
VJEPA2 = "facebook/vjepa2-vitl-fpc64-256"
CSV = "selection.csv"
_LONGEST = 80  # letters of a label, which is a part of a folder's name


@dataclass(frozen=True)
class Chosen:
    """The clips that a condition trains on.

    Attributes:
        ids: Their ids; best first where there is an order.
        labels: Motion label -> clips; empty where nothing is labelled.
        decoys: Clips that MotionZoo marks as such.
    """

    ids: tuple[str, ...]
    labels: Mapping[str, int]
    decoys: int


class Attribution:
    """Features and selections: one run folder, and one per condition with features of its own.

    A run is opened for a step and dropped after it, so that no model stays in memory.

    Args:
        config: The experiment.
        data: Its clips and queries.
        out: Its folder.
        on_progress: Called as (stage, done, total).
    """

    def __init__(
        self, config: ExperimentConfig, data: ExperimentData, out: Path, on_progress: Progress
    ) -> None:
        self.config, self.data, self.out = config, data, out
        self.cache, self._progress = out / "cache", on_progress
        self._by_id = {identity(clip): clip for clip in data.clips}
        probe = Run(out / "features", config.features, cache=self.cache)
        self.weights: dict[str, Any] = dict(probe.backbone.fingerprint())
        self.standard: ClipStandard = probe.standard
        self.step = self._features_step("", probe, ids_digest(self._by_id))
        #: Options of a run -> its step; the experiment's own first.
        self.steps: dict[RunConfig, Step] = {config.features: self.step}
        for condition in config.conditions:
            for options in config.features_of(condition):
                if options not in self.steps:
                    self.steps[options] = self._own_step(options, probe.fingerprint)
        self.encoder = resolved_encoder(config.selection.encoder)

    def _features_step(self, label: str, probe: Run, clips: str) -> Step:
        inputs = {
            **json.loads(probe.fingerprint.to_json()),
            "clips": clips,
            "queries": ids_digest(map(identity, self.data.queries)),
        }
        return Step("features", label, inputs, self.out)

    def _own_step(self, options: RunConfig, base: Fingerprint) -> Step:
        """The step of other options; the experiment's own if its features are the same."""
        probe = Run(self.out / "features", options, cache=self.cache)
        if probe.fingerprint == base:
            return self.step
        own = {
            field.name: getattr(options, field.name)
            for field in dataclasses.fields(options)
            if getattr(options, field.name) != getattr(self.config.features, field.name)
        }
        # Among the clips that the experiment's own features can rank: all choose from the same.
        label = ", ".join(options_in_words(own))[:_LONGEST]
        return self._features_step(label, probe, self.step.key)

    def _open(self, options: RunConfig) -> Run:
        folder = self.steps[options].folder
        return Run(folder, options, cache=self.cache, on_progress=self._progress)

    def attribute(self, options: RunConfig) -> dict[str, Any]:
        """Features of clips and queries, and the ranking; returns the step's record."""
        began, step = time.perf_counter(), self.steps[options]
        clips = self.data.clips
        if step is not self.step:
            clips = self.clips(self._open(self.config.features).ranking().clip_ids)
        run = self._open(options)
        indexed = run.index(clips)
        ranking = run.rank(self.data.queries)
        problems = [reason for _, reason in (*indexed.errors, *ranking.errors)]
        for reason in problems[:5]:
            _LOG.warning("left out: %s", reason)
        return step.finish(
            time.perf_counter() - began,
            clips=len(ranking.clip_ids),
            queries=len(ranking.query_ids),
            left_out=problems,
            duplicates=len(indexed.duplicates),
        )

    def selection_step(self, condition: Condition, group: Group, seed: int | None) -> Step:
        """The step that chooses a condition's clips; `seed` for those that are drawn."""
        keys = [self.steps[options].key for options in self.config.features_of(condition)]
        inputs: dict[str, Any] = {"features": keys if keys[1:] else keys[0], "by": condition.by}
        if condition.asks:
            inputs["asking"] = ids_digest(map(identity, group.queries))
        if condition.selects:
            inputs |= {
                "top": self.data.count_of(condition.top or self.config.selection.top),
                "percentile": self.config.selection.percentile,
                "bottom": condition.bottom,
                "diverse": condition.diverse,
            }
        if condition.by == "embedding":
            place = condition.encoder or self.encoder
            inputs["encoder"] = (
                "built-in" if place is None
                else dict(open_video_encoder(place, self.config.device).settings)
            )  # fmt: skip
        if seed is not None:
            inputs["seed"] = seed
        if condition.by == LABELLED:
            inputs["motions"] = list(group.motions)
        return Step("select", step_label(condition, group, seed), inputs, self.out)

    def select(
        self, condition: Condition, group: Group, seed: int | None, step: Step
    ) -> dict[str, Any]:
        """Choose a condition's clips and write them down; returns the step's record."""
        began = time.perf_counter()
        target = step.folder / CSV
        if condition.by == FULL:
            ids = tuple(self._open(self.config.features).ranking().clip_ids)
        elif condition.by == LABELLED:
            ids = self._labelled(group, seed or 0, int(step.inputs["top"]), target)
        else:
            run, *draws = (self._ranked(o, group) for o in self.config.features_of(condition))
            found = select_run(
                run,
                int(step.inputs["top"]),
                by=condition.by,
                percentile=self.config.selection.percentile,
                bottom=condition.bottom,
                diverse=condition.diverse,
                encoder=condition.encoder or self.encoder if condition.by == "embedding" else None,
                seed=seed or 0,
                device=self.config.device,
                draws=draws,
                out=target,
            )
            ids = tuple(choice.clip_id for choice in found.choices)
        chosen = [self._by_id[name] for name in ids]
        labels = Counter(clip.label for clip in chosen if clip.label)
        return step.finish(
            time.perf_counter() - began,
            ids=list(ids),
            labels=dict(labels.most_common()),
            decoys=sum(bool(clip.extra.get("decoy")) for clip in chosen),
        )

    def clips(self, ids: Sequence[str]) -> tuple[Clip, ...]:
        """The clips with these ids."""
        return tuple(self._by_id[name] for name in ids)

    def _ranked(self, options: RunConfig, group: Group) -> Run:
        """The run with a ranking for the group's queries; no feature is computed anew."""
        run, asked = self._open(options), {identity(clip) for clip in group.queries}
        if set(run.ranking().query_ids) != asked:
            run.rank(group.queries)
        return run

    def _labelled(self, group: Group, seed: int, top: int, target: Path) -> tuple[str, ...]:
        """Clips drawn from those labelled with the queries' motions: what knowing them gives."""
        run, wanted = self._open(self.config.features), set(group.motions)
        ranking = run.ranking()
        clips = self.clips(ranking.clip_ids)
        fits = [clip.label in wanted and not clip.extra.get("decoy") for clip in clips]
        if not any(fits):
            raise ModelError(
                "condition labelled: no clip has a label that a query has; take the condition out"
            )
        drawn = np.random.default_rng(seed).random(len(clips)) / 2 + np.array(fits)
        found = majority_vote(
            drawn[None].astype(np.float32), ranking.clip_ids, ["any query"], top,
            method=f"drawn from the clips labelled with the queries' motions, seed {seed}",
        )  # fmt: skip
        write_selection_csv(target, found, _facts(run))
        return tuple(choice.clip_id for choice in found.choices)


def step_label(condition: Condition, group: Group, seed: int | None) -> str:
    """Condition, motion and seed, as far as there are any."""
    parts = [condition.name, group.name, "" if seed is None else f"seed {seed}"]
    return ", ".join(part for part in parts if part)


def chosen_of(record: Mapping[str, Any]) -> Chosen:
    """The choice that a selection step wrote down."""
    return Chosen(tuple(record["ids"]), dict(record["labels"]), int(record["decoys"]))


def identity(clip: Clip) -> str:
    """The clip's id; a clip that cannot be read is called by its place."""
    try:
        return clip.id if clip.digest else f"unreadable {clip.source}"
    except ClipError:
        return f"unreadable {clip.source}"


def resolved_encoder(asked: str | None) -> str | None:
    """What embeddings come from: "auto" is V-JEPA 2 if it was downloaded before, else None.

    Raises:
        ModelError: What was asked for by name is not there.
    """
    if asked != AUTO:
        if asked is not None:
            dict(open_video_encoder(asked, "cpu").settings)
        return asked
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        snapshot_download(
            VJEPA2, local_files_only=True, allow_patterns=["config.json", "*.safetensors"]
        )
        dict(open_video_encoder(VJEPA2, "cpu").settings)
    except (LocalEntryNotFoundError, ModelError, OSError):
        return None
    return VJEPA2


def _facts(run: Run) -> dict[str, dict[str, str]]:
    return {
        name: {
            "source": record.source,
            "start": f"{record.start:g}" if record.start else "",
            "end": "" if record.end is None else f"{record.end:g}",
            "caption": record.caption,
            "label": record.label or "",
        }
        for name, record in run.records(TRAIN).items()
    }

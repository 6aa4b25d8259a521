"""Runs an experiment step by step, doing what is missing and nothing else."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from motive.backbones.loading import chosen_device
from motive.errors import UsageError
from motive.evaluation.metrics import build_measures, evaluate_folders
from motive.evaluation.metrics.evaluating import settings_digests
from motive.experiment.about import FILE, About, Choice, about_experiment
from motive.experiment.attributing import Attribution, Chosen, chosen_of, step_label
from motive.experiment.conditions import Condition
from motive.experiment.config import ExperimentConfig
from motive.experiment.data import ExperimentData, Group, load_data
from motive.experiment.producing import Production, produce, produce_in_worker
from motive.experiment.steps import KINDS, Ledger, Step, only_run
from motive.files import whole_file
from motive.finetuning.record import ids_digest
from motive.processes import as_completed
from motive.runs import Progress

Tell = Callable[[str], None]


def run_experiment(
    config: ExperimentConfig,
    out: Path,
    *,
    workers: int = 1,
    only: str | None = None,
    prune: bool = False,
    command: str = "",
    on_progress: Progress | None = None,
    tell: Tell | None = None,
) -> About | None:
    """Do every step that is not done; called again after any interruption, it goes on.

    Args:
        config: The experiment.
        out: Its folder.
        workers: Processes that fine-tune, generate and evaluate. The numbers do not depend on it.
        only: Do steps of this kind alone (one of `KINDS`); those before must be done.
        prune: Delete results of earlier settings in the end.
        command: Shell line that repeats this, for the page.
        on_progress: Called as (stage, done, total).
        tell: Called with one line on what is done again, and why.

    Returns:
        What the result is about, once all is done; None if `only` left something undone.

    Raises:
        UsageError: A choice that does not fit the data, or steps before `only` that are not done.
        MotiveError: See the rooms that do the work; what is finished is kept.
    """
    if workers < 1:
        raise UsageError(f"--workers {workers}: must be at least 1")
    if only is not None and only not in KINDS:
        raise UsageError(f"--only {only}: must be one of {', '.join(KINDS)}")
    with only_run(out):
        data = load_data(config.data, out)
        silent: Progress = lambda stage, done, total: None  # noqa: E731
        run = _Run(config, data, out, workers, only, on_progress or silent, tell or _silent)
        return run.all(command, prune)


class _Run:
    """One call of `run_experiment`."""

    def __init__(
        self,
        config: ExperimentConfig,
        data: ExperimentData,
        out: Path,
        workers: int,
        only: str | None,
        on_progress: Progress,
        tell: Tell,
    ) -> None:
        self.config, self.data, self.out, self.workers = config, data, out, workers
        self.only, self.progress, self.tell = only, on_progress, tell
        self.groups = data.groups(per_motion=config.selection.per_motion)
        self.ledger = Ledger(out)
        self.attribution = Attribution(config, data, out, on_progress)
        self.steps: list[Step] = []
        self.records: dict[str, dict[str, Any]] = {}

    def all(self, command: str, prune: bool) -> About | None:
        """Every step in order."""
        selections = self._selection_steps()  # a selection that cannot be made is told first
        if not self._features():
            return None
        chosen = self._select(selections)
        works = [] if chosen is None else self._productions(chosen)
        if chosen is None or not self._produce(works) or not self._evaluate(works):
            return None
        about = about_experiment(
            self.config,
            self.data,
            self.groups,
            self.attribution,
            chosen,
            works,
            self.records,
            command,
        )
        with whole_file(self.out / FILE) as partial:
            partial.write_text(json.dumps(dataclasses.asdict(about), indent=1) + "\n", "utf-8")
        self._tell_of_old(prune)
        return about

    # -- steps -------------------------------------------------------------------------------

    def _features(self) -> bool:
        steps = self.attribution.steps
        missing = self._missing(list(steps.values()))
        if missing and not self._allowed("features"):
            return False
        for options, step in steps.items():
            if step in missing:
                missing.remove(step)
                self._finish(step, self.attribution.attribute(options))
        return True

    def _selection_steps(self) -> dict[Choice, Step]:
        return {
            (condition.name, group.name, seed): self.attribution.selection_step(
                condition, group, seed
            )
            for condition in self.config.conditions
            if condition.trained
            for group in self._groups_of(condition)
            for seed in (self.config.seeds if condition.drawn else (None,))
        }

    def _groups_of(self, condition: Condition) -> tuple[Group, ...]:
        """Those that a condition has a model for each; one that asks no query has one model."""
        return self.groups if condition.asks else (self.data.whole,)

    def _select(self, steps: dict[Choice, Step]) -> dict[Choice, Chosen] | None:
        missing = self._missing(list(steps.values()))
        if missing and not self._allowed("select"):
            return None
        named = {group.name: group for group in (self.data.whole, *self.groups)}
        for number, ((name, group, seed), step) in enumerate(steps.items(), start=1):
            if step in missing:
                condition = self.config.condition(name)
                record = self.attribution.select(condition, named[group], seed, step)
                self._finish(step, record)
                self.progress("selecting clips", number, len(steps))
        return {choice: chosen_of(self.records[step.name]) for choice, step in steps.items()}

    def _productions(self, chosen: dict[Choice, Chosen]) -> list[Production]:
        return [
            self._production(condition, group, seed, chosen)
            for seed in self.config.seeds
            for condition in self.config.conditions
            for group in self._groups_of(condition)
        ]

    def _production(
        self, condition: Condition, group: Group, seed: int, chosen: dict[Choice, Chosen]
    ) -> Production:
        config, attribution = self.config, self.attribution
        standard = attribution.standard
        tuning = dataclasses.replace(config.finetune, seed=seed)
        wanted = config.generate
        size = standard.changed(wanted.frames, wanted.fps, wanted.height, wanted.width)
        # Said outright: a fine-tuned model remembers its clips' shape, the base model its own.
        making = dataclasses.replace(wanted, seeds=(seed,), **dataclasses.asdict(size))
        label = step_label(condition, group, seed)
        train: Step | None = None
        ids: tuple[str, ...] = ()
        origin: dict[str, Any] = {"weights": attribution.weights}
        if condition.trained:
            ids = chosen[condition.name, group.name, seed if condition.drawn else None].ids
            inputs = {
                "weights": attribution.weights,
                "standard": dataclasses.asdict(tuning.standard(standard)),
                "precision": tuning.precision_on(str(chosen_device(config.device))),
                "steps": tuning.steps,
                **tuning.settings(),
                "clips": ids_digest(ids),
            }
            train = Step("finetune", label, inputs, self.out)
            origin = {"model": train.key}
        sampling = {n: getattr(making, n) for n in ("steps", "guidance", "negative", "dtype")}
        make = Step(
            "generate",
            label,
            {**origin, **sampling, "standard": dataclasses.asdict(size), "seed": seed},
            self.out,
            {"prompts": ids_digest(prompt.text for prompt in group.prompts.prompts)},
        )
        return Production(
            condition.name, group.name, seed, train, make, tuning, attribution.clips(ids),
            standard, attribution.cache, making, group.prompts, config.keep_models,
        )  # fmt: skip

    def _produce(self, works: Sequence[Production]) -> bool:
        steps = [step for w in works for step in (w.train, w.make) if step is not None]
        todo = [work for work in works if work.todo()]
        self._missing(steps)
        kinds = [kind for kind in ("finetune", "generate") if self.only in (None, kind)]
        if self.only == "generate" and any("finetune" in work.todo() for work in todo):
            self._allowed("finetune")
        if todo and not kinds and not self._allowed("finetune"):
            return False
        asked = [work for work in todo if set(work.todo()) & set(kinds)]
        for number, produced in enumerate(self._calls(asked, tuple(kinds)), start=1):
            work = asked[produced[0]]
            for step, record in ((work.train, produced[1].trained), (work.make, produced[1].made)):
                if step is not None and record is not None:
                    self._finish(step, record)
            self.progress("models trained and sampled", number, len(asked))
        self._missing(steps)
        return not any(work.todo() for work in works)

    def _calls(self, works: Sequence[Production], kinds: tuple[str, ...]) -> Any:
        if self.workers == 1 or len(works) < 2:
            return ((n, produce(work, kinds, self.progress)) for n, work in enumerate(works))
        calls = [(work, kinds) for work in works]
        return as_completed(min(self.workers, len(works)), produce_in_worker, calls)

    def _evaluate(self, works: Sequence[Production]) -> bool:
        step = self._evaluation_step(works)
        if not self._missing([step]):
            return True
        if not self._allowed("evaluate"):
            return False
        began, judges = time.perf_counter(), self.config.evaluate
        found = evaluate_folders(
            {c.name: self._video_list(c.name, works, step.folder) for c in self.config.conditions},
            step.folder,
            metrics=judges.keys,
            sources=judges.sources(self.config.device),
            official=judges.official(self.config.device),
            workers=self.workers,
            on_progress=self.progress,
        )
        record = step.finish(
            time.perf_counter() - began,
            videos=len(found.rows),
            cautions=found.cautions,
            broken=[row.error for row in found.broken],
        )
        self._finish(step, record)
        return True

    def _evaluation_step(self, works: Sequence[Production]) -> Step:
        judges = self.config.evaluate
        own = [key for key in judges.keys if not key.startswith("official_")]
        measures, refused = build_measures(own, judges.sources(self.config.device))
        digests = {k: d for m in measures for k, d in settings_digests(m).items() if k in own}
        asked = {
            "videos": {w.make.label: w.make.key for w in works},
            "metrics": {**digests, **dict.fromkeys(refused, "not measured")},
            "vbench": judges.vbench,
        }
        return Step("evaluate", "", {}, self.out, asked)

    def _video_list(self, condition: str, works: Sequence[Production], place: Path) -> Path:
        """A list of a condition's videos of all seeds, as `motive evaluate` reads it."""
        rows = []
        for work in works:
            if work.condition != condition:
                continue
            folder = work.make.folder
            wanted = {prompt.text for prompt in work.prompts.prompts}
            for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines():
                row = json.loads(line)
                if row["prompt"] in wanted:
                    rows.append({**row, "file_name": str((folder / row["file_name"]).resolve())})
        path = place / "lists" / f"{condition}.jsonl"
        with whole_file(path) as partial:
            text = "".join(json.dumps(row) + "\n" for row in rows)
            partial.write_text(text, "utf-8")
        return path

    # -- bookkeeping -------------------------------------------------------------------------

    def _missing(self, steps: Sequence[Step]) -> list[Step]:
        """Steps that are not done; those done again are told, and those done are remembered."""
        self.steps += [step for step in steps if step not in self.steps]
        for line in self.ledger.changed(steps):
            self.tell(line)
        missing = []
        for step in steps:
            record = step.record()
            if record is None:
                missing.append(step)
            else:
                self.records[step.name] = record
                self.ledger.take(step, record, new=False)
        return missing

    def _finish(self, step: Step, record: dict[str, Any]) -> None:
        self.records[step.name] = record
        self.ledger.take(step, record, new=True)

    def _allowed(self, kind: str) -> bool:
        """Whether a missing step of this kind may be done now.

        Raises:
            UsageError: Steps were asked for that need it.
        """
        if self.only is None or self.only == kind:
            return True
        if KINDS.index(self.only) > KINDS.index(kind):
            raise UsageError(
                f"--only {self.only}: the step before it, {kind}, is not done in {self.out}; run "
                f"--only {kind} first, or leave --only out"
            )
        return False

    def _tell_of_old(self, prune: bool) -> None:
        old = len(self.ledger.forgotten(self.steps))
        if old and prune:
            self.tell(f"{self.ledger.prune(self.steps)} results of earlier settings deleted")
        elif old:
            self.tell(f"{old} results of earlier settings are kept (--prune deletes them)")


def _silent(line: str) -> None:
    """For callers who want to hear nothing."""

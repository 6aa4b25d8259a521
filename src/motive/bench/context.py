"""What a method may ask about a problem: pixels, latents, motion weights, gradients; all cached.

Invariant: everything is stored under the fingerprint that decides its numbers, so methods, views
and later runs share what was computed, and an interrupted run continues where it stopped. Control
views show other pixels under the weights of the moving clip.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from motive.backbones import Backbone
from motive.bench.clipwork import ClipWork, FeatureSpec, Setting, features_in_process
from motive.bench.problem import BenchClip, Problem
from motive.bench.views import View
from motive.clips import Clip
from motive.errors import UsageError
from motive.gradients.batch import AUTOMATIC_BATCH
from motive.index import FeatureRow, FeatureStore, FeatureTable
from motive.processes import Workers, one_thread
from motive.runs.config import RunConfig
from motive.runs.model import clips_per_pass
from motive.runs.prepare import PreparedClip

Role = Literal["candidates", "queries"]
Progress = Callable[[str, int, int], None]  # stage, done, total

DEFAULT_MODEL = "wan-nano-base"
_ROWS_PER_COMMIT = 16  # an interruption loses at most these


class Bench:
    """A problem as seen through one model and one view.

    Args:
        problem: Candidates and queries.
        model: Pipeline folder, hub id or embedded name; default the config's, else wan-nano-base.
        cache: Folder for latents, weights, embeddings and features; grows, safe to delete.
        config: Clip shape, motion weights and projection block; the objective's options in it are
            not used, methods bring their own.
        on_progress: Called as (stage, done, total).
        view: "moving", or a control view (see `motive.bench.views`).
        workers: Processes that compute features, one core each; the features do not depend on it.

    Example:
        bench = Bench(load_problem(folder), model="wan-nano", cache=Path("cache"))
        scores = MOTIVE.scores(bench)
        control = MOTIVE.scores(bench.view("frozen"))
    """

    seed = 0  # of methods that draw random numbers

    def __init__(
        self,
        problem: Problem,
        *,
        model: str | None = None,
        cache: Path,
        config: RunConfig | None = None,
        on_progress: Progress | None = None,
        view: View = "moving",
        workers: int = 1,
    ) -> None:
        if workers < 1:
            raise UsageError(f"workers {workers}: must be at least 1")
        if config is None:
            config = RunConfig(model=model or DEFAULT_MODEL)
        elif model is not None:
            config = config.updated(model=model)
        self.problem, self.config, self.cache = problem, config, Path(cache)
        self.progress: Progress = on_progress or _silent
        self.work = ClipWork(Setting(config, self.cache, view))
        self._workers = Workers(workers)  # started when first needed, shared by all views

    @property
    def backbone(self) -> Backbone:
        """The model. It is shared by all views and must not be trained."""
        return self.work.backbone

    def view(self, name: View) -> Bench:
        """The same problem with other pixels under the same motion weights."""
        setting = dataclasses.replace(self.work.setting, view=name)
        return self._with(ClipWork(setting, self.backbone))

    def untrained(self) -> Bench:
        """The same problem through a freshly initialised network of the same architecture."""
        return self._with(ClipWork(dataclasses.replace(self.work.setting, trained=False)))

    def weighted(self, **changes: Any) -> Bench:
        """The same problem under other motion weights.

        Args:
            changes: Fields of `RunConfig` that say how motion is measured.
        """
        config = self.work.setting.config.updated(**changes)
        setting = dataclasses.replace(self.work.setting, config=config)
        other = self._with(ClipWork(setting, self.backbone))
        other.config = config
        return other

    def pixels(self, role: Role) -> Iterator[np.ndarray]:
        """Of every clip, uint8 "f h w 3"."""
        for clip in self.problem.clips(role):
            yield self.work.pixels(clip.clip).numpy()

    def prepared(self, role: Role) -> list[PreparedClip]:
        """Latents, motion weights, caption embedding and motion facts of every clip.

        Raises:
            ClipError: A clip cannot be read.
        """
        found, clips = [], self.problem.clips(role)
        with one_thread():
            for done, clip in enumerate(clips, start=1):
                found.append(self.work.prepare(clip.clip))
                self.progress(f"preparing {role}", done, len(clips))
        return found

    def latents(self, role: Role) -> np.ndarray:
        """Of the view's pixels, float32 "n c f h w"."""
        return np.stack([clip.latents.numpy() for clip in self._prepared[role]])

    def weights(self, role: Role) -> np.ndarray:
        """Motion weights of the moving clips, whatever the view: float32 "n f h w"."""
        return np.stack([clip.weights.numpy() for clip in self._prepared[role]])

    def magnitudes(self, role: Role) -> np.ndarray:
        """Mean motion of the moving clips in pixels per frame, "n"."""
        return np.array([clip.facts["motion"]["mean_magnitude"] for clip in self._prepared[role]])

    def captions(self, role: Role) -> np.ndarray:
        """Mean of the caption's token embeddings, float32 "n d"."""
        return np.stack([clip.text.tokens.mean(0).numpy() for clip in self._prepared[role]])

    def features(self, role: Role, spec: FeatureSpec) -> FeatureTable:
        """Projected gradients of every clip, in the problem's order.

        A clip in which nothing moves under the mask has no gradient: its row is zero, and so is
        its norm. Several timesteps are normalised one by one and averaged.

        Raises:
            ClipError: A clip cannot be read, or its gradient is not finite.
            MotiveError: The disk is full, a worker died, ...
        """
        tables = [self._single(role, single) for single in spec.singles()]
        return tables[0] if len(tables) == 1 else _averaged(tables)

    def close(self) -> None:
        """End the worker processes, if there are any."""
        self._workers.close()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def _prepared(self) -> _PreparedByRole:
        return _PreparedByRole(self)

    def _with(self, work: ClipWork) -> Bench:
        other = object.__new__(Bench)
        other.problem, other.config, other.cache = self.problem, self.config, self.cache
        other.progress, other._workers, other.work = self.progress, self._workers, work
        return other

    def _single(self, role: Role, spec: FeatureSpec) -> FeatureTable:
        clips = self.problem.clips(role)
        fingerprint = self.work.fingerprint(spec)
        path = self.cache / "features" / f"{fingerprint.digest}.lance"
        store = FeatureStore(path, spec.dim, fingerprint)
        known = store.ids()
        missing = [clip for clip in clips if clip.id not in known]
        waiting: list[FeatureRow] = []
        try:
            for done, row in enumerate(self._compute(missing, spec), start=1):
                waiting.append(row)
                if len(waiting) == _ROWS_PER_COMMIT:
                    store.append(waiting)
                    waiting = []
                self.progress(self._stage(role, spec), done, len(missing))
        finally:
            store.append(waiting)
        if missing:
            store.table.compact()
        return store.load([clip.id for clip in clips])

    def _compute(self, clips: Sequence[BenchClip], spec: FeatureSpec) -> Iterator[FeatureRow]:
        if not clips:
            return
        if self._workers.count > 1 and len(clips) > 1:
            step = self.config.batch or AUTOMATIC_BATCH  # without loading the model here as well
            calls = [(self.work.setting, batch, spec) for batch in _batches(clips, step)]
            for _, rows in self._workers.as_completed(features_in_process, calls):
                yield from rows
            return
        with one_thread():
            for batch in _batches(clips, clips_per_pass(self.config, self.backbone)):
                yield from self.work.features(batch, spec)

    def _stage(self, role: Role, spec: FeatureSpec) -> str:
        setting = self.work.setting
        parts = [f"t={spec.timesteps[0]:g}", "masked" if spec.mask else "no mask", setting.view]
        if spec.residual != "error":
            parts.append(spec.residual)
        if not setting.trained:
            parts.append("untrained")
        return f"gradients of {role} ({', '.join(parts)})"


class _PreparedByRole(dict[Role, list[PreparedClip]]):
    """The prepared clips of a bench, read when first asked for."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench

    def __missing__(self, role: Role) -> list[PreparedClip]:
        self[role] = self.bench.prepared(role)
        return self[role]


def _batches(clips: Sequence[BenchClip], step: int) -> list[list[Clip]]:
    return [[clip.clip for clip in clips[i : i + step]] for i in range(0, len(clips), step)]


def _silent(stage: str, done: int, total: int) -> None:
    """Progress for callers who want none."""


def _averaged(tables: Sequence[FeatureTable]) -> FeatureTable:
    """Mean of gradients that are each divided by their own norm, as `Featurizer` makes it."""
    still = np.min([table.gradient_norms for table in tables], axis=0) == 0
    total = np.zeros(tables[0].vectors.shape, np.float32)
    for table in tables:
        scale = table.projected_norms / np.where(still, 1.0, table.gradient_norms)
        total += table.vectors * np.where(still, 0.0, scale)[:, None].astype(np.float32)
    total /= len(tables)
    norms = np.linalg.norm(total, axis=1)
    return FeatureTable(
        tables[0].ids,
        total / np.where(still, 1.0, norms)[:, None].astype(np.float32),
        norms,
        np.where(still, 0.0, np.mean([table.gradient_norms for table in tables], axis=0)),
        np.where(still, 0.0, np.mean([table.losses for table in tables], axis=0)),
    )

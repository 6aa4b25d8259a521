"""The stages of the river on one run folder: index, rank, select."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from motive.backbones import Backbone, TensorCache, load_backbone
from motive.clips import Clip, ClipStandard, read_dataset, write_diffsynth_jsonl
from motive.errors import ClipError, DatasetError, MotiveError, UsageError
from motive.gradients import Featurizer
from motive.index import ClipRecord, FeatureRow, FeatureStore, Fingerprint, Manifest
from motive.index.manifest import DUPLICATE, ERROR, OK, QUERY, TRAIN
from motive.index.table import write_error
from motive.influence import cosine_scores
from motive.runs.config import RunConfig, config_from, config_yaml, read_config
from motive.runs.prepare import PreparedClip, Preparer
from motive.selection import Selection, majority_vote, parse_top, write_selection_csv

_LOG = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]  # stage, done, total


def _silent(stage: str, done: int, total: int) -> None:
    """Progress for callers who want none."""


@dataclass(frozen=True)
class IndexResult:
    """What one call of `index` did.

    Attributes:
        clips: Usable clips of the given data, ids in the data's order, duplicates left out.
        computed: How many features were computed now.
        reused: How many were already there.
        errors: (source, reason) of every entry that cannot be used.
        duplicates: (source, source of the same clip).
        seconds: Wall time.
    """

    clips: list[str]
    computed: int
    reused: int
    errors: list[tuple[str, str]]
    duplicates: list[tuple[str, str]]
    seconds: float


@dataclass(frozen=True)
class Ranking:
    """Scores of training clips for queries.

    Attributes:
        scores: I_mot, float32 "q n".
        clip_ids: n ids, sorted.
        query_ids: q ids, in the order of the query data set.
    """

    scores: np.ndarray
    clip_ids: list[str]
    query_ids: list[str]


class Run:
    """One run folder.

    Args:
        folder: Made if missing.
        config: Options; None takes those stored in the folder, or the defaults.
        on_progress: Called as (stage, done, total).
        cache: Folder for latents, embeddings and weights; default inside the run. Runs that differ
            in objective or projection only can share one.

    Example:
        run = Run("runs/mine", RunConfig(model="wan-nano"))
        run.index("videos/")
        run.rank("queries/")
        selection = run.select("10%")
    """

    def __init__(
        self,
        folder: str | Path,
        config: RunConfig | None = None,
        *,
        on_progress: Progress | None = None,
        cache: Path | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.stored: dict[str, Any] = {}
        config_path = self.folder / "config.yaml"
        if config_path.exists():
            self.stored = read_config(config_path)
        if config is None:
            config = config_from(self.stored, config_path) if self.stored else RunConfig()
        self.config = config
        self.progress: Progress = on_progress or _silent
        self.cache = TensorCache(cache or self.folder / "cache")

    # -- parts, made when first needed -------------------------------------------------------

    @cached_property
    def backbone(self) -> Backbone:
        """The model (opened, components not yet loaded)."""
        return load_backbone(self.config.model, device=self.config.device, dtype=self.config.dtype)

    @cached_property
    def standard(self) -> ClipStandard:
        """The clip shape of this run."""
        standard = self.config.standard(self.backbone.standard)
        self.backbone.check_standard(standard)
        return standard

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Under which features of this run may be compared."""
        return Fingerprint(
            {
                "model": self.backbone.fingerprint(),
                "parameters": self.config.parameters,
                "standard": vars(self.standard),
                "motion": self.config.motion().settings if self.config.mask else None,
                "objective": {
                    **vars(self.config.objective()),
                    "timesteps": list(self.config.timesteps),
                },
                "projection": self.config.projection().identity(),
            }
        )

    @cached_property
    def manifest(self) -> Manifest:
        """`clips.lance`."""
        return Manifest(self.folder / "clips.lance")

    def features(self, role: str) -> FeatureStore:
        """`index.lance` (role "train") or `queries.lance` (role "query")."""
        name = "index.lance" if role == TRAIN else "queries.lance"
        return FeatureStore(self.folder / name, self.config.dim, self.fingerprint)

    # -- stages ------------------------------------------------------------------------------

    def index(self, data: str | Path | Iterable[Clip]) -> IndexResult:
        """Compute the features of training clips; clips already there are skipped.

        Args:
            data: Folder, list file (CSV, JSON, JSONL), single video, or clips.

        Raises:
            DatasetError: Nothing usable in the data.
            FingerprintError: The folder holds features made under other settings.
            MotiveError: The disk is full, the model does not load, ...
        """
        return self._featurize(data, TRAIN)

    def rank(self, queries: str | Path | Iterable[Clip]) -> Ranking:
        """Score every training clip for every query and write `scores.parquet`.

        Raises:
            DatasetError: No usable query, or no training clip indexed yet.
        """
        if not (self.folder / "index.lance").exists():
            raise DatasetError(f"{self.folder}: no training clips yet; run `motive index` first")
        found = self._featurize(queries, QUERY)
        train_ids = sorted(
            {record.clip_id for record in self.manifest.records(TRAIN) if record.status == OK}
            & (self.features(TRAIN).ids() - set(self.features(TRAIN).errors()))
        )
        if not train_ids:
            raise DatasetError(f"{self.folder}: no training clip has a feature; see `motive index`")
        shared = set(found.clips) & set(train_ids)
        if shared:
            _LOG.warning("%d queries are also training clips; they will rank first", len(shared))
        query_table = self.features(QUERY).load(found.clips)
        train_table = self.features(TRAIN).load(train_ids)
        ranking = Ranking(
            cosine_scores(query_table.vectors, train_table.vectors), train_ids, found.clips
        )
        self._write_scores(ranking)
        self._write_config()
        return ranking

    def ranking(self) -> Ranking:
        """The scores last written by `rank`.

        Raises:
            UsageError: There are none.
            FingerprintError: They were made under other settings.
        """
        path = self.folder / "scores.parquet"
        if not path.exists():
            raise UsageError(f"{self.folder}: no scores yet; run `motive rank` first")
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise MotiveError(f"{path}: damaged ({error}); run `motive rank` again") from None
        stored = (table.schema.metadata or {}).get(b"motive.fingerprint", b"{}").decode()
        self.fingerprint.require_same(Fingerprint.from_json(stored), str(path))
        queries = [name for name in table.column_names if name != "clip_id"]
        scores = np.stack([table[name].to_numpy() for name in queries])
        return Ranking(scores, table["clip_id"].to_pylist(), queries)

    def select(self, top: str | int = "10%", percentile: float | None = None) -> Selection:
        """Majority vote over the queries; writes `selection.csv` and `selection.jsonl`.

        Args:
            top: "10%" or a count.
            percentile: τ_q's percentile; default the one that `top` implies.
        """
        ranking = self.ranking()
        count = parse_top(top, len(ranking.clip_ids))
        selection = majority_vote(
            ranking.scores, ranking.clip_ids, ranking.query_ids, count, percentile
        )
        records = self.records(TRAIN)
        facts = {
            name: {"source": r.source, "caption": r.caption, "label": r.label or ""}
            for name, r in records.items()
        }
        try:
            write_selection_csv(self.folder / "selection.csv", selection, facts)
            chosen = [clip_of(records[choice.clip_id]) for choice in selection.choices]
            write_diffsynth_jsonl(self.folder / "selection.jsonl", chosen)
        except OSError as error:
            raise write_error(self.folder, error) from error
        return selection

    def records(self, role: str) -> dict[str, ClipRecord]:
        """Usable clips by id."""
        found: dict[str, ClipRecord] = {}
        for record in self.manifest.records(role):
            if record.status == OK:
                found.setdefault(record.clip_id, record)
        return found

    # -- the work ----------------------------------------------------------------------------

    def _featurize(self, data: str | Path | Iterable[Clip], role: str) -> IndexResult:
        began = time.perf_counter()
        listed = isinstance(data, str | Path)
        clips = read_dataset(data) if isinstance(data, str | Path) else list(data)
        if not clips:
            raise DatasetError(f"{data}: no clips in it")
        store = self.features(role)  # refuses another fingerprint before any work is done
        self._write_config(**({_data_key(role): str(Path(str(data)).resolve())} if listed else {}))
        usable, errors, duplicates = self._prepare_all(clips, role)
        known, failed = store.ids(), store.errors()
        missing = [clip for clip in usable if clip.id not in known]
        failed |= self._compute(missing, store)
        errors += [(clip.source, failed[clip.id]) for clip in usable if clip.id in failed]
        good = [clip.id for clip in usable if clip.id not in failed]
        if not good:
            first = f"; first: {errors[0][1]}" if errors else ""
            raise DatasetError(
                f"{data if listed else role}: none of {len(clips)} clips is usable{first}"
            )
        return IndexResult(
            good,
            len(missing),
            len(usable) - len(missing),
            errors,
            duplicates,
            time.perf_counter() - began,
        )

    def _prepare_all(
        self, clips: list[Clip], role: str
    ) -> tuple[list[Clip], list[tuple[str, str]], list[tuple[str, str]]]:
        """Record every entry; returns usable clips, errors and duplicates."""
        recorded = self.manifest.keys()
        usable: dict[str, Clip] = {}
        errors: list[tuple[str, str]] = []
        duplicates: list[tuple[str, str]] = []
        for done, clip in enumerate(clips, start=1):
            record = self._record(clip, role, usable, recorded)
            if record.key not in recorded or recorded[record.key] != record.status:
                self.manifest.append(record)
                recorded[record.key] = record.status
            if record.status == OK:
                usable[record.clip_id] = clip
            elif record.status == DUPLICATE:
                duplicates.append((clip.source, usable[record.clip_id].source))
            else:
                errors.append((clip.source, record.error or ""))
                _LOG.warning("%s", record.error)
            self.progress(f"preparing {role} clips", done, len(clips))
        self.manifest.table.compact()
        if "backbone" in self.__dict__:
            self.backbone.release_encoders()
        return list(usable.values()), errors, duplicates

    def _record(
        self,
        clip: Clip,
        role: str,
        usable: dict[str, Clip],
        recorded: dict[tuple[str, str, str], str],
    ) -> ClipRecord:
        base = ClipRecord(
            role, "", OK, str(Path(clip.source).absolute()), clip.caption, clip.label,
            clip.start, clip.end,
        )  # fmt: skip
        try:
            base = dataclasses.replace(base, clip_id=clip.id)
            if clip.id in usable:
                same = usable[clip.id].source
                return dataclasses.replace(
                    base, status=DUPLICATE, error=f"{clip.source}: same clip and caption as {same}"
                )
            if recorded.get(base.key) == OK:
                return base
            facts = self.preparer.prepare(clip).facts
        except ClipError as error:
            return dataclasses.replace(
                base, clip_id=base.clip_id or _unreadable_id(clip), status=ERROR, error=str(error)
            )
        except OSError as error:
            raise write_error(self.cache.folder, error) from error
        return dataclasses.replace(
            base,
            **{name: tuple(v) if isinstance(v, list) else v for name, v in facts.items()},
        )

    @cached_property
    def preparer(self) -> Preparer:
        """Latents, motion weights and embeddings of clips, through the cache."""
        return Preparer(self.backbone, self.standard, self.config.motion(), self.cache)

    def _compute(self, clips: list[Clip], store: FeatureStore) -> dict[str, str]:
        """Features of clips not yet stored, one atomic row each; returns the failures."""
        failed: dict[str, str] = {}
        if not clips:
            return failed
        featurizer = Featurizer(
            self.backbone,
            self.config.projection(),
            self.config.objective(),
            parameters=self.config.parameters,
            checkpointing=self.config.checkpointing,
        )
        with ExitStack() as stack:
            stack.callback(store.table.compact)
            stack.enter_context(featurizer.ready())
            for done, clip in enumerate(clips, start=1):
                row = self._feature_row(featurizer, clip)
                if row.error is not None:
                    failed[clip.id] = row.error
                    _LOG.warning("%s", row.error)
                store.append([row])
                self.progress("computing gradients", done, len(clips))
        return failed

    def _feature_row(self, featurizer: Featurizer, clip: Clip) -> FeatureRow:
        began = time.perf_counter()
        try:
            prepared: PreparedClip = self.preparer.prepare(clip)
            feature = featurizer.feature(
                prepared.latents, prepared.text, prepared.weights, self.standard.frames
            )
        except ClipError as error:
            text = str(error)
            text = text if text.startswith(clip.source) else f"{clip.source}: {text}"
            return FeatureRow(clip.id, error=text)
        except torch.OutOfMemoryError as error:
            raise MotiveError(
                f"{clip.source}: out of memory ({str(error).splitlines()[0]:.80}); try "
                "--checkpointing, --dtype bfloat16, or fewer frames or pixels"
            ) from error
        return FeatureRow(
            clip.id,
            feature.vector.numpy(),
            feature.projected_norm,
            feature.gradient_norm,
            feature.loss,
            time.perf_counter() - began,
        )

    # -- files -------------------------------------------------------------------------------

    def _write_scores(self, ranking: Ranking) -> None:
        columns: dict[str, Any] = {"clip_id": ranking.clip_ids}
        columns |= {name: ranking.scores[i] for i, name in enumerate(ranking.query_ids)}
        table = pa.table(columns).replace_schema_metadata(
            {"motive.fingerprint": self.fingerprint.to_json()}
        )
        self._replace("scores.parquet", lambda path: pq.write_table(table, path))

    def _write_config(self, **data: str) -> None:
        sections = {
            name: self.stored[name] for name in ("data", "queries") if name in self.stored
        } | data
        self.stored |= sections
        text = config_yaml(
            self.config,
            **sections,
            fingerprint={
                "digest": self.fingerprint.digest,
                **json.loads(self.fingerprint.to_json()),
            },
        )
        self._replace("config.yaml", lambda path: path.write_text(text, "utf-8"))

    def _replace(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a file beside its place and rename it there."""
        partial = self.folder / f".{name}.{uuid.uuid4().hex[:8]}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write(partial)
            os.replace(partial, self.folder / name)
        except OSError as error:
            raise write_error(self.folder / name, error) from error
        finally:
            partial.unlink(missing_ok=True)


def clip_of(record: ClipRecord) -> Clip:
    """The clip a record was made of."""
    return Clip(record.source, record.caption, record.start, record.end, record.label)


def _data_key(role: str) -> str:
    return "data" if role == TRAIN else "queries"


def _unreadable_id(clip: Clip) -> str:
    """A stable id for an entry whose bytes cannot be read."""
    text = f"{Path(clip.source).absolute()}\0{clip.caption}"
    return (
        "unreadable-" + hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=10).hexdigest()
    )

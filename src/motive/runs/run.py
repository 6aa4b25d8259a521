"""The stages of the river on one run folder: index, rank, select."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from motive.backbones import EMBEDDED_MODELS, Backbone, TensorCache
from motive.clips import Clip, ClipStandard, read_dataset
from motive.errors import DatasetError, MotiveError, UsageError
from motive.files import whole_file
from motive.gradients import Featurizer, Objective
from motive.index import ClipRecord, FeatureStore, Fingerprint, Manifest
from motive.index.manifest import OK, QUERY, TRAIN
from motive.influence import cosine_scores
from motive.projection import ParameterTable
from motive.ranks import Ranks
from motive.runs.config import RunConfig, config_from, config_yaml, read_config
from motive.runs.entries import EntrySorter, Progress
from motive.runs.featurizing import FeatureStage
from motive.runs.model import make_featurizer, open_backbone
from motive.runs.prepare import Preparer
from motive.selection import Selection

_LOG = logging.getLogger(__name__)


def _silent(stage: str, done: int, total: int) -> None:
    """Progress for callers who want none."""


@dataclass(frozen=True)
class IndexResult:
    """What one call of `index` did.

    Attributes:
        clips: Usable clips of the given data, ids in the data's order, duplicates left out.
        computed: How many of their features were computed now.
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
        errors: (source, reason) of every query that cannot be used.
    """

    scores: np.ndarray
    clip_ids: list[str]
    query_ids: list[str]
    errors: list[tuple[str, str]] = field(default_factory=list)


class Run:
    """One run folder.

    Args:
        folder: Made if missing.
        config: Options; None takes those stored in the folder, or the defaults.
        on_progress: Called as (stage, done, total).
        cache: Folder for latents, embeddings and weights; default inside the run. Runs that differ
            in objective or projection only can share one.
        ranks: Processes over which the model is spread; this one leads (see `follow`).

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
        ranks: Ranks | None = None,
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
        self.ranks = ranks

    # -- parts, made when first needed -------------------------------------------------------

    @cached_property
    def backbone(self) -> Backbone:
        """The model (opened, components not yet loaded)."""
        return open_backbone(self.config, self.ranks)

    @cached_property
    def standard(self) -> ClipStandard:
        """The clip shape of this run."""
        standard = self.config.standard(self.backbone.standard)
        self.backbone.check_standard(standard)
        return standard

    @cached_property
    def objective(self) -> Objective:
        """The loss that is differentiated: at the model's own noise level unless told otherwise."""
        return self.config.objective(self.backbone.sigma_fix)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Under which features of this run may be compared."""
        # Left out where captions count, so that features made before there was a choice stay valid.
        captions = {} if self.config.captions else {"captions": False}
        return Fingerprint(
            {
                "model": self.backbone.fingerprint(),
                "parameters": self.config.parameters,
                "standard": vars(self.standard),
                "motion": self.config.motion_config().settings if self.config.mask else None,
                "objective": self.objective.settings,
                "projection": self.config.projection().identity(),
                **captions,
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
        train_ids = self._indexed() if (self.folder / "index.lance").exists() else []
        if not train_ids:
            raise DatasetError(f"{self.folder}: no training clips yet; run `motive index` first")
        found = self._featurize(queries, QUERY)
        shared = set(found.clips) & set(train_ids)
        if shared:
            _LOG.warning("%d queries are also training clips; they will rank first", len(shared))
        query_table = self.features(QUERY).load(found.clips)
        train_table = self.features(TRAIN).load(train_ids)
        scores = cosine_scores(query_table.vectors, train_table.vectors)
        ranking = Ranking(scores, train_ids, found.clips, found.errors)
        self._write_scores(ranking)
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
            first = str(error).splitlines()[0]
            raise MotiveError(f"{path}: damaged ({first}); run `motive rank` again") from None
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
        from motive.runs.selecting import select_run

        return select_run(self, top, percentile=percentile)

    def keep(self, ranking: Ranking) -> None:
        """Make a ranking the run's own, for example one of fewer clips."""
        self._write_scores(ranking)

    def keep_selection(self, asked: dict[str, Any]) -> None:
        """Write into `config.yaml` how `selection.csv` was made."""
        self._write_config(selection=asked)

    def warn_of_added(self) -> None:
        """Say so when clips were indexed after the ranking."""
        added = set(self._indexed()) - set(self.ranking().clip_ids)
        if added:
            _LOG.warning(
                "%d clips were indexed after the ranking; run `motive rank` again to include them",
                len(added),
            )

    def records(self, role: str) -> dict[str, ClipRecord]:
        """Usable clips by id, each as last recorded (a file may have moved, or be gone by now)."""
        return {r.clip_id: r for r in self.manifest.history(role) if r.status == OK}

    # -- the work ----------------------------------------------------------------------------

    def _featurize(self, data: str | Path | Iterable[Clip], role: str) -> IndexResult:
        began = time.perf_counter()
        listed = isinstance(data, str | Path)
        clips = read_dataset(data) if isinstance(data, str | Path) else list(data)
        if not clips:
            raise DatasetError(f"no {role} clips given")
        store = self.features(role)  # refuses another fingerprint before any work is done
        self._write_config(**({_data_key(role): str(Path(str(data)).resolve())} if listed else {}))
        known, failed = store.ids(), store.errors()
        entries = EntrySorter(self.manifest, self.preparer, known).sort(clips, role, self.progress)
        self.backbone.release_encoders()
        missing = [record for name, record in entries.usable.items() if name not in known]
        failed |= self._compute(missing, store)
        good = [name for name in entries.usable if name not in failed]
        errors = entries.errors + [
            (record.source, f"{record.source}: {failed[name]}")
            for name, record in entries.usable.items()
            if name in failed
        ]
        if not good:
            raise DatasetError(
                f"{data if listed else role + ' clips'}: none of {len(clips)} is usable; "
                f"first: {errors[0][1]}"
            )
        computed = sum(record.clip_id not in failed for record in missing)
        seconds = time.perf_counter() - began
        return IndexResult(
            good, computed, len(good) - computed, errors, entries.duplicates, seconds
        )

    def _indexed(self) -> list[str]:
        """Sorted ids of the training clips that can be scored."""
        store = self.features(TRAIN)
        recorded = {r.clip_id for r in self.manifest.records(TRAIN) if r.status == OK}
        waiting = len(recorded - store.ids())
        if waiting:
            _LOG.warning("%d clips have no feature yet; run `motive index` to finish them", waiting)
        return sorted(recorded & (store.ids() - set(store.errors())))

    @cached_property
    def preparer(self) -> Preparer:
        """Latents, motion weights and embeddings of clips, through the cache."""
        return Preparer(
            self.backbone,
            self.standard,
            self.config.motion_config(),
            self.cache,
            self.config.captions,
        )

    @cached_property
    def featurizer(self) -> Featurizer:
        """What turns prepared clips into features; loads the transformer."""
        return make_featurizer(self.config, self.backbone, self.ranks)

    def _compute(self, records: list[ClipRecord], store: FeatureStore) -> dict[str, str]:
        """Features of clips not yet stored; returns the failures."""
        if not records:
            return {}
        self._check_parameters(self.featurizer, store)
        stage = FeatureStage(
            self.featurizer, self.preparer, self.manifest, store, self.standard.frames
        )
        return stage.compute(records, self.progress)

    def _check_parameters(self, featurizer: Featurizer, store: FeatureStore) -> None:
        """Features made from other parameters (renamed by a library, say) are never mixed in."""
        table = ParameterTable.of(featurizer.collector.parameters.items())
        for made in (self.features(TRAIN), self.features(QUERY)):
            stored = made.parameters()
            if stored is not None:
                table.require_same(ParameterTable.from_json(stored), str(made.table.path))
        store.describe_parameters(table.to_json())

    # -- files -------------------------------------------------------------------------------

    def _write_scores(self, ranking: Ranking) -> None:
        columns: dict[str, Any] = {"clip_id": ranking.clip_ids}
        columns |= {name: ranking.scores[i] for i, name in enumerate(ranking.query_ids)}
        table = pa.table(columns).replace_schema_metadata(
            {"motive.fingerprint": self.fingerprint.to_json()}
        )
        with whole_file(self.folder / "scores.parquet") as partial:
            pq.write_table(table, partial)

    def _write_config(self, **sections: Any) -> None:
        """Write `config.yaml`; sections that are not given stay as they were."""
        names = ("data", "queries", "selection")
        self.stored |= sections
        config = self.config
        given = {"model": config.model, "weights": config.weights, "lora": config.lora}
        for name, path in given.items():
            # So that the run can be repeated from another working folder.
            if path and path not in EMBEDDED_MODELS and Path(path).expanduser().exists():
                config = config.updated(**{name: str(Path(path).expanduser().resolve())})
        text = config_yaml(
            config,
            **{name: self.stored[name] for name in names if name in self.stored},
            fingerprint={
                "digest": self.fingerprint.digest,
                **json.loads(self.fingerprint.to_json()),
            },
        )
        with whole_file(self.folder / "config.yaml") as partial:
            partial.write_text(text, "utf-8")


def _data_key(role: str) -> str:
    return "data" if role == TRAIN else "queries"

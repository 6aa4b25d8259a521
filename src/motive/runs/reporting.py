"""From a run folder to the page that shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from motive.backbones.cache import cache_key
from motive.errors import ClipError, UsageError
from motive.files import write_error
from motive.index import ClipRecord
from motive.index.manifest import DUPLICATE, ERROR, OK, QUERY, TRAIN
from motive.influence import bootstrap_interval, ranks, retrieval, top_clips
from motive.influence.retrieval import RetrievalScore
from motive.report import (
    Comparison,
    ComparisonRow,
    Estimate,
    Metric,
    QueryReport,
    ReportClip,
    ReportData,
    ScoredClip,
    SelectedClip,
    build_report,
)
from motive.runs.entries import clip_of
from motive.runs.previews import Previews
from motive.runs.run import Ranking, Run
from motive.runs.several import several_at_once
from motive.selection import Selection

_PRECISION, _AVERAGE = "precision", "average"


def report_run(
    run: Run,
    selection: Selection | None = None,
    *,
    controls: Mapping[str, Ranking] | None = None,
    positives: int = 8,
    negatives: int = 4,
    title: str = "Which training clips influence the motion?",
    command: str = "",
) -> Path:
    """Write `report/index.html` of a ranked run.

    Args:
        run: A run with scores.
        selection: What `Run.select` returned; None leaves the selected set out.
        controls: Name -> ranking of the same clips by another method, shown beside this one where
            labels are known.
        positives: Clips shown per query at the top of the ranking.
        negatives: Clips shown at the bottom.
        title: Headline.
        command: Shell line that repeats the run.

    Returns:
        Path of the page.

    Raises:
        UsageError: There are no scores yet, or a control lacks clips.
        MotiveError: The report cannot be written.
    """
    writer = _Writer(run, selection, positives, negatives)
    writer.make_previews()
    data = ReportData(
        title=title,
        subtitle=_subtitle(run, writer.ranking),
        facts=_facts(run, writer.ranking),
        queries=writer.queries(),
        selection=writer.selected(),
        comparison=compare(writer.ranking, writer.train, writer.query, controls or {}),
        errors=writer.errors(),
        duplicates=writer.duplicates(),
        notes=writer.notes(),
        command=command,
        config_yaml=(run.folder / "config.yaml").read_text("utf-8"),
        selection_csv=run.folder / "selection.csv" if selection else None,
        fixed_noise=(round(run.objective.timesteps[0]), run.objective.timesteps[0] / 1000.0),
        projected_dim=run.config.dim,
    )
    try:
        return build_report(data, run.folder / "report")
    except OSError as error:
        raise write_error(run.folder / "report", error) from error


class _Writer:
    """Collects what one page shows; previews are made once per shown clip."""

    def __init__(
        self, run: Run, selection: Selection | None, positives: int, negatives: int
    ) -> None:
        self.run, self.selection = run, selection
        self.shown = positives, negatives
        self.ranking = run.ranking()
        self.train, self.query = run.records(TRAIN), run.records(QUERY)
        motion = run.config.motion_config()
        self.previews = Previews(
            run.cache.folder / "previews" / cache_key(vars(run.standard), motion.settings)[:12],
            run.standard,
            motion,
        )
        self.made: dict[str, ReportClip] = {}

    def make_previews(self) -> None:
        """Make the previews of all clips that the page shows, several at once."""
        ranking = self.ranking
        shown = {name: self.query[name] for name in ranking.query_ids}
        for scores in ranking.scores:
            for n in (*self._best(scores), *self._worst(scores)):
                shown.setdefault(ranking.clip_ids[n], self.train[ranking.clip_ids[n]])
        for choice in self.selection.choices if self.selection else ():
            shown.setdefault(choice.clip_id, self.train[choice.clip_id])
        records = list(shown.values())
        made = several_at_once(lambda n: self._make(records[n]), len(records), self.run.standard)
        for done, clip in enumerate(made, start=1):
            self.made[clip.id] = clip
            self.run.progress("writing the report", done, len(records))

    def _best(self, scores: np.ndarray) -> Sequence[int]:
        return top_clips(scores, self.ranking.clip_ids, self.shown[0])[0]

    def _worst(self, scores: np.ndarray) -> Sequence[int]:
        return top_clips(scores, self.ranking.clip_ids, self.shown[1])[1]

    def queries(self) -> list[QueryReport]:
        """One section per query."""
        ranking, found = self.ranking, []
        rank_matrix = ranks(ranking.scores, ranking.clip_ids) + 1
        thresholds = self.selection.thresholds if self.selection else {}
        labels = np.array([self.train[name].label for name in ranking.clip_ids], dtype=object)
        for index, query_id in enumerate(ranking.query_ids):
            scores, record = ranking.scores[index], self.query[query_id]
            best, worst = self._best(scores), self._worst(scores)
            same = labels == record.label if record.label else None
            found.append(
                QueryReport(
                    clip=self.made[record.clip_id],
                    positives=[self._scored(n, scores, rank_matrix[index]) for n in best],
                    negatives=[self._scored(n, scores, rank_matrix[index]) for n in worst],
                    scores=scores,
                    threshold=thresholds.get(query_id),
                    metrics=_query_metrics(scores, same),
                    same_label=same,
                )
            )
        return found

    def selected(self) -> list[SelectedClip]:
        """The selected set with each query's score."""
        if self.selection is None:
            return []
        position = {name: n for n, name in enumerate(self.ranking.clip_ids)}
        return [
            SelectedClip(
                clip=self.made[choice.clip_id],
                rank=choice.rank,
                votes=choice.votes,
                mean_rank=choice.mean_rank,
                score=choice.mean_score,
                reason=choice.reason,
                per_query={
                    name: float(self.ranking.scores[q, position[choice.clip_id]])
                    for q, name in enumerate(self.ranking.query_ids)
                },
            )
            for choice in self.selection.choices
        ]

    def errors(self) -> list[tuple[str, str]]:
        """Every entry that could not be used, with its reason."""
        found = [
            (record.source, record.error or "")
            for record in self.run.manifest.records()
            if record.status == ERROR
        ]
        for role, records in ((TRAIN, self.train), (QUERY, self.query)):
            for clip_id, reason in self.run.features(role).errors().items():
                if clip_id in records:
                    found.append((records[clip_id].source, reason))
        return found

    def duplicates(self) -> list[tuple[str, str]]:
        """Entries that repeat another one."""
        records = self.run.manifest.records()
        first = {(r.role, r.clip_id): r.source for r in records if r.status == OK}
        return [
            (r.source, first.get((r.role, r.clip_id), "")) for r in records if r.status == DUPLICATE
        ]

    def notes(self) -> list[str]:
        """What a reader should know before trusting the page."""
        static = sum(bool(r.motion.get("static")) for r in self.train.values())
        shared = set(self.ranking.query_ids) & set(self.ranking.clip_ids)
        notes = []
        if static:
            notes.append(f"{static} training clips hardly move; their motion weights are noise.")
        if shared:
            notes.append(f"{len(shared)} queries are also training clips and rank first there.")
        return notes

    def _scored(self, n: int, scores: np.ndarray, rank_row: np.ndarray) -> ScoredClip:
        shown = self.made[self.ranking.clip_ids[n]]
        return ScoredClip(shown, float(scores[n]), int(rank_row[n]))

    def _make(self, record: ClipRecord) -> ReportClip:
        facts = {}
        if record.motion:
            facts["mean motion"] = f"{record.motion['mean_magnitude']:.2f} px per frame"
            facts["moving area"] = f"{100 * record.motion['moving_fraction']:.0f} %"
        if record.source_width:
            facts["source"] = (
                f"{record.source_width}x{record.source_height}, {record.source_fps or 0:.4g} fps"
            )
        preview = self.previews.place(record.clip_id)
        try:
            preview = self.previews.get(clip_of(record))
        except ClipError as error:
            # Moved, deleted or replaced since: the page shows a placeholder in its place.
            facts["not shown"] = str(error).removeprefix(f"{record.source}: ")
        return ReportClip(
            record.clip_id, preview.video, preview.overlay, record.caption, record.label, facts,
            name=Path(record.source).name,
        )  # fmt: skip


def compare(
    ranking: Ranking,
    train: Mapping[str, ClipRecord],
    query: Mapping[str, ClipRecord],
    controls: Mapping[str, Ranking],
) -> Comparison | None:
    """How well rankings find the query's label; None where labels are not known.

    Args:
        ranking: The run's own.
        train: Training records by id.
        query: Query records by id.
        controls: Name -> ranking by another method over the same clips.

    Raises:
        UsageError: A control lacks a clip or a query.
    """
    clip_labels = [train[name].label for name in ranking.clip_ids]
    query_labels = [query[name].label for name in ranking.query_ids]
    if not all(clip_labels) or not all(query_labels):
        return None
    known_clips = [str(label) for label in clip_labels]
    known_queries = [str(label) for label in query_labels]
    if not set(known_queries) <= set(known_clips):
        return None
    labels = sorted(set(known_queries))
    rows = []
    for name, other in {"MOTIVE": ranking, **controls}.items():
        # Controls come from other runs: line their rows up with this ranking's clips and queries.
        scores = _aligned(name, other, ranking)
        score = retrieval(scores, known_clips, known_queries)
        rows.append(_row(name, score, known_queries, labels, is_main=name == "MOTIVE"))
    main = rows[0].overall[_PRECISION]
    share = {label: known_clips.count(label) / len(known_clips) for label in labels}
    chance = float(np.mean([share[label] for label in known_queries]))
    return Comparison(
        metrics=[
            Metric(
                _PRECISION,
                "Precision @ 10",
                chance,
                "Share of the ten most positive clips that show the query's motion.",
                share,
            ),
            Metric(
                _AVERAGE,
                "Average precision",
                chance,
                "Average precision of the query's motion over the whole ranking.",
                share,
            ),
        ],
        rows=rows,
        labels=labels,
        statement=(
            f"{100 * main.value:.0f} % of the ten most positive clips show the query's motion; "
            f"a random order gives {100 * chance:.0f} %."
        ),
        note=(
            f"Means over {len(known_queries)} queries and {len(known_clips)} clips; intervals are "
            "95 % bootstrap intervals over queries. Retrieval shows what a ranking finds similar; "
            "influence proper is measured by retraining."
        ),
    )


def _row(
    name: str, score: RetrievalScore, queries: list[str], labels: list[str], *, is_main: bool
) -> ComparisonRow:
    per_label = {}
    for label in labels:
        chosen = np.array([query == label for query in queries])
        per_label[label] = {
            _PRECISION: _estimate(score.per_query_precision_at_10[chosen]),
            _AVERAGE: _estimate(score.per_query_average_precision[chosen]),
        }
    overall = {
        _PRECISION: Estimate(score.precision_at_10, *score.precision_at_10_interval),
        _AVERAGE: Estimate(score.average_precision, *score.average_precision_interval),
    }
    return ComparisonRow(name, overall, per_label, is_main)


def _estimate(values: np.ndarray) -> Estimate:
    """Mean, with an interval only where there are enough queries to resample."""
    mean = float(values.mean())
    return Estimate(mean, *bootstrap_interval(values)) if len(values) >= 5 else Estimate(mean)


def _aligned(name: str, other: Ranking, ranking: Ranking) -> np.ndarray:
    clips = {clip: n for n, clip in enumerate(other.clip_ids)}
    queries = {query: q for q, query in enumerate(other.query_ids)}
    lacking = set(ranking.clip_ids) - set(clips), set(ranking.query_ids) - set(queries)
    if any(lacking):
        raise UsageError(
            f"control {name!r} has no scores for {len(lacking[0])} clips and {len(lacking[1])} "
            "queries of this run; rank the same clips and queries with it"
        )
    rows = [queries[query] for query in ranking.query_ids]
    columns = [clips[clip] for clip in ranking.clip_ids]
    return other.scores[np.ix_(rows, columns)]


def _query_metrics(scores: np.ndarray, same: np.ndarray | None) -> dict[str, float | str] | None:
    if same is None or not same.any():
        return None
    order = np.argsort(-scores, kind="stable")[:10]
    return {"same motion in the top 10": f"{int(same[order].sum())} of {len(order)}"}


def _subtitle(run: Run, ranking: Ranking) -> str:
    return (
        f"{len(ranking.clip_ids)} training clips ranked by their influence on the motion of "
        f"{len(ranking.query_ids)} query clips in {run.backbone.name} ({run.backbone.family})."
    )


def _facts(run: Run, ranking: Ranking) -> list[tuple[str, str]]:
    config, standard = run.config, run.standard
    levels = run.objective.timesteps
    timesteps = ", ".join(f"{t:g}" for t in levels)
    motion = config.motion_config()
    return [
        ("model", run.backbone.name),
        ("training clips", str(len(ranking.clip_ids))),
        ("queries", str(len(ranking.query_ids))),
        (
            "clip",
            f"{standard.frames} frames, {standard.width}x{standard.height}, {standard.fps:g} fps",
        ),
        ("timestep", f"{timesteps} (sigma {levels[0] / 1000:g})"),
        ("noise seed", str(config.noise_seed)),
        ("motion mask", f"{motion.tracker}, {motion.displacement}" if config.mask else "off"),
        *([] if config.captions else [("captions", "empty for all clips")]),
        ("projection", f"Fastfood to {config.dim}, seed {config.projection_seed}"),
        ("fingerprint", run.fingerprint.digest),
    ]

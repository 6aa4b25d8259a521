"""What a report shows: plain typed values, computed elsewhere.

Invariant: the report computes nothing scientific. Scores, votes, metrics, intervals and chance
levels arrive finished; here they are only checked for being finite, so that a number on the page
is always the number that the run produced.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from motive.errors import MotiveError


@dataclass(frozen=True)
class ReportClip:
    """One clip as the reader sees it.

    Attributes:
        id: Content-derived clip id.
        video: A file that browsers play (mp4 with H.264, or webm). It is copied, never converted.
        overlay: The same clip with its motion drawn on it, same length and size, if there is one.
        caption: Any text; shown as text, never interpreted.
        label: Ground-truth motion, where the data set knows it.
        facts: Further lines for the enlarged view, for example {"object motion": "1.8 px"}.
        name: What to call the clip on the page; the video's file name if empty.
    """

    id: str
    video: Path
    overlay: Path | None = None
    caption: str = ""
    label: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    name: str = ""

    @property
    def title(self) -> str:
        """Name for tables and labels."""
        return self.name or self.video.name


@dataclass(frozen=True)
class ScoredClip:
    """A training clip and its influence on one query.

    Attributes:
        clip: The training clip.
        score: Influence, the cosine of projected gradients, in [-1, 1].
        rank: 1 for the highest score of all training clips.
    """

    clip: ReportClip
    score: float
    rank: int


@dataclass(frozen=True)
class QueryReport:
    """One query and the training clips at both ends of its ranking.

    Attributes:
        clip: The query clip.
        positives: Highest scores, best first.
        negatives: Lowest scores, lowest first.
        scores: Float "n", the scores of all n training clips.
        threshold: tau_q, the score above which a clip gets this query's vote; None without a vote.
        metrics: Finished numbers to show beside the query, for example {"precision@10": 0.8}.
        same_label: Bool "n", which of `scores` belong to clips with the query's label.
    """

    clip: ReportClip
    positives: Sequence[ScoredClip]
    negatives: Sequence[ScoredClip]
    scores: np.ndarray
    threshold: float | None = None
    metrics: Mapping[str, float | str] | None = None
    same_label: np.ndarray | None = None


@dataclass(frozen=True)
class SelectedClip:
    """A chosen training clip and why it was chosen.

    Attributes:
        clip: The training clip.
        rank: 1 for the first chosen.
        votes: Number of queries whose threshold the clip passes.
        mean_rank: Mean of its ranks over the queries (breaks ties).
        score: Mean score, or the score of the only query.
        reason: One line, for example "14 of 20 votes".
        per_query: Query id -> score, for the strip that shows which queries asked for it.
    """

    clip: ReportClip
    rank: int
    votes: int
    mean_rank: float
    score: float
    reason: str = ""
    per_query: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; an interval that was not computed is None."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Metric:
    """A way to measure a ranking against the labels.

    Attributes:
        key: Name used in `ComparisonRow`.
        name: Name on the page, for example "Precision @ 10".
        chance: Expected value for a random order.
        help: One sentence on what it counts.
        chance_by_label: Expected value per label, where it differs.
    """

    key: str
    name: str
    chance: float | None = None
    help: str = ""
    chance_by_label: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ComparisonRow:
    """One method or control.

    Attributes:
        name: For example "MOTIVE", "no motion mask", "random order".
        overall: Metric key -> estimate over all queries.
        per_label: Label -> metric key -> estimate over that label's queries.
        is_main: True for the method that this run's ranking comes from.
        note: One line on what the row is.
    """

    name: str
    overall: Mapping[str, Estimate]
    per_label: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    is_main: bool = False
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """How well rankings agree with ground-truth labels.

    Attributes:
        metrics: Columns, the headline first.
        rows: The main method and its controls, in the order to show them.
        labels: Motions in the order to show them; by default the main row's.
        statement: The finding in one sentence.
        note: How intervals were computed, on how many queries and clips.
    """

    metrics: Sequence[Metric]
    rows: Sequence[ComparisonRow]
    labels: Sequence[str] = ()
    statement: str = ""
    note: str = ""

    @property
    def main(self) -> ComparisonRow:
        """The row of this run's method; the first one if none is marked."""
        return next((row for row in self.rows if row.is_main), self.rows[0])


@dataclass(frozen=True)
class ReportData:
    """Everything on the page, in the order in which it appears.

    Attributes:
        title: Headline.
        subtitle: One sentence: whose clips, which model, what was asked.
        facts: (label, value) pairs of the run: model, clips, queries, noise level, seed, time.
        queries: At least one.
        selection: The selected set, best first.
        comparison: Agreement with ground truth, where labels exist.
        errors: (source, one-line reason) of every clip that was skipped.
        duplicates: (source, source of the clip it repeats).
        notes: Remarks the reader should know.
        command: Shell line that repeats the run.
        config_yaml: The run's resolved configuration.
        selection_csv: Copied next to the page and linked.
        fixed_noise: (t, sigma) of the fixed noise level, for the explanation; None leaves it out.
        projected_dim: D', for the explanation; None leaves it out.
    """

    title: str
    subtitle: str
    facts: Sequence[tuple[str, str]]
    queries: Sequence[QueryReport]
    selection: Sequence[SelectedClip] = ()
    comparison: Comparison | None = None
    errors: Sequence[tuple[str, str]] = ()
    duplicates: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    command: str = ""
    config_yaml: str = ""
    selection_csv: Path | None = None
    fixed_noise: tuple[int, float] | None = None
    projected_dim: int | None = None


def check_report(data: ReportData) -> None:
    """Refuse numbers that are not finite, and a page with nothing to show.

    Raises:
        MotiveError: Names the clip, query or comparison row with the bad number.
    """
    if not data.queries:
        raise MotiveError("report: there is no query to show; rank at least one query first")
    for query in data.queries:
        _check_query(query)
    for chosen in data.selection:
        where = f"selected clip {chosen.clip.title} ({chosen.clip.id})"
        _finite(chosen.score, "score", where)
        _finite(chosen.mean_rank, "mean rank", where)
        for key, score in chosen.per_query.items():
            _finite(score, f"score for query {key}", where)
    if data.comparison is not None:
        _check_comparison(data.comparison)


def _check_query(query: QueryReport) -> None:
    where = f"query {query.clip.title}"
    for scored in (*query.positives, *query.negatives):
        _finite(scored.score, "score", f"{where}, clip {scored.clip.title} ({scored.clip.id})")
    scores = np.asarray(query.scores, dtype=np.float64)
    if scores.ndim != 1:
        raise MotiveError(f"{where}: scores have shape {scores.shape}; pass one number per clip")
    bad = np.flatnonzero(~np.isfinite(scores))
    if bad.size:
        raise MotiveError(
            f"{where}: score of clip number {bad[0]} is {scores[bad[0]]}, "
            f"{bad.size} of {scores.size} are not finite; check those clips' features"
        )
    if query.same_label is not None and np.shape(query.same_label) != scores.shape:
        raise MotiveError(
            f"{where}: {np.size(query.same_label)} label flags for {scores.size} scores; "
            "pass one per clip"
        )
    if query.threshold is not None:
        _finite(query.threshold, "threshold", where)
    for key, value in (query.metrics or {}).items():
        if not isinstance(value, str):
            _finite(value, key, where)


def _check_comparison(comparison: Comparison) -> None:
    if not comparison.rows or not comparison.metrics:
        raise MotiveError("report: the comparison has no row or no metric; leave it out instead")
    for row in comparison.rows:
        for label, estimates in (("overall", row.overall), *row.per_label.items()):
            for key, estimate in estimates.items():
                for number in (estimate.value, estimate.low, estimate.high):
                    if number is not None:
                        _finite(number, key, f"comparison row {row.name}, {label}")


def _finite(number: float, what: str, where: str) -> None:
    if not math.isfinite(number):
        raise MotiveError(f"{where}: {what} is {number}; check that clip's features")

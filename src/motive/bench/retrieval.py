"""How well scores find what a query shows: its motion, and what else they find instead.

Invariant: every number stands beside its chance level and a 95 % bootstrap interval over queries.
Retrieving the motion is wanted; retrieving a nuisance factor (shape, colour, camera, ...) above
chance is leakage, because MotionZoo draws those independently of the motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from motive.bench.problem import Problem
from motive.errors import UsageError
from motive.influence import (
    average_precision,
    bootstrap_interval,
    chance_average_precision,
    count_of_share,
    precision_at,
    ranked_hits,
)

Interval = tuple[float, float]
MOTIONLESS_DECOYS = ("static", "camera")  # whatever their caption says, they show no motion


@dataclass(frozen=True)
class RetrievalRow:
    """How well one label of the queries is found, as means over queries.

    Attributes:
        label: "motion" or the name of a factor.
        queries: How many queries have the label and at least one candidate to find.
        average_precision: Mean average precision, in [0, 1].
        average_precision_interval: 95 % bootstrap interval over queries.
        chance: Mean average precision of a random order (exact expectation).
        precision_at_1_percent: Share of the label among the best 1 % (rounded up).
        precision_at_1_percent_interval: 95 % bootstrap interval.
        precision_at_10_percent: Share of the label among the best 10 % (rounded up).
        precision_at_10_percent_interval: 95 % bootstrap interval.
        share: Of the label among all candidates: the precision of a random order.
        per_query: Average precision of each query, None where it has nothing to find.
    """

    label: str
    queries: int
    average_precision: float
    average_precision_interval: Interval
    chance: float
    precision_at_1_percent: float
    precision_at_1_percent_interval: Interval
    precision_at_10_percent: float
    precision_at_10_percent_interval: Interval
    share: float
    per_query: tuple[float | None, ...]

    @property
    def lift(self) -> float:
        """Mean average precision above chance; of a nuisance factor, its leakage."""
        return self.average_precision - self.chance


@dataclass(frozen=True)
class DecoyRow:
    """Decoys among the best 10 %.

    Attributes:
        share: Of decoys of any kind, mean over queries.
        interval: 95 % bootstrap interval.
        chance: Share of decoys among all candidates.
        kinds: Kind of decoy -> (share among the best 10 %, share among all candidates).
    """

    share: float
    interval: Interval
    chance: float
    kinds: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Retrieval:
    """Everything that labels say about one score matrix.

    Attributes:
        motion: The motion label.
        factors: Nuisance factor -> row.
        decoys: None where the problem has no decoys.
    """

    motion: RetrievalRow
    factors: dict[str, RetrievalRow]
    decoys: DecoyRow | None


@dataclass(frozen=True)
class Difference:
    """A mean difference over the same queries.

    Attributes:
        mean: First minus second.
        interval: 95 % bootstrap interval over queries.
    """

    mean: float
    interval: Interval


def measure_retrieval(scores: np.ndarray, problem: Problem, seed: int = 0) -> Retrieval:
    """Retrieval of the motion and of every nuisance factor, and the decoys at the top.

    A candidate shows a query's motion if it carries that label and is no static or camera-only
    decoy. Factors that only some clips have are measured on those that have them.

    Args:
        scores: "q n", in the problem's order.
        problem: Labels.
        seed: Of the bootstrap.

    Raises:
        UsageError: The scores have the wrong shape or are not finite.
    """
    check_scores(scores, problem, "scores")
    motions = [
        None if clip.decoy in MOTIONLESS_DECOYS else clip.motion for clip in problem.candidates
    ]
    motion = _row("motion", scores, motions, [clip.motion for clip in problem.queries], seed)
    if motion is None:
        raise UsageError("no candidate shows the motion of any query; nothing can be measured")
    factors = {}
    for name in sorted({name for clip in problem.queries for name in clip.factors}):
        row = _row(
            name,
            scores,
            [clip.factors.get(name) for clip in problem.candidates],
            [clip.factors.get(name) for clip in problem.queries],
            seed,
        )
        if row is not None:
            factors[name] = row
    return Retrieval(motion, factors, _decoys(scores, problem, seed))


def paired_difference(first: RetrievalRow, second: RetrievalRow, seed: int = 0) -> Difference:
    """First minus second mean average precision, over the queries of both.

    Raises:
        UsageError: The rows are about other labels or queries.
    """
    have = [value is not None for value in first.per_query]
    if first.label != second.label or have != [value is not None for value in second.per_query]:
        raise UsageError(f"{first.label} and {second.label}: not of the same label and queries")
    values = np.array([v for v in first.per_query if v is not None])
    others = np.array([v for v in second.per_query if v is not None])
    return Difference(float((values - others).mean()), bootstrap_interval(values - others, seed))


def check_scores(scores: np.ndarray, problem: Problem, name: str) -> None:
    """Refuse scores that are not finite numbers for every query and candidate.

    Raises:
        UsageError: One line with what is wrong.
    """
    shape = len(problem.queries), len(problem.candidates)
    if scores.shape != shape:
        turned = "; transpose them" if scores.shape == shape[::-1] else ""
        raise UsageError(
            f"{name}: shape {scores.shape}, but the problem has {shape[0]} queries x {shape[1]} "
            f"candidates{turned}"
        )
    bad = np.argwhere(~np.isfinite(scores))
    if len(bad):
        q, n = bad[0]
        raise UsageError(
            f"{name}: {len(bad)} scores are not finite, first for query "
            f"{problem.queries[q].name} and clip {problem.candidates[n].name}; every pair needs a "
            "number"
        )


def _row(
    label: str,
    scores: np.ndarray,
    clip_values: Sequence[str | None],
    query_values: Sequence[str | None],
    seed: int,
) -> RetrievalRow | None:
    """The row of one label; None where no query has anything to find, or all clips are alike."""
    clips = np.asarray(clip_values, dtype=object)
    relevant = np.array([clips == value if value else clips != clips for value in query_values])
    counts = relevant.sum(axis=1)
    usable = counts > 0
    if not usable.any() or (counts[usable] == len(clips)).all():
        return None
    hits = ranked_hits(scores[usable], relevant[usable])
    average = average_precision(hits)
    best = [precision_at(hits, count_of_share(share, len(clips))) for share in (0.01, 0.1)]
    per_query = np.full(len(scores), np.nan)
    per_query[usable] = average
    return RetrievalRow(
        label,
        int(usable.sum()),
        float(average.mean()),
        bootstrap_interval(average, seed),
        float(np.mean([chance_average_precision(int(r), len(clips)) for r in counts[usable]])),
        float(best[0].mean()),
        bootstrap_interval(best[0], seed),
        float(best[1].mean()),
        bootstrap_interval(best[1], seed),
        float(counts[usable].mean() / len(clips)),
        tuple(None if np.isnan(value) else float(value) for value in per_query),
    )


def _decoys(scores: np.ndarray, problem: Problem, seed: int) -> DecoyRow | None:
    kinds = np.array([clip.decoy or "" for clip in problem.candidates])
    if not (kinds != "").any():
        return None
    count = count_of_share(0.1, len(kinds))
    best = kinds[np.argsort(-scores, axis=1, kind="stable")[:, :count]]
    share = (best != "").mean(axis=1)
    return DecoyRow(
        float(share.mean()),
        bootstrap_interval(share, seed),
        float((kinds != "").mean()),
        {
            str(kind): (float((best == kind).mean()), float((kinds == kind).mean()))
            for kind in sorted(set(kinds) - {""})
        },
    )

"""Majority vote over queries, and the selection as a table."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from motive.errors import UsageError
from motive.files import whole_file
from motive.influence import ranks
from motive.selection.diverse import diversify


@dataclass(frozen=True)
class Contribution:
    """What one query said about one clip.

    Attributes:
        score: Its score.
        rank: 1 for the query's highest score.
        vote: Whether the query voted for the clip.
    """

    score: float
    rank: int
    vote: bool


@dataclass(frozen=True)
class Choice:
    """One selected clip.

    Attributes:
        rank: 1 for the first choice.
        clip_id: Content-derived id.
        votes: Number of queries whose threshold the clip passed.
        mean_rank: Mean over queries of the clip's rank (1 is best).
        mean_score: Mean over queries of I_mot.
        best_query: Id of the query that scores the clip highest.
        best_score: That score.
        reason: One sentence.
        method: By which scores it was chosen.
        per_query: Query id -> what it contributed.
    """

    rank: int
    clip_id: str
    votes: int
    mean_rank: float
    mean_score: float
    best_query: str
    best_score: float
    reason: str
    method: str = "motive"
    per_query: Mapping[str, Contribution] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection:
    """The selected clips, best first, and the thresholds that the votes used.

    Attributes:
        choices: Selected clips.
        thresholds: Query id -> τ_q; a vote needs a score strictly above it (for a selection from
            the bottom: below it).
        method: By which scores they were chosen.
    """

    choices: list[Choice]
    thresholds: dict[str, float]
    method: str = "motive"


def parse_top(text: str | int, total: int) -> int:
    """Turn a share ("10%") or a count ("25") into a number of clips between 1 and total.

    Percentages round up, so that 1 % of 50 clips is one clip.

    Raises:
        UsageError: Not a count or a percentage, or out of range.

    Example:
        >>> parse_top("10%", 420), parse_top("7", 420)
        (42, 7)
    """
    cleaned = str(text).strip()
    try:
        if cleaned.endswith("%"):
            percent = float(cleaned[:-1])
            if not 0 < percent <= 100:
                raise UsageError(f"--top {text}: a percentage must be above 0 and at most 100")
            return max(1, min(total, math.ceil(total * percent / 100 - 1e-9)))
        count = int(cleaned)
    except ValueError:
        raise UsageError(f"--top {text}: give a count such as 50 or a share such as 10%") from None
    if not 1 <= count <= total:
        raise UsageError(f"--top {text}: there are {total} clips to choose from")
    return count


@dataclass(frozen=True)
class Diversity:
    """How much a selection avoids clips that resemble each other.

    Attributes:
        weight: λ of `motive.selection.diversify`, in [0, 1].
        features: One vector per clip, "n ...".
    """

    weight: float
    features: np.ndarray


def majority_vote(
    scores: np.ndarray,
    clip_ids: Sequence[str],
    query_ids: Sequence[str],
    top: int,
    percentile: float | None = None,
    *,
    method: str = "motive",
    bottom: bool = False,
    diversity: Diversity | None = None,
) -> Selection:
    """MajVote_n = Σ_q 1[ I_mot(v_n, v̂_q) > τ_q ], then the top K  [paper eq. 18].

    τ_q is the given percentile of query q's scores; by default the one that K implies, so that
    exactly K clips pass each query (fewer where scores tie). Ties in votes are broken by the mean
    rank over the queries, then by clip id.

    Args:
        scores: I_mot, "q n", or the scores of another method.
        clip_ids: n ids.
        query_ids: q ids.
        top: K, between 1 and n.
        percentile: τ_q's percentile in [0, 100], or None.
        method: Name of the scores, for the table.
        bottom: Choose the K clips that the same vote on negated scores chooses: a control. The
            percentile then counts from the bottom too; ranks and scores are told unchanged.
        diversity: Go through the vote's order by maximal marginal relevance instead of taking its
            first K.

    Raises:
        UsageError: K, the percentile or the weight of diversity is out of range.

    Example:
        >>> scores = np.array([[0.9, 0.1, 0.5], [0.8, 0.7, 0.1]])
        >>> chosen = majority_vote(scores, ["a", "b", "c"], ["q1", "q2"], top=2)
        >>> [(c.clip_id, c.votes) for c in chosen.choices]
        [('a', 2), ('b', 1)]
    """
    signed = -scores if bottom else scores
    thresholds = _thresholds(signed, top, percentile)
    passed = signed > thresholds[:, None]
    place = (ranks(signed, clip_ids) + 1).mean(axis=0)
    order = sorted(range(len(clip_ids)), key=lambda n: (-passed[:, n].sum(), place[n], clip_ids[n]))
    told = _Telling(scores, passed, clip_ids, query_ids, method, bottom)
    if diversity is None:
        choices = [told.choice(rank, n) for rank, n in enumerate(order[:top], start=1)]
    else:
        found = diversify(np.array(order), diversity.features, top, diversity.weight)
        positions = {n: position for position, n in enumerate(order, start=1)}
        choices = [
            told.choice(rank, n, _marginal(positions[n], twin, cosine, clip_ids))
            for rank, (n, twin, cosine) in enumerate(found, start=1)
        ]
    sign = -1.0 if bottom else 1.0
    return Selection(
        choices, dict(zip(query_ids, (sign * thresholds).tolist(), strict=True)), method
    )


def _thresholds(scores: np.ndarray, top: int, percentile: float | None) -> np.ndarray:
    """τ_q of every query, "q"."""
    total = scores.shape[1]
    if not 1 <= top <= total:
        raise UsageError(f"top {top}: there are {total} clips to choose from")
    if percentile is not None and not 0 <= percentile <= 100:
        raise UsageError(f"percentile {percentile}: must be between 0 and 100")
    if percentile is not None:
        found: np.ndarray = np.percentile(scores, percentile, axis=1)
    elif top == total:
        found = np.nextafter(scores.min(axis=1), -np.inf)  # just below every score
    else:
        found = np.sort(scores, axis=1)[:, total - top - 1]
    return found


class _Telling:
    """Says of a clip why it was chosen."""

    def __init__(
        self,
        scores: np.ndarray,
        passed: np.ndarray,
        clip_ids: Sequence[str],
        query_ids: Sequence[str],
        method: str,
        bottom: bool,
    ) -> None:
        self.scores, self.passed, self.method, self.bottom = scores, passed, method, bottom
        self.clip_ids, self.query_ids = clip_ids, query_ids
        self.ranks = ranks(scores, clip_ids) + 1

    def choice(self, rank: int, n: int, also: str = "") -> Choice:
        """The clip at position n as the choice of this rank."""
        scores, place, votes = self.scores[:, n], self.ranks[:, n], int(self.passed[:, n].sum())
        best = int(scores.argmax())
        shown, side = (int(scores.argmin()), "below") if self.bottom else (best, "above")
        reason = (
            f"{side} the threshold of {votes} of {len(self.query_ids)} queries; rank "
            f"{place[shown]} of {len(self.clip_ids)} for query {self.query_ids[shown][:8]}"
        )
        return Choice(
            rank=rank,
            clip_id=self.clip_ids[n],
            votes=votes,
            mean_rank=float(place.mean()),
            mean_score=float(scores.mean()),
            best_query=self.query_ids[best],
            best_score=float(scores[best]),
            reason=reason + also,
            method=self.method,
            per_query={
                name: Contribution(float(scores[q]), int(place[q]), bool(self.passed[q, n]))
                for q, name in enumerate(self.query_ids)
            },
        )


def _marginal(place: int, twin: int | None, cosine: float, clip_ids: Sequence[str]) -> str:
    if twin is None:
        return f"; place {place} by votes"
    return f"; place {place} by votes, most like {clip_ids[twin][:8]} (cosine {cosine:.2f})"


def write_selection_csv(
    path: Path, selection: Selection, facts: Mapping[str, Mapping[str, str]]
) -> None:
    """Write `selection.csv` atomically: one row per chosen clip, best first.

    The column per_query holds JSON: query id -> [score, rank, vote].

    Args:
        path: File to write.
        selection: What was chosen.
        facts: Clip id -> source, start, end (seconds, empty for the whole file), caption, label.

    Raises:
        MotiveError: The file cannot be written.
    """
    columns = [
        "rank", "clip_id", "source", "start", "end", "caption", "label", "votes", "mean_rank",
        "mean_score", "best_query", "best_score", "reason", "method", "per_query",
    ]  # fmt: skip
    with (
        whole_file(path) as partial,
        partial.open("w", newline="", encoding="utf-8", errors="replace") as file,
    ):
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for choice in selection.choices:
            said = {name: [c.score, c.rank, c.vote] for name, c in choice.per_query.items()}
            row = {**vars(choice), **facts[choice.clip_id], "per_query": json.dumps(said)}
            writer.writerow({name: row[name] for name in columns})

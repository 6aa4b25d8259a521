"""Majority vote over queries, and the selection as a table."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motive.errors import UsageError
from motive.files import whole_file
from motive.influence import ranks


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
    """

    rank: int
    clip_id: str
    votes: int
    mean_rank: float
    mean_score: float
    best_query: str
    best_score: float
    reason: str


@dataclass(frozen=True)
class Selection:
    """The selected clips, best first, and the thresholds that the votes used.

    Attributes:
        choices: Selected clips.
        thresholds: Query id -> τ_q; a vote needs a score strictly above it.
    """

    choices: list[Choice]
    thresholds: dict[str, float]


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


def majority_vote(
    scores: np.ndarray,
    clip_ids: Sequence[str],
    query_ids: Sequence[str],
    top: int,
    percentile: float | None = None,
) -> Selection:
    """MajVote_n = Σ_q 1[ I_mot(v_n, v̂_q) > τ_q ], then the top K  [paper eq. 18].

    τ_q is the given percentile of query q's scores; by default the one that K implies, so that
    exactly K clips pass each query (fewer where scores tie). Ties in votes are broken by the mean
    rank over the queries, then by clip id.

    Args:
        scores: I_mot, "q n".
        clip_ids: n ids.
        query_ids: q ids.
        top: K, between 1 and n.
        percentile: τ_q's percentile in [0, 100], or None.

    Raises:
        UsageError: K or the percentile is out of range.

    Example:
        >>> scores = np.array([[0.9, 0.1, 0.5], [0.8, 0.7, 0.1]])
        >>> chosen = majority_vote(scores, ["a", "b", "c"], ["q1", "q2"], top=2)
        >>> [(c.clip_id, c.votes) for c in chosen.choices]
        [('a', 2), ('b', 1)]
    """
    total = len(clip_ids)
    if not 1 <= top <= total:
        raise UsageError(f"top {top}: there are {total} clips to choose from")
    if percentile is not None and not 0 <= percentile <= 100:
        raise UsageError(f"percentile {percentile}: must be between 0 and 100")
    if percentile is not None:
        thresholds = np.percentile(scores, percentile, axis=1)
    elif top == total:
        thresholds = np.nextafter(scores.min(axis=1), -np.inf)  # just below every score
    else:
        thresholds = np.sort(scores, axis=1)[:, total - top - 1]
    votes = (scores > thresholds[:, None]).sum(axis=0)
    rank_matrix = ranks(scores, clip_ids) + 1
    mean_rank = rank_matrix.mean(axis=0)
    order = sorted(range(total), key=lambda n: (-votes[n], mean_rank[n], clip_ids[n]))
    choices = [
        _choice(position, n, scores, rank_matrix, votes, clip_ids, query_ids)
        for position, n in enumerate(order[:top], start=1)
    ]
    return Selection(choices, dict(zip(query_ids, thresholds.tolist(), strict=True)))


def _choice(
    position: int,
    n: int,
    scores: np.ndarray,
    rank_matrix: np.ndarray,
    votes: np.ndarray,
    clip_ids: Sequence[str],
    query_ids: Sequence[str],
) -> Choice:
    best = int(scores[:, n].argmax())
    queries = len(query_ids)
    reason = (
        f"above the threshold of {votes[n]} of {queries} queries; rank {rank_matrix[best, n]} of "
        f"{len(clip_ids)} for query {query_ids[best][:8]}"
    )
    return Choice(
        rank=position,
        clip_id=clip_ids[n],
        votes=int(votes[n]),
        mean_rank=float(rank_matrix[:, n].mean()),
        mean_score=float(scores[:, n].mean()),
        best_query=query_ids[best],
        best_score=float(scores[best, n]),
        reason=reason,
    )


def write_selection_csv(
    path: Path, selection: Selection, facts: Mapping[str, Mapping[str, str]]
) -> None:
    """Write `selection.csv` atomically: one row per chosen clip, best first.

    Args:
        path: File to write.
        selection: What was chosen.
        facts: Clip id -> source, start, end (seconds, empty for the whole file), caption, label.

    Raises:
        MotiveError: The file cannot be written.
    """
    columns = [
        "rank", "clip_id", "source", "start", "end", "caption", "label", "votes", "mean_rank",
        "mean_score", "best_query", "best_score", "reason",
    ]  # fmt: skip
    with (
        whole_file(path) as partial,
        partial.open("w", newline="", encoding="utf-8", errors="replace") as file,
    ):
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for choice in selection.choices:
            row = {**vars(choice), **facts[choice.clip_id]}
            writer.writerow({name: row[name] for name in columns})

"""How well scores find clips with the query's label, where labels are known (MotionZoo).

A control for one's own eyes, not a measure of influence: it says whether the top of a ranking shows
the query's motion. Every number comes with its chance level and an interval over queries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from motive.errors import UsageError

_RESAMPLES = 2000


@dataclass(frozen=True)
class RetrievalScore:
    """Mean over queries, with a 95 % bootstrap interval over queries.

    Attributes:
        average_precision: Mean average precision, in [0, 1].
        average_precision_interval: (low, high).
        precision_at_10: Share of the ten best clips with the query's label.
        precision_at_10_interval: (low, high).
        chance: Expected share of the label among all clips, which random ranking reaches.
        per_query_average_precision: float "q".
        per_query_precision_at_10: float "q".
    """

    average_precision: float
    average_precision_interval: tuple[float, float]
    precision_at_10: float
    precision_at_10_interval: tuple[float, float]
    chance: float
    per_query_average_precision: np.ndarray
    per_query_precision_at_10: np.ndarray


def retrieval(
    scores: np.ndarray, clip_labels: Sequence[str], query_labels: Sequence[str], seed: int = 0
) -> RetrievalScore:
    """Average precision and precision at 10 of the query's label.

    Args:
        scores: "q n".
        clip_labels: n labels.
        query_labels: q labels; each must occur among the clips.
        seed: Of the bootstrap.

    Raises:
        UsageError: Labels and scores do not fit, or no clip has a query's label.
    """
    if scores.shape != (len(query_labels), len(clip_labels)):
        raise UsageError(
            f"{len(clip_labels)} clip labels and {len(query_labels)} query labels for scores of "
            f"shape {scores.shape}: must be queries x clips"
        )
    strange = sorted(set(query_labels) - set(clip_labels))
    if strange:
        raise UsageError(f"no clip is labelled {strange[0]!r}; its query has nothing to find")
    relevant = np.asarray(clip_labels)[None, :] == np.asarray(query_labels)[:, None]
    hits = ranked_hits(scores, relevant)
    average, at_10 = average_precision(hits), precision_at(hits, 10)
    return RetrievalScore(
        float(average.mean()),
        bootstrap_interval(average, seed),
        float(at_10.mean()),
        bootstrap_interval(at_10, seed),
        float(relevant.mean()),
        average,
        at_10,
    )


def ranked_hits(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Whether the clip at each place is relevant, best score first; ties keep the clips' order.

    Args:
        scores: "q n".
        relevant: bool "q n".

    Returns:
        bool "q n".
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(relevant, order, axis=1)


def average_precision(hits: np.ndarray) -> np.ndarray:
    """Mean over the relevant clips of the precision at each one's place.

    Args:
        hits: bool "q n", from `ranked_hits`; each row has a relevant clip.

    Returns:
        float "q" in (0, 1].
    """
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    found: np.ndarray = (precision * hits).sum(axis=1) / hits.sum(axis=1)
    return found


def precision_at(hits: np.ndarray, count: int) -> np.ndarray:
    """Share of relevant clips among the best `count` (or all, if there are fewer), "q"."""
    share: np.ndarray = hits[:, :count].mean(axis=1)
    return share


def count_of_share(share: float, clips: int) -> int:
    """How many clips a share of them is, rounded up: 1 % of 420 is 5.

    Raises:
        UsageError: The share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise UsageError(f"share {share}: must be above 0 and at most 1")
    return max(1, math.ceil(share * clips - 1e-9))  # 0.07 * 100 is 7.000000000000001


def chance_average_precision(relevant: int, clips: int) -> float:
    """Expected average precision of a random order: a little more than the share of relevant clips.

    With R relevant among N, the clip at place k is relevant with probability R/N, and then each of
    the k - 1 before it with (R - 1)/(N - 1):

        E[AP] = (1/N) Σ_k (1/k) (1 + (k - 1)(R - 1)/(N - 1))

    Example:
        >>> round(chance_average_precision(40, 400), 4)
        0.1126
        >>> chance_average_precision(5, 5)
        1.0
    """
    if clips == 1:
        return 1.0
    harmonic = float((1.0 / np.arange(1, clips + 1)).sum())
    rest = (relevant - 1) / (clips - 1)
    return float((harmonic + rest * (clips - harmonic)) / clips)


def bootstrap_interval(
    values: np.ndarray, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of "n" values."""
    generator = np.random.default_rng(seed)
    samples = generator.choice(values, size=(_RESAMPLES, len(values))).mean(axis=1)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(samples, [tail, 1.0 - tail])
    return float(low), float(high)

"""Shared by the gradient methods: scores from the two feature tables of a spec."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from motive.bench.clipwork import FeatureSpec
from motive.bench.context import Bench
from motive.errors import ClipError
from motive.index import FeatureTable

Estimator = Callable[[FeatureTable, FeatureTable], np.ndarray]  # queries, candidates -> "q n"


def gradient_scores(bench: Bench, spec: FeatureSpec, estimator: Estimator) -> np.ndarray:
    """Scores "q n" of an estimator on the features of a spec.

    A candidate without a gradient (nothing moves under the mask) ranks last for every query.

    Raises:
        ClipError: A query has no gradient.
    """
    queries, candidates = (bench.features(role, spec) for role in ("queries", "candidates"))
    for clip, norm in zip(bench.problem.queries, queries.projected_norms, strict=True):
        if norm == 0:
            raise ClipError(
                f"{clip.clip.source}: nothing moves in this query, so its motion has no gradient; "
                "leave it out"
            )
    still = candidates.projected_norms == 0
    scores = estimator(queries, candidates)
    if still.any():
        # Lower than any other, and by no more than the spread, so that sums keep their scale.
        rest = scores[:, ~still] if not still.all() else np.zeros((len(scores), 1))
        low, high = rest.min(axis=1, keepdims=True), rest.max(axis=1, keepdims=True)
        scores = np.where(still, low - 0.01 * (high - low) - 1e-6, scores)
    return scores

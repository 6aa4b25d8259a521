"""Do the annotators agree more than chance would have them?

Invariant: values of 1 mean perfect agreement, 0 chance, and the coefficients take any number of
annotators per pair and any gaps, so an unfinished study has one too.
"""

from __future__ import annotations

from typing import Literal

import numpy as np


def fleiss_kappa(counts: np.ndarray) -> float | None:
    """Fleiss' kappa (Fleiss 1971).

    With a different number of annotators per pair, a pair's agreement is the share of its pairs of
    annotators who agree, and all such shares weigh the same.

    Args:
        counts: "p k", how many annotators gave pair p the answer k.

    Returns:
        At most 1; None if no pair has two answers, or if nobody ever gave a second kind of answer.

    Example:
        >>> fleiss_kappa(np.array([[3, 0], [0, 3], [3, 0]]))
        1.0
    """
    counts, raters = _judged_twice(counts)
    if not len(counts):
        return None
    agreeing = (counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1))
    shares = counts.sum(axis=0) / counts.sum()
    chance = float((shares**2).sum())
    if chance >= 1.0:
        return None
    return float((agreeing.mean() - chance) / (1.0 - chance))


def krippendorff_alpha(
    counts: np.ndarray, level: Literal["nominal", "ordinal"] = "nominal"
) -> float | None:
    """Krippendorff's alpha from coincidences (Krippendorff 2011).

    Args:
        counts: "p k", how many annotators gave pair p the answer k; answers in their order.
        level: "nominal": answers are equal or not. "ordinal": a loss is farther from a win than
            from a tie.

    Returns:
        At most 1; None if no pair has two answers, or if nobody ever gave a second kind of answer.

    Example:
        >>> krippendorff_alpha(np.array([[2, 0], [0, 2]]))
        1.0
    """
    counts, raters = _judged_twice(counts)
    if not len(counts):
        return None
    # Ordered couples of different annotators, each pair weighted to count its annotators once.
    couples = np.einsum("pi,pj->pij", counts, counts)
    index = np.arange(counts.shape[1])
    couples[:, index, index] -= counts
    observed = (couples / (raters - 1)[:, None, None]).sum(axis=0)
    totals = observed.sum(axis=1)
    expected = (np.outer(totals, totals) - np.diag(totals)) / (totals.sum() - 1)
    distance = _distances(totals, level)
    chance = float((expected * distance).sum())
    if chance == 0.0:
        return None
    return 1.0 - float((observed * distance).sum()) / chance


def _distances(totals: np.ndarray, level: str) -> np.ndarray:
    """Squared distance "k k" between answers."""
    if level == "nominal":
        return 1.0 - np.eye(len(totals))
    middle = np.cumsum(totals) - totals / 2  # mean rank of each answer
    return np.subtract.outer(middle, middle) ** 2


def _judged_twice(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs that two annotators or more have judged: counts "p k" and annotators "p"."""
    counts = np.asarray(counts, dtype=np.float64)
    raters = counts.sum(axis=1)
    return counts[raters >= 2], raters[raters >= 2]

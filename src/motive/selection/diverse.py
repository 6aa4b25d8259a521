"""Selections that do not choose the same thing twice: maximal marginal relevance."""

from __future__ import annotations

import numpy as np

from motive.errors import UsageError
from motive.influence import unit_rows


def diversify(
    order: np.ndarray, features: np.ndarray, count: int, weight: float
) -> list[tuple[int, int | None, float]]:
    """Choose greedily by relevance and by unlikeness to what is chosen already.

    At every step the clip with the largest

        (1 − λ) r_n − λ max over chosen s of cos(φ_n, φ_s)

    where r_n falls evenly from 1 for the first of the order to 0 for the last (Carbonell and
    Goldstein 1998, with relevance by rank so that no scale has to be matched). λ = 0 is the order
    itself. Ties go to the earlier clip.

    Args:
        order: Positions of all clips, best first, int "n".
        features: φ, "n ...", rows by position.
        count: How many to choose.
        weight: λ in [0, 1].

    Returns:
        For every choice its position, the most alike earlier choice (None for the first), and their
        cosine.

    Raises:
        UsageError: λ or the count is out of range.

    Example:
        >>> features = np.array([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0]])
        >>> [n for n, _, _ in diversify(np.arange(3), features, 2, 0.5)]
        [0, 2]
    """
    total = len(order)
    if not 0 <= weight <= 1:
        raise UsageError(f"--diverse {weight}: must be between 0 and 1")
    if not 1 <= count <= total:
        raise UsageError(f"top {count}: there are {total} clips to choose from")
    unit = unit_rows(features.astype(np.float32))[order]  # rows by place in the order
    relevance = 1.0 - np.arange(total) / max(1, total - 1)
    likeness, nearest = np.full(total, -1.0), np.full(total, -1)
    free = np.ones(total, dtype=bool)
    chosen: list[tuple[int, int | None, float]] = []
    for step in range(count):
        gain = (1.0 - weight) * relevance
        if step:
            gain = gain - weight * likeness
        place = int(np.argmax(np.where(free, gain, -np.inf)))
        twin = None if nearest[place] < 0 else int(order[nearest[place]])
        chosen.append((int(order[place]), twin, float(likeness[place])))
        free[place] = False
        cosine = unit @ unit[place]
        closer = (cosine > likeness) | (nearest < 0)
        likeness = np.where(closer, cosine, likeness)
        nearest = np.where(closer, place, nearest)
    return chosen

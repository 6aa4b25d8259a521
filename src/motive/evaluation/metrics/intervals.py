"""Intervals of means over videos, where several videos may share a prompt."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

_RESAMPLES = 2000


def clustered_interval(
    values: Sequence[float], clusters: Sequence[Hashable], seed: int = 0, level: float = 0.95
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the mean, drawing whole clusters with replacement.

    Videos of one prompt resemble each other; drawing them one by one would make the interval too
    narrow. With one video per cluster it is the ordinary bootstrap.

    Args:
        values: n numbers.
        clusters: To which cluster (prompt) each belongs.
        seed: Of the draws.
        level: Of the interval.

    Returns:
        (low, high), or None with fewer than two clusters: nothing is known about the spread then.
    """
    names = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
    if len(names) < 2:
        return None
    of = np.array([names[name] for name in clusters])
    sums = np.bincount(of, weights=np.asarray(values, dtype=np.float64))
    counts = np.bincount(of).astype(np.float64)
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(names), size=(_RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)

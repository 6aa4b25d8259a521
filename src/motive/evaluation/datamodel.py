"""Do scores predict what retraining does? The linear datamodeling score, and its ceiling.

For a set of clips the attribution predicts the sum of its clips' scores; over many random sets,
the prediction is compared by rank with what models trained on those sets really do (TRAK, Park et
al. 2023). Only the order of the sets counts, so neither the scale of scores nor that of losses
matters.

Retraining is noisy: two models trained on the same set with different seeds differ. The rank
correlation between seeds says how far any method could get; a score must be read beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import rankdata

from motive.errors import UsageError
from motive.influence import bootstrap_interval

_FEWEST = 3  # sets; below that a rank correlation says nothing


@dataclass(frozen=True)
class MeanScore:
    """Mean over queries, with a 95 % bootstrap interval over queries.

    Attributes:
        value: The mean.
        interval: (low, high).
        per_query: float "q".
    """

    value: float
    interval: tuple[float, float]
    per_query: np.ndarray

    @classmethod
    def of(cls, per_query: np.ndarray, seed: int = 0) -> MeanScore:
        """Mean and interval of "q" values."""
        return cls(float(per_query.mean()), bootstrap_interval(per_query, seed), per_query)


@dataclass(frozen=True)
class NoiseFloor:
    """How well retraining agrees with itself, and what that leaves for a prediction.

    Attributes:
        seeds: r, how many models were trained per set.
        single: Rank correlation over sets between two seeds, mean over pairs of seeds.
        mean_of_seeds: Reliability of the mean over the r seeds, by Spearman-Brown:
            r·ρ / (1 + (r − 1)·ρ).
        ceiling: √ of it: the expected score of a perfect prediction, by the classical correction
            for attenuation (exact for Pearson correlations, close for ranks).
        ceiling_interval: From the 95 % bootstrap interval of `single` over queries.
    """

    seeds: int
    single: MeanScore
    mean_of_seeds: float
    ceiling: float
    ceiling_interval: tuple[float, float]


def linear_datamodeling_score(
    scores: np.ndarray, masks: np.ndarray, targets: np.ndarray, *, seed: int = 0
) -> MeanScore:
    """Rank correlation over sets between predicted and measured effect, per query.

    Args:
        scores: Influence of every clip on every query, "q n"; positive helps the query.
        masks: Which clips each set holds, bool "m n".
        targets: What was measured after training on each set, "m q"; larger is better (for a loss:
            its negative). Average over training seeds first.
        seed: Of the bootstrap over queries.

    Returns:
        Per query in [-1, 1]; 0 where the scores or the targets of a query do not vary.

    Raises:
        UsageError: The shapes do not fit, a value is not finite, or there are fewer than 3 sets.

    Example:
        >>> masks = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], dtype=bool)
        >>> effect = np.array([[3.0, 2.0, 1.0]])
        >>> linear_datamodeling_score(effect, masks, masks @ effect.T).value
        1.0
    """
    scores, masks, targets = np.asarray(scores), np.asarray(masks), np.asarray(targets)
    if scores.ndim != 2 or masks.ndim != 2 or masks.shape[1] != scores.shape[1]:
        raise UsageError(
            f"scores of shape {scores.shape} and sets of shape {masks.shape}: must be queries x "
            "clips and sets x clips, with the same clips"
        )
    if targets.shape != (len(masks), len(scores)):
        raise UsageError(
            f"targets of shape {targets.shape}: must be {len(masks)} sets x {len(scores)} queries"
        )
    _check_values(("scores", scores), ("targets", targets))
    _check_count(len(masks))
    predicted = masks.astype(np.float64) @ scores.T.astype(np.float64)  # (m, q)
    return MeanScore.of(_rank_correlation(_without_rounding(predicted), targets), seed)


def noise_floor(targets: np.ndarray, *, seed: int = 0) -> NoiseFloor:
    """Agreement of retraining with itself.

    Args:
        targets: "r m q": r seeds, m sets, q queries.
        seed: Of the bootstrap over queries.

    Raises:
        UsageError: Fewer than two seeds or three sets, or a value that is not finite.
    """
    targets = np.asarray(targets)
    if targets.ndim != 3 or len(targets) < 2:
        raise UsageError(
            f"targets of shape {targets.shape}: must be seeds x sets x queries with at least two "
            "seeds, or the noise of training cannot be told from its signal"
        )
    _check_values(("targets", targets))
    _check_count(targets.shape[1])
    pairs = [_rank_correlation(a, b) for a, b in combinations(targets, 2)]
    single = MeanScore.of(np.mean(pairs, axis=0), seed)
    count = len(targets)
    low, high = (_spearman_brown(value, count) ** 0.5 for value in single.interval)
    together = _spearman_brown(single.value, count)
    return NoiseFloor(count, single, together, together**0.5, (low, high))


def random_subsets(clips: int, count: int, fraction: float, seed: int) -> np.ndarray:
    """Random sets of equal size; set number i is the same however many sets are asked for.

    Args:
        clips: n.
        count: m.
        fraction: Of the clips in each set, rounded to whole clips.
        seed: Of the draw.

    Returns:
        bool "m n".
    """
    size = round(clips * fraction)
    if not 0 < size < clips:
        raise UsageError(
            f"sets of {size} out of {clips} clips tell nothing apart; choose a fraction between "
            "0 and 1"
        )
    masks = np.zeros((count, clips), dtype=bool)
    for row in range(count):
        order = np.random.default_rng([seed, row]).permutation(clips)
        masks[row, order[:size]] = True
    return masks


def _rank_correlation(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Spearman correlation of each column of two "m q" arrays: "q"; 0 where one is constant."""
    a, b = (rankdata(values, axis=0) for values in (left, right))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    products = (a * b).sum(axis=0)
    return np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)


def _without_rounding(predicted: np.ndarray) -> np.ndarray:
    """Equal sums that differ in their last bits, by the order of adding, become ties again."""
    largest = np.abs(predicted).max(axis=0, keepdims=True)
    step = np.where(largest > 0, largest, 1.0) * 1e-12
    return np.round(predicted / step)


def _spearman_brown(reliability: float, count: int) -> float:
    """Reliability of the mean of `count` parallel measurements; negative ones count as none."""
    found = max(0.0, reliability)
    return count * found / (1.0 + (count - 1) * found)


def _check_values(*named: tuple[str, np.ndarray]) -> None:
    for name, values in named:
        bad = ~np.isfinite(values)
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            raise UsageError(
                f"{name}: {int(bad.sum())} values are not finite, the first at {where}; "
                "give a number for every query and clip"
            )


def _check_count(count: int) -> None:
    if count < _FEWEST:
        raise UsageError(
            f"{count} retrained sets are too few for a rank correlation; train at least {_FEWEST}"
        )

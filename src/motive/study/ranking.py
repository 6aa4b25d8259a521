"""One scale for all conditions: the Bradley-Terry model.

Invariant: the scale depends on the judgements alone, not on the order of conditions, and stays
finite when a condition never loses.
"""

from __future__ import annotations

import numpy as np

_MOST_STEPS = 20_000
_TOLERANCE = 1e-9
#: Judgements added to every pairing that was judged, half to each side. One in 850 is nothing; with
#: none, a condition that never loses would be infinitely strong.
PRIOR = 1.0


def bradley_terry(wins: np.ndarray, prior: float = PRIOR) -> np.ndarray:
    """Log-strengths: P(i beats j) = 1 / (1 + exp(s_j - s_i)) (Bradley and Terry 1952).

    Fitted by Hunter's (2004) minorisation-maximisation; a tie counts as half a win for each side.

    Args:
        wins: "... k k", how often condition i beat condition j (ties as halves), for any number of
            resamples at once.
        prior: Judgements added to every pairing that was judged.

    Returns:
        "... k" with mean zero. Conditions that no chain of judgements connects are not comparable;
        the caller keeps them apart.

    Example:
        >>> strengths = bradley_terry(np.array([[0, 3], [1, 0]]), prior=0)
        >>> round(float(strengths[0] - strengths[1]), 4)  # ln 3
        1.0986
    """
    wins = np.asarray(wins, dtype=np.float64)
    judged = wins + np.swapaxes(wins, -1, -2)
    wins = wins + 0.5 * prior * (judged > 0)
    judged = wins + np.swapaxes(wins, -1, -2)
    won = wins.sum(axis=-1)
    strength = np.ones(won.shape)
    for _ in range(_MOST_STEPS):
        both = strength[..., :, None] + strength[..., None, :]
        pull = (judged / both).sum(axis=-1)
        after = np.divide(won, pull, out=np.ones_like(won), where=pull > 0)
        after = np.maximum(after, 1e-12)
        after /= np.exp(np.log(after).mean(axis=-1, keepdims=True))
        change = np.abs(np.log(after / strength)).max()
        strength = after
        if change < _TOLERANCE:
            break
    logs: np.ndarray = np.log(strength)
    return logs

"""The paper's table, to be shown beside ours and marked as published.

Wan2.1-T2V-1.3B, 10 % selections, six VBench dimensions times 100; the paper states neither seeds
nor intervals.
"""

from __future__ import annotations

from motive.evaluation.metrics import DIMENSIONS
from motive.experiment.conditions import Condition

MODEL = "Wan2.1-T2V-1.3B"
_ROWS: dict[str, tuple[float, ...]] = {
    "base": (95.3, 96.4, 96.3, 39.6, 45.3, 65.7),
    "full": (95.9, 96.6, 96.3, 42.0, 45.0, 63.9),
    "random": (95.3, 96.6, 96.3, 41.3, 45.7, 65.1),
    "magnitude": (95.6, 96.2, 95.7, 40.1, 45.1, 63.2),
    "embedding": (95.7, 96.0, 95.6, 41.6, 44.9, 62.7),  # V-JEPA 2
    "no-mask": (95.4, 96.1, 96.3, 43.8, 45.7, 63.2),
    "motive": (96.3, 96.1, 96.3, 47.6, 46.0, 64.6),
}
#: Win, tie and loss of MOTIVE in percent: 17 annotators, 50 videos per pairing.
HUMANS = {
    "base": (74.1, 12.3, 13.6),
    "random": (58.9, 12.1, 29.0),
    "full": (53.1, 14.8, 32.1),
    "no-mask": (46.9, 20.0, 33.1),
}
TITLES = {
    "base": "Base",
    "full": "Full fine-tuning",
    "random": "Random 10 %",
    "magnitude": "Motion magnitude",
    "embedding": "V-JEPA embedding",
    "no-mask": "MOTIVE without mask",
    "motive": "MOTIVE",
}


def published_rows() -> dict[str, dict[str, float]]:
    """Way of choosing -> dimension -> published number, times 100."""
    return {by: dict(zip(DIMENSIONS, values, strict=True)) for by, values in _ROWS.items()}


def published_for(condition: Condition) -> dict[str, float]:
    """The published numbers of a condition; empty for one that the paper does not have."""
    if condition.bottom or condition.diverse or condition.features or condition.draws > 1:
        return {}
    return published_rows().get(condition.by, {})

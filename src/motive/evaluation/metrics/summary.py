"""From rows per video to a table: means or shares with intervals, and paired differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from motive.evaluation.fidelity import wilson_share
from motive.evaluation.metrics.catalogue import BY_KEY
from motive.evaluation.metrics.evaluating import VideoRow
from motive.evaluation.metrics.intervals import clustered_interval


@dataclass(frozen=True)
class Cell:
    """One metric of one condition.

    Attributes:
        condition: Name.
        key: Metric.
        value: Mean over videos, or share of them; None if it was not measured.
        low: Lower end of the 95 % interval (Wilson for a share, bootstrap over prompts for a mean);
            None with fewer than two videos.
        high: Upper end.
        videos: How many have a number.
        missing: How many have none.
        why: The commonest reason for that; empty if those videos cannot be judged at all.
    """

    condition: str
    key: str
    value: float | None
    low: float | None
    high: float | None
    videos: int
    missing: int
    why: str = ""


@dataclass(frozen=True)
class Difference:
    """A condition against the reference, over pairs of videos that belong together.

    Attributes:
        condition: Name.
        reference: Name of the condition that is subtracted.
        key: Metric.
        value: Mean difference over pairs.
        low: Lower end of its 95 % interval, bootstrap over prompts; None with fewer than two.
        high: Upper end.
        pairs: How many.
    """

    condition: str
    reference: str
    key: str
    value: float
    low: float | None
    high: float | None
    pairs: int


@dataclass(frozen=True)
class Summary:
    """All cells and differences.

    Attributes:
        conditions: Names, the reference first.
        keys: Metrics, in order.
        cells: One per condition and metric.
        differences: One per further condition and metric, where pairs were found.
    """

    conditions: list[str]
    keys: list[str]
    cells: list[Cell]
    differences: list[Difference]

    def cell(self, condition: str, key: str) -> Cell:
        """One of the cells."""
        return next(c for c in self.cells if (c.condition, c.key) == (condition, key))

    def difference(self, condition: str, key: str) -> Difference | None:
        """One of the differences; None if there are no pairs."""
        found = (d for d in self.differences if (d.condition, d.key) == (condition, key))
        return next(found, None)


def summarise(rows: Sequence[VideoRow], conditions: Sequence[str], keys: Sequence[str]) -> Summary:
    """Summarise every condition and compare each with the first.

    Args:
        rows: Of all conditions.
        conditions: Names, the reference first.
        keys: Metrics.
    """
    of = {name: [row for row in rows if row.video.condition == name] for name in conditions}
    cells = [_cell(name, key, of[name]) for name in conditions for key in keys]
    reference = conditions[0]
    differences = [
        found
        for name in conditions[1:]
        for key in keys
        if (found := _difference(name, reference, key, of[name], of[reference])) is not None
    ]
    return Summary(list(conditions), list(keys), cells, differences)


def frame_weighted(rows: Sequence[VideoRow], key: str) -> float | None:
    """Consistency as `vbench` on one GPU states it: every frame but the first counts alike."""
    pairs = [
        (row.values[key], row.facts.frames - 1) for row in rows if key in row.values and row.facts
    ]
    total = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs) / total if total else None


def _cell(condition: str, key: str, rows: Sequence[VideoRow]) -> Cell:
    measured = [row for row in rows if key in row.values]
    # Videos that cannot be judged at all have their own list.
    lacking = [row for row in rows if key not in row.values and row.error is None]
    reasons = Counter(row.why.get(key, "not measured") for row in lacking)
    why = reasons.most_common(1)[0][0] if reasons else ""
    missing = len(rows) - len(measured)
    if not measured:
        return Cell(condition, key, None, None, None, 0, missing, why)
    values = [row.values[key] for row in measured]
    mean = float(np.mean(values))
    if BY_KEY[key].kind == "share":
        share = wilson_share(round(sum(values)), len(values))
        return Cell(condition, key, share.value, share.low, share.high, len(values), missing, why)
    interval = clustered_interval(values, [_cluster(row) for row in measured])
    low, high = interval or (None, None)
    return Cell(condition, key, mean, low, high, len(values), missing, why)


def _difference(
    condition: str,
    reference: str,
    key: str,
    rows: Sequence[VideoRow],
    others: Sequence[VideoRow],
) -> Difference | None:
    known: Mapping[str, VideoRow] = {row.pair: row for row in others if key in row.values}
    pairs = [(row, known[row.pair]) for row in rows if key in row.values and row.pair in known]
    if not pairs:
        return None
    values = [row.values[key] - other.values[key] for row, other in pairs]
    interval = clustered_interval(values, [_cluster(row) for row, _ in pairs])
    low, high = interval or (None, None)
    return Difference(condition, reference, key, float(np.mean(values)), low, high, len(pairs))


def _cluster(row: VideoRow) -> str:
    """Videos of one prompt are one cluster."""
    return row.video.prompt or row.pair

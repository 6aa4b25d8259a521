"""Geometry of the page's charts, in percent of their width and height.

Everything is drawn with relative units, so a chart keeps its text at reading size on any screen.
Invariant: a chart's axis always contains every value that is drawn on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from motive.report.data import Comparison, ComparisonRow, Estimate, Metric, QueryReport

#: Markers of the controls, by order; the main method is always a filled circle.
SHAPES = ("ring", "square", "diamond", "triangle", "cross")
_AXIS_ENDS = (0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Axis:
    """A linear axis and its labelled ticks, each (percent, text)."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: float) -> float:
        """Percent from the left, to a hundredth."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)


@dataclass(frozen=True)
class Bar:
    """One bin: left edge, width and heights of its two stacked parts, in percent; above tau_q?"""

    left: float
    width: float
    same: float
    other: float
    voting: bool


@dataclass(frozen=True)
class Histogram:
    """All scores of one query, with the places of what is marked on it."""

    bars: tuple[Bar, ...]
    axis: Axis
    threshold: float | None
    positives: tuple[float, ...]
    negatives: tuple[float, ...]
    count: int
    above: int
    peak: int


@dataclass(frozen=True)
class Mark:
    """An estimate drawn on an axis."""

    name: str
    shape: str
    value: float
    at: float
    low: float | None
    high: float | None
    estimate: Estimate


@dataclass(frozen=True)
class ForestRow:
    """A line of a forest plot; `main` is drawn in front of `others`."""

    name: str
    note: str
    main: Mark | None
    others: tuple[Mark, ...]
    chance: float | None
    is_main: bool


@dataclass(frozen=True)
class Forest:
    """Estimates of one metric side by side."""

    metric: Metric
    axis: Axis
    rows: tuple[ForestRow, ...]


def histogram(query: QueryReport) -> Histogram:
    """Bins of a query's scores; at least a dozen, at most 56, about 2 sqrt(n)."""
    scores = np.asarray(query.scores, dtype=np.float64)
    marked = [clip.score for clip in (*query.positives, *query.negatives)]
    if query.threshold is not None:
        marked.append(query.threshold)
    everything = np.concatenate([scores, np.asarray(marked, dtype=np.float64)])
    low, high = (everything.min(), everything.max()) if everything.size else (0.0, 1.0)
    spread, size = high - low, max(abs(high), abs(low))
    # Scores that differ by rounding alone leave no room for bins between them.
    apart = spread > max(1e-9 * size, 1e-200)
    margin = 0.03 * spread if apart else max(0.1 * size, 1e-3)
    axis = _score_axis(float(low - margin), float(high + margin))
    bins = int(np.clip(round(2 * np.sqrt(scores.size)), 12, 56))
    counts, edges = np.histogram(scores, bins=bins, range=(axis.low, axis.high))
    same = np.zeros(bins, dtype=int)
    if query.same_label is not None:
        mask = np.asarray(query.same_label, dtype=bool)
        same, _ = np.histogram(scores[mask], bins=bins, range=(axis.low, axis.high))
    peak = max(int(counts.max()), 1)
    threshold = query.threshold
    return Histogram(
        bars=tuple(
            Bar(
                left=axis.place(edges[i]),
                width=round(100 / bins, 3),
                same=round(100 * same[i] / peak, 2),
                other=round(100 * (counts[i] - same[i]) / peak, 2),
                voting=threshold is not None and bool(edges[i] >= threshold),
            )
            for i in range(bins)
            if counts[i]
        ),
        axis=axis,
        threshold=None if threshold is None else axis.place(threshold),
        positives=tuple(axis.place(clip.score) for clip in query.positives),
        negatives=tuple(axis.place(clip.score) for clip in query.negatives),
        count=scores.size,
        above=0 if threshold is None else int((scores > threshold).sum()),
        peak=int(counts.max()),
    )


def overall_forests(comparison: Comparison) -> list[Forest]:
    """Per metric: one line per method, over all queries."""
    forests = []
    for metric in comparison.metrics:
        estimates = [
            row.overall[metric.key] for row in comparison.rows if metric.key in row.overall
        ]
        if not estimates:
            continue
        axis = _metric_axis(estimates, [metric.chance])
        rows = tuple(
            ForestRow(
                name=row.name,
                note=row.note,
                main=_mark(row.overall.get(metric.key), axis, row.name, "dot"),
                others=(),
                chance=None if metric.chance is None else axis.place(metric.chance),
                is_main=row is comparison.main,
            )
            for row in comparison.rows
        )
        forests.append(Forest(metric, axis, rows))
    return forests


def label_forests(comparison: Comparison) -> list[Forest]:
    """Per metric: one line per label, the main method with its interval, controls as markers."""
    main = comparison.main
    controls = [row for row in comparison.rows if row is not main]
    labels = tuple(comparison.labels) or tuple(main.per_label)
    forests = []
    for metric in comparison.metrics:
        chances = [metric.chance_by_label.get(label, metric.chance) for label in labels]
        estimates = [
            row.per_label[label][metric.key]
            for row in comparison.rows
            for label in labels
            if metric.key in row.per_label.get(label, {})
        ]
        if not estimates:
            continue
        axis = _metric_axis(estimates, chances)
        rows = tuple(
            ForestRow(
                name=label,
                note="",
                main=_mark(main.per_label.get(label, {}).get(metric.key), axis, main.name, "dot"),
                others=_control_marks(controls, label, metric, axis),
                chance=None if chance is None else axis.place(chance),
                is_main=False,
            )
            for label, chance in zip(labels, chances, strict=True)
        )
        forests.append(Forest(metric, axis, rows))
    return forests


def control_shapes(comparison: Comparison) -> list[tuple[str, str]]:
    """(name, shape) of each control that has per-label values, for the legend."""
    controls = [row for row in comparison.rows if row is not comparison.main]
    return [(row.name, SHAPES[i % len(SHAPES)]) for i, row in enumerate(controls) if row.per_label]


def _control_marks(
    controls: Sequence[ComparisonRow], label: str, metric: Metric, axis: Axis
) -> tuple[Mark, ...]:
    marks = (
        _mark(row.per_label.get(label, {}).get(metric.key), axis, row.name, SHAPES[i % len(SHAPES)])
        for i, row in enumerate(controls)
    )
    return tuple(mark for mark in marks if mark is not None)


def _mark(estimate: Estimate | None, axis: Axis, name: str, shape: str) -> Mark | None:
    if estimate is None:
        return None
    ends = (estimate.low, estimate.high)
    low, high = (None if end is None else axis.place(end) for end in ends)
    return Mark(name, shape, estimate.value, axis.place(estimate.value), low, high, estimate)


def _metric_axis(estimates: Sequence[Estimate], chances: Sequence[float | None]) -> Axis:
    """From 0 (or the lowest value) to the first round end that holds every value drawn."""
    values = [
        value
        for estimate in estimates
        for value in (estimate.value, estimate.low, estimate.high)
        if value is not None
    ]
    values += [chance for chance in chances if chance is not None]
    top = max(values)
    high = next((end for end in _AXIS_ENDS if top <= end), top)
    low = min(0.0, *values)
    step = (high - low) / 4
    ticks = tuple((25.0 * i, f"{low + step * i:.3g}") for i in range(5))
    return Axis(low, high, ticks)


def _score_axis(low: float, high: float) -> Axis:
    """Ticks at round numbers inside [low, high], four to nine of them."""
    rough = (high - low) / 8
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
    digits = max(0, int(-np.floor(np.log10(step) + 1e-9)) + (step / power == 2.5))
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    ticks = tuple(
        (round(100 * (i * step - low) / (high - low), 2), f"{i * step:.{digits}f}")
        for i in range(first, last + 1)
    )
    return Axis(low, high, ticks)

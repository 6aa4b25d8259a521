"""The page of results: bars, intervals and tables, drawn without a script.

Invariant: the page computes nothing; every number on it is one of `StudyResults`.
"""

from __future__ import annotations

from dataclasses import dataclass

from motive.study.page import render_page
from motive.study.results import StudyResults
from motive.study.tally import OUTCOMES, Interval, Ranked, Tally


@dataclass(frozen=True)
class Bar:
    """A tally as a bar of three parts; places in percent of its width."""

    tally: Tally
    parts: list[tuple[str, float, float]]  # (outcome, left edge, width)


@dataclass(frozen=True)
class Mark:
    """A condition on the Bradley-Terry axis; places in percent of its width."""

    ranked: Ranked
    at: float
    low: float | None
    width: float


def results_page(results: StudyResults) -> str:
    """The page as text."""
    overall = [tally for tally in results.tallies if not tally.motion]
    pairings = [(tally.first, tally.second) for tally in overall]
    by_motion = [
        (
            pairing,
            [_bar(t) for t in results.tallies if t.motion and (t.first, t.second) == pairing],
        )
        for pairing in pairings
    ]
    return render_page(
        "results.html.j2",
        results=results,
        overall=[_bar(tally) for tally in overall],
        by_motion=[entry for entry in by_motion if entry[1]],
        marks=_marks(results.ranking),
        outcomes=OUTCOMES,
        left_out=[entry for entry in results.annotators if not entry.counted],
        finished=sum(entry.done == entry.total for entry in results.annotators),
        checks=sum(entry.checks for entry in results.annotators),
        failed=sum(entry.failed for entry in results.annotators),
        percent=_percent,
        between=_between,
        number=_number,
    )


def _bar(tally: Tally) -> Bar:
    parts, left = [], 0.0
    for name in OUTCOMES:
        width = 100 * tally.parts[name].share.value
        parts.append((name, round(left, 3), round(width, 3)))
        left += width
    return Bar(tally, parts)


def _marks(ranking: list[Ranked]) -> list[Mark]:
    """Places on an axis that is symmetric around zero and holds every interval."""
    ends = [abs(entry.strength) for entry in ranking]
    for entry in ranking:
        if entry.interval is not None:
            ends += [abs(entry.interval.low), abs(entry.interval.high)]
    reach = 1.08 * max(ends, default=1.0) or 1.0

    def place(value: float) -> float:
        return round(50 + 50 * value / reach, 2)

    marks = []
    for entry in ranking:
        low = None if entry.interval is None else place(entry.interval.low)
        width = 0.0 if entry.interval is None else place(entry.interval.high) - (low or 0.0)
        marks.append(Mark(entry, place(entry.strength), low, round(width, 2)))
    return marks


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _between(interval: Interval | None) -> str:
    """An interval of shares in percent; an en dash if there is none."""
    if interval is None:
        return "\N{EN DASH}"
    return f"{100 * interval.low:.1f}\N{EN DASH}{100 * interval.high:.1f}"


def _number(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "\N{EN DASH}"
    # Adding zero turns a rounded -0.0 into 0.0.
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")

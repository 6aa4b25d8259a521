"""The page of a fine-tuning: losses as curves, samples side by side, settings, clips left out.

Invariant: the page loads nothing but the sample videos beside it and computes nothing; every number
on it is in `finetune.json`. It shares the report's look.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from motive.files import whole_file
from motive.generation.manifest import ROWS
from motive.pages import asset, environment, trusted

PAGE = "index.html"
WIDTH, HEIGHT = 720, 260  # of a chart's drawing area, in SVG units
_POINTS = 300  # of a curve; more updates are averaged
_SMOOTHING = 20  # a smoothed point is the mean of this share of the updates
_SHOWN_SAMPLES = 12  # prompts on the page; the others are in the folders


@dataclass(frozen=True)
class Line:
    """A curve of a chart: points "x,y x,y ..." in SVG units, its name, first and last value."""

    name: str
    points: str
    first: float
    last: float
    end: tuple[float, float]
    faint: bool = False


@dataclass(frozen=True)
class Chart:
    """Curves over updates, with labelled ticks as (place in SVG units, text)."""

    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


def write_page(out: Path, record: Mapping[str, Any]) -> Path:
    """Write `index.html` from what `finetune.json` holds.

    Raises:
        MotiveError: It cannot be written.
    """
    curves = record["curves"]
    values = {
        "record": record,
        "options": record["options"],
        "training": _training_chart(curves["losses"]),
        "held_out": _held_out_chart(curves),
        "samples": _samples(out, curves["samples"]),
        "settings": json.dumps(record["settings"], indent=2),
        "versions": json.dumps(record["versions"], indent=2),
        "minutes": curves["seconds"] / 60.0,
        "width": WIDTH,
        "height": HEIGHT,
        "style": _style(),
    }
    html = _environment().get_template("page.html.j2").render(values)
    with whole_file(out / PAGE) as partial:
        partial.write_bytes(html.encode("utf-8", "replace"))
    return out / PAGE


def _training_chart(losses: Sequence[float]) -> Chart | None:
    """Single updates (averaged where there are many) and their running mean."""
    if not losses:
        return None
    size = max(1, math.ceil(len(losses) / _POINTS))
    bins = [losses[start : start + size] for start in range(0, len(losses), size)]
    steps = [min((number + 1) * size, len(losses)) for number in range(len(bins))]
    raw = [sum(values) / len(values) for values in bins]
    half = max(1, len(raw) // _SMOOTHING)
    smooth = []
    for number in range(len(raw)):
        near = raw[max(0, number - half) : number + half + 1]
        smooth.append(sum(near) / len(near))
    return _chart([("each update", steps, raw), ("running mean", steps, smooth)], faint=1)


def _held_out_chart(curves: Mapping[str, Any]) -> Chart | None:
    """Loss at each noise level relative to the start, so that levels can be compared."""
    points = curves["held_out"]
    if len(points) < 2:
        return None
    steps = [step for step, _ in points]
    start = points[0][1]
    return _chart(
        [
            (
                f"\N{GREEK SMALL LETTER SIGMA} = {sigma:g}",
                steps,
                [losses[column] / start[column] for _, losses in points],
            )
            for column, sigma in enumerate(curves["sigmas"])
        ]
    )


def _chart(series: Sequence[tuple[str, Sequence[int], Sequence[float]]], faint: int = 0) -> Chart:
    """A chart of named (steps, values); the first `faint` are drawn behind the others."""
    everything = [value for _, _, values in series for value in values]
    low, high = min(everything), max(everything)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - margin, high + margin
    last = max(max(steps) for _, steps, _ in series)
    first = min(min(steps) for _, steps, _ in series)

    def place(step: float, value: float) -> tuple[float, float]:
        x = WIDTH * (step - first) / max(1, last - first)
        return round(x, 1), round(HEIGHT * (high - value) / (high - low), 1)

    lines = []
    for number, (name, steps, values) in enumerate(series):
        places = [place(*point) for point in zip(steps, values, strict=True)]
        text = " ".join(f"{x:g},{y:g}" for x, y in places)
        lines.append(Line(name, text, values[0], values[-1], places[-1], number < faint))
    return Chart(
        tuple(lines),
        tuple((place(step, low)[0], f"{step:g}") for step in _ticks(first, last, whole=True)),
        tuple((place(first, value)[1], f"{value:g}") for value in _ticks(low, high)),
    )


def _ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Round numbers between low and high, about five."""
    span = (high - low) or 1.0
    unit = 10.0 ** math.floor(math.log10(span / 4))
    step = next(unit * factor for factor in (1, 2, 5, 10) if span / (unit * factor) <= 6)
    if whole:
        step = max(1.0, round(step))
    first = math.ceil(low / step)
    return [round(number * step, 10) for number in range(first, math.floor(high / step) + 1)]


def _samples(out: Path, samples: Sequence[tuple[int, str]]) -> dict[str, Any] | None:
    """Prompts as rows, updates as columns; each cell the address of a video, or None."""
    if not samples:
        return None
    cells: dict[str, dict[int, str]] = {}
    for step, folder in samples:
        rows = (out / folder / ROWS).read_text("utf-8").splitlines()
        for row in map(json.loads, rows):
            cells.setdefault(row["prompt"], {})[step] = f"{folder}/{row['file_name']}"
    steps = [step for step, _ in samples]
    shown = list(cells.items())[:_SHOWN_SAMPLES]
    return {
        "steps": steps,
        "rows": [(prompt, [found.get(step) for step in steps]) for prompt, found in shown],
        "hidden": len(cells) - len(shown),
    }


@cache
def _style() -> Markup:
    return trusted(asset("report", "style.css") + "\n" + asset("finetuning", "page.css"))


@cache
def _environment() -> Environment:
    return environment("finetuning")

"""The result as files and text: Parquet per video; Markdown, JSON and a terminal table."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from motive.evaluation.metrics.catalogue import BY_KEY
from motive.evaluation.metrics.evaluating import VideoRow
from motive.evaluation.metrics.protocol import Metric
from motive.evaluation.metrics.summary import Cell, Difference, Summary
from motive.files import whole_file

_GROUPS = {
    "vbench": "VBench's six dimensions, with its networks (times 100, not normalised)",
    "official": "The same, as the vbench package says",
    "built-in": "Built in: optical flow and pixels, no weights",
    "motion": "Motion asked for, judged by the MotionZoo classifier",
}
_NOT = "not measured"


def write_videos(path: Path, rows: Sequence[VideoRow], keys: Sequence[str]) -> None:
    """Write one row per video as Parquet: facts, a column per metric, and reasons.

    Raises:
        MotiveError: The file cannot be written.
    """
    columns: dict[str, pa.Array] = {
        "condition": pa.array([row.video.condition for row in rows], pa.string()),
        "video": pa.array([_utf8(row.video.path) for row in rows], pa.string()),
        "pair": pa.array([_utf8(row.pair) for row in rows], pa.string()),
        "prompt": pa.array([_utf8(row.video.prompt) for row in rows], pa.string()),
        "motion": pa.array([row.video.motion for row in rows], pa.string()),
        "seed": pa.array([row.video.seed for row in rows], pa.int64()),
        "digest": pa.array([row.digest or None for row in rows], pa.string()),
    }
    for name, kind in (
        ("frames", pa.int64()),
        ("fps", pa.float64()),
        ("seconds", pa.float64()),
        ("height", pa.int64()),
        ("width", pa.int64()),
    ):
        found = [getattr(row.facts, name) if row.facts else None for row in rows]
        columns[name] = pa.array(found, kind)
    for key in keys:
        columns[key] = pa.array([row.values.get(key) for row in rows], pa.float64())
    columns["not_measured"] = pa.array(
        [json.dumps(row.why, ensure_ascii=False) if row.why else None for row in rows], pa.string()
    )
    columns["error"] = pa.array([row.error for row in rows], pa.string())
    with whole_file(path) as partial:
        pq.write_table(pa.table(columns), partial, compression="zstd")


def summary_json(
    summary: Summary, cautions: Sequence[str], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything in the summary as JSON values; numbers are not times 100."""
    return {
        **facts,
        "conditions": summary.conditions,
        "metrics": {key: dataclasses.asdict(BY_KEY[key]) for key in summary.keys},
        "summary": [dataclasses.asdict(cell) for cell in summary.cells],
        "differences": [dataclasses.asdict(found) for found in summary.differences],
        "cautions": list(cautions),
    }


def summary_markdown(
    summary: Summary, cautions: Sequence[str], rows: Sequence[VideoRow], command: str = ""
) -> str:
    """A page with one table per group: a metric per row, a condition per column."""
    lines = ["# Evaluation", ""]
    if command:
        lines += [f"    {command}", ""]
    counts = [
        f"{name}: {sum(row.video.condition == name for row in rows)} videos"
        for name in summary.conditions
    ]
    lines += [
        f"{'; '.join(counts)}. Intervals are 95 %: Wilson for yes or no, bootstrap over prompts "
        "otherwise. Δ is the mean difference from the first column over videos of the same prompt "
        "and seed; **bold** where its interval excludes zero.",
        "",
    ]
    for group, title in _GROUPS.items():
        keys = [key for key in summary.keys if BY_KEY[key].group == group]
        if keys:
            lines += [f"## {title}", "", *_markdown_table(summary, keys), ""]
    unmeasured = not_measured(summary)
    if unmeasured:
        lines += ["## Not measured", "", *(f"- {line}" for line in unmeasured), ""]
    broken = [row for row in rows if row.error]
    if broken:
        lines += ["## Videos that cannot be judged", ""]
        lines += [f"- {row.video.condition}: {row.error}" for row in broken] + [""]
    if cautions:
        lines += ["## Cautions", "", *(f"- {line}" for line in cautions), ""]
    lines += ["## What the metrics are", ""]
    lines += [f"- {BY_KEY[key].title}: {BY_KEY[key].about}" for key in summary.keys]
    return "\n".join(lines) + "\n"


def summary_table(summary: Summary) -> Table:
    """For the terminal: a metric per row, a condition per column."""
    table = Table("metric", *summary.conditions)
    for key in summary.keys:
        cells = [summary.cell(name, key) for name in summary.conditions]
        if all(cell.value is None for cell in cells):
            continue
        shown = [_plain(BY_KEY[key], cells[0])]
        for cell in cells[1:]:
            found = summary.difference(cell.condition, key)
            text = _plain(BY_KEY[key], cell)
            if found is not None:
                colour = _colour(BY_KEY[key], found)
                text += f"\n[{colour}]Δ {_difference(BY_KEY[key], found)}[/{colour}]"
            shown.append(text)
        table.add_row(BY_KEY[key].title + _arrow(BY_KEY[key]), *shown)
    return table


def not_measured(summary: Summary) -> list[str]:
    """One line per metric and reason, for metrics that some or all videos lack."""
    found: dict[tuple[str, str], list[str]] = {}
    for cell in summary.cells:
        if cell.why:
            part = "" if cell.value is None else f" ({cell.missing} of its videos)"
            found.setdefault((cell.key, cell.why), []).append(f"{cell.condition}{part}")
    everyone = len(summary.conditions)
    lines = []
    for (key, why), where in found.items():
        named = "" if len(where) == everyone and "(" not in "".join(where) else ", ".join(where)
        lines.append(f"{BY_KEY[key].title}: {_NOT}{f' for {named}' if named else ''}: {why}")
    return lines


def _markdown_table(summary: Summary, keys: Sequence[str]) -> list[str]:
    lines = [
        "| | " + " | ".join(_escaped(name) for name in summary.conditions) + " |",
        "|---|" + "---|" * len(summary.conditions),
    ]
    for key in keys:
        metric, shown = BY_KEY[key], []
        for name in summary.conditions:
            text = _plain(metric, summary.cell(name, key))
            found = summary.difference(name, key)
            if found is not None:
                change = f"Δ {_difference(metric, found)}"
                text += f"<br>{f'**{change}**' if _clear(found) else change}"
            shown.append(text)
        lines.append(f"| {metric.title}{_arrow(metric)} | " + " | ".join(shown) + " |")
    return lines


def _plain(metric: Metric, cell: Cell) -> str:
    if cell.value is None:
        return _NOT
    digits = _digits(metric, cell.value)
    text = _number(metric, cell.value, f".{digits}f")
    if cell.low is not None and cell.high is not None:
        low, high = (_number(metric, end, f".{digits}f") for end in (cell.low, cell.high))
        text += f" [{low}, {high}]"
    return text + (f" (n = {cell.videos})" if cell.missing else "")


def _difference(metric: Metric, found: Difference) -> str:
    digits = _digits(metric, found.value)
    text = _number(metric, found.value, f"+.{digits}f")
    if found.low is not None and found.high is not None:
        low, high = (_number(metric, end, f"+.{digits}f") for end in (found.low, found.high))
        text += f" [{low}, {high}]"
    return text


def _number(metric: Metric, value: float, form: str) -> str:
    return format(100 * value if metric.percent else value, form)


def _digits(metric: Metric, value: float) -> int:
    """Behind the point: about three significant ones."""
    size = abs(100 * value if metric.percent else value)
    return 1 if size >= 10 else 2 if size >= 0.1 or size == 0 else 4


def _clear(found: Difference) -> bool:
    """Whether the interval excludes zero."""
    return found.low is not None and found.high is not None and found.low * found.high > 0


def _colour(metric: Metric, found: Difference) -> str:
    if not _clear(found) or not metric.better:
        return "dim"
    return "green" if found.value * metric.better > 0 else "red"


def _arrow(metric: Metric) -> str:
    return {1: " ↑", -1: " ↓", 0: ""}[metric.better]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")

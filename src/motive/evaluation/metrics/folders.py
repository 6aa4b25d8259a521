"""From folders of videos to a folder of results: what `motive evaluate` and experiments call."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motive.errors import UsageError
from motive.evaluation.metrics.catalogue import BY_KEY, DIMENSIONS, Sources, chosen_metrics
from motive.evaluation.metrics.cautions import cautions
from motive.evaluation.metrics.evaluating import Progress, VideoRow, evaluate
from motive.evaluation.metrics.official import OfficialVBench, judge
from motive.evaluation.metrics.records import Records
from motive.evaluation.metrics.summary import Summary, summarise
from motive.evaluation.metrics.tables import summary_json, summary_markdown, write_videos
from motive.evaluation.metrics.videos import Asked, find_videos
from motive.files import whole_file
from motive.versions import versions


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate_folders` found, and has written.

    Attributes:
        rows: One per video, conditions in order.
        measured: Videos measured now; the others were known.
        summary: Means or shares with intervals, and differences from the first condition.
        cautions: What to know before comparing the numbers with others, a line each.
        json: All of the summary as JSON values, as in summary.json.
    """

    rows: list[VideoRow]
    measured: int
    summary: Summary
    cautions: list[str]
    json: dict[str, Any]

    @property
    def broken(self) -> list[VideoRow]:
        """Videos that cannot be judged."""
        return [row for row in self.rows if row.error is not None]


def evaluate_folders(
    folders: Mapping[str, str | os.PathLike[str]],
    out: Path,
    *,
    metrics: Sequence[str] | None = None,
    prompts: Sequence[Asked] = (),
    sources: Sources | None = None,
    official: OfficialVBench | None = None,
    workers: int = 1,
    command: str = "",
    on_progress: Progress | None = None,
) -> Evaluation:
    """Measure folders of videos and write videos.parquet, summary.md and summary.json.

    Args:
        folders: Name -> folder or list of videos; the first is the reference.
        out: Folder of the results. Numbers that it holds already are not measured again.
        metrics: Groups or keys, see `chosen_metrics`.
        prompts: What was asked, where the folders do not say it.
        sources: Weights and devices.
        official: The environment of the vbench package, to ask it too.
        workers: Processes. The numbers do not depend on it.
        command: Shell line that repeats this, for the page.
        on_progress: Called as (stage, done, total).

    Raises:
        UsageError: Unknown metrics, or the official ones without an environment.
        DatasetError: A folder is missing or holds no video.
        MotiveError: A result cannot be written, or a worker died; what is done is kept.

    Example:
        found = evaluate_folders({"base": "base/", "motive": "tuned/"}, Path("scores"))
        found.summary.difference("motive", "dynamic_margin_dis")
    """
    sources = sources or Sources()
    keys = chosen_metrics(metrics, official=official is not None)
    if official is None and any(BY_KEY[key].group == "official" for key in keys):
        raise UsageError("--metrics official: needs --vbench PYTHON")
    if official is not None:
        _ = official.interpreter  # a wrong path is found before hours of measuring
    conditions = {name: find_videos(name, place, prompts) for name, place in folders.items()}
    records = Records(out / "measured")
    found = evaluate(
        conditions, keys, records, sources=sources, workers=workers, on_progress=on_progress
    )
    if official is not None:
        wanted = [name for name in DIMENSIONS if f"official_{name}" in keys]
        judge(official, found.rows, wanted, records, out / "vbench", on_progress)
    summary = summarise(found.rows, list(folders), keys)
    told = cautions(found.rows, summary, flow=sources.flow)
    facts = {
        "command": command,
        "folders": {name: str(Path(place).resolve()) for name, place in folders.items()},
        "weights": dict(sources.weights),
        "flow": sources.flow,
        "versions": versions(),
    }
    whole = summary_json(summary, told, facts)
    result = Evaluation(found.rows, found.measured, summary, told, whole)
    _write(out, result, command)
    return result


def _write(out: Path, result: Evaluation, command: str) -> None:
    write_videos(out / "videos.parquet", result.rows, result.summary.keys)
    page = summary_markdown(result.summary, result.cautions, result.rows, command)
    with whole_file(out / "summary.md") as partial:
        partial.write_text(page, "utf-8", errors="replace")
    with whole_file(out / "summary.json") as partial:
        partial.write_text(json.dumps(result.json, indent=1, allow_nan=False) + "\n", "utf-8")

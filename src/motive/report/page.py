"""Writes the result page: media copied in, one HTML file with its style and script inside.

Invariant: a report folder is either the old one or the new one, whole. It is built beside the
target and swapped in when complete, and a folder that is no report is never replaced.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment

from motive.errors import MotiveError
from motive.pages import asset, environment, source_digest, trusted
from motive.report import charts
from motive.report.data import QueryReport, ReportClip, ReportData, check_report
from motive.report.media import MediaFile, MediaFolder

_LOG = logging.getLogger(__name__)

#: Marks a folder as ours, so that nothing else is ever replaced.
_MARKER = '<meta name="generator" content="MOTIVE report">'
_PAGE = "index.html"
#: Above this many cells the table's per-query strips would outweigh the rest of the page.
_MAX_STRIP_CELLS = 20_000
#: Rows of the opening figure under each query, for tiny and for ordinary clips.
_TEASER = {"tiny": (10, 4), "large": (6, 3)}


@dataclass(frozen=True)
class ClipView:
    """A clip with its copied media, as the templates use it."""

    key: str
    clip: ReportClip
    media: MediaFile
    overlay: MediaFile | None


def build_report(data: ReportData, out: Path) -> Path:
    """Build the report folder `out` and return its page, `out/index.html`.

    Building again replaces the folder; the same data gives the same bytes.

    Raises:
        MotiveError: A score is not finite (the message names the clip), there is no query, `out`
            holds something that is not a report, or the folder cannot be written.
    """
    check_report(data)
    out = Path(out)
    _refuse_foreign_folder(out)
    building = out.with_name(f".{out.name}.building")
    try:
        _remove(building)
        building.mkdir(parents=True)
        context = _Context(data, MediaFolder(building / "media"))
        if data.selection_csv is not None:
            context.link_csv(data.selection_csv, building)
        page = page_environment().get_template("page.html.j2").render(context.values())
        # A caption may hold lone surrogates (undecodable file names); they become "?".
        (building / _PAGE).write_bytes(page.encode("utf-8", "replace"))
        _swap(building, out)
    except OSError as error:
        shutil.rmtree(building, ignore_errors=True)
        raise MotiveError(
            f"{out}: report cannot be written ({error.strerror or error}); "
            "free some space or choose another folder, then run again"
        ) from error
    return out / _PAGE


def _refuse_foreign_folder(out: Path) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    page = out / _PAGE
    if not out.is_dir() or not page.is_file() or _MARKER.encode() not in page.read_bytes()[:2048]:
        raise MotiveError(f"{out}: exists and is not a MOTIVE report; choose another folder")


def _swap(building: Path, out: Path) -> None:
    old = out.with_name(f".{out.name}.old")
    _remove(old)
    if out.exists():
        out.rename(old)
    building.rename(out)
    _remove(old)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


class _Context:
    """Turns `ReportData` into what the templates need, copying media on the way."""

    def __init__(self, data: ReportData, media: MediaFolder) -> None:
        self._data = data
        self._media = media
        self._views: dict[int, ClipView] = {}
        self._csv = ""

    def link_csv(self, csv: Path, folder: Path) -> None:
        """Copy the selection beside the page; a missing file only loses the link."""
        if not csv.is_file():
            _LOG.warning("report: %s: file not found; the page has no link to it", csv)
            return
        shutil.copyfile(csv, folder / "selection.csv")
        self._csv = "selection.csv"

    def values(self) -> dict[str, Any]:
        """All template variables."""
        data = self._data
        queries = [self._query(i, query) for i, query in enumerate(data.queries, start=1)]
        selection = [
            {"chosen": chosen, "view": self._view(chosen.clip)} for chosen in data.selection
        ]
        views = list(self._views.values())
        tiny = _mostly(view.media.tiny for view in views)
        columns, depth = _TEASER["tiny" if tiny else "large"]
        style, script = asset("report", "style.css"), asset("report", "script.js")
        return {
            "data": data,
            "marker": trusted(_MARKER),
            "style": trusted(style),
            "script": trusted(script),
            "script_hash": source_digest(script),
            "queries": queries,
            "teaser": _teaser(queries, columns) if len(queries) > 1 else [],
            "teaser_depth": depth,
            "selection": selection,
            "selection_labels": _counts(chosen.clip.label for chosen in data.selection),
            "strips": 0 < len(selection) * len(queries) <= _MAX_STRIP_CELLS,
            "max_score": max((abs(c.score) for c in data.selection), default=0.0),
            "views": views,
            "aspect": _aspect(views),
            "tiny": tiny,
            "missing": [view for view in views if view.media.url is None],
            "csv": self._csv,
            "overall": charts.overall_forests(data.comparison) if data.comparison else [],
            "by_label": charts.label_forests(data.comparison) if data.comparison else [],
            "legend": charts.control_shapes(data.comparison) if data.comparison else [],
            "has_overlays": any(view.overlay and view.overlay.url for view in views),
        }

    def _query(self, number: int, query: QueryReport) -> dict[str, Any]:
        return {
            "number": number,
            "query": query,
            "view": self._view(query.clip),
            "positives": [(scored, self._view(scored.clip)) for scored in query.positives],
            "negatives": [(scored, self._view(scored.clip)) for scored in query.negatives],
            "histogram": charts.histogram(query),
            "digits": _digits(query.scores),
        }

    def _view(self, clip: ReportClip) -> ClipView:
        if id(clip) not in self._views:
            overlay = None if clip.overlay is None else self._media.add(clip.overlay)
            key = f"c{len(self._views)}"
            self._views[id(clip)] = ClipView(key, clip, self._media.add(clip.video), overlay)
        return self._views[id(clip)]


def _teaser(queries: list[dict[str, Any]], columns: int) -> list[dict[str, Any]]:
    """The first query of each label, or the first queries if nothing is labelled."""
    seen: set[str] = set()
    first = []
    for query in queries:
        label = query["query"].clip.label
        if label is None or label not in seen:
            first.append(query)
        if label is not None:
            seen.add(label)
    return [query for query in first if query["positives"]][:columns]


def _aspect(views: list[ClipView]) -> float:
    """Median width / height, kept within what fits a grid."""
    ratios = [view.media.width / view.media.height for view in views if view.media.height]
    return float(np.clip(np.median(ratios), 0.75, 1.78)) if ratios else 1.0


def _mostly(flags: Iterable[bool]) -> bool:
    values = list(flags)
    return 2 * sum(values) > len(values)


def _counts(labels: Iterable[str | None]) -> list[tuple[str, int]]:
    """(label, count), most frequent first, ties by name; empty if nothing is labelled."""
    counts: dict[str, int] = {}
    for label in labels:
        if label is not None:
            counts[label] = counts.get(label, 0) + 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _digits(scores: np.ndarray) -> int:
    """Decimals that show a query's scores with three figures at their largest."""
    top = float(np.max(np.abs(scores))) if np.size(scores) else 1.0
    return 3 if top >= 0.1 else 4 if top >= 0.01 else 6


def _signed(value: float, digits: int = 3) -> str:
    """A score with its sign and a real minus."""
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _number(value: float | str) -> str:
    """A metric as text: strings and whole numbers as they are, others with two decimals."""
    if isinstance(value, str | int):
        return str(value)
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.01 else f"{value:.1g}"


def _strip(scores: Mapping[str, float]) -> list[tuple[int, str, float, str, float]]:
    """(position, sign class, opacity, query, score) of each cell of a per-query strip."""
    top = max((abs(score) for score in scores.values()), default=0.0) or 1.0
    return [
        (i, "p" if score >= 0 else "n", round(0.08 + 0.92 * abs(score) / top, 2), query, score)
        for i, (query, score) in enumerate(scores.items())
    ]


@cache
def page_environment() -> Environment:
    """The templates of this room."""
    return environment("report", signed=_signed, number=_number, strip=_strip)

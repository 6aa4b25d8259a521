"""From the selection of a run to an export that a trainer reads; no model is needed."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from motive.clips import Clip, ClipStandard
from motive.clips.archive import SourceStat
from motive.errors import MotiveError, UsageError
from motive.exports import ExportResult, Item, Source, Videos, export_clips
from motive.exports.parquet import SCORE
from motive.index import ClipRecord
from motive.index.manifest import QUERY, TRAIN
from motive.runs.entries import clip_of
from motive.runs.run import Run

_WHOLE, _REAL = ("rank", "votes"), ("mean_rank", "mean_score", "best_score")
_KNOWN = ("clip_id", "source", "start", "end", "caption", "label")  # told by the run itself
_SAME = 1e-4  # mean scores agree to the digits that float32 keeps


def export_run(
    run: Run,
    to: str,
    out: str | Path,
    *,
    videos: Videos | None = None,
    selection: Path | None = None,
    frames: int | None = None,
    fps: float | None = None,
    height: int | None = None,
    width: int | None = None,
    skip_unusable: bool = False,
    per_shard: int = 500,
) -> ExportResult:
    """Write the selected clips of a run in the format of a trainer.

    Args:
        run: A run with a selection.
        to: Key of the format, see `motive.exports.FORMATS`.
        out: Folder to write, new or empty, or holding this same export.
        videos: "reference", "link", "copy" or "standard", see `export_clips`.
        selection: Another table with a `clip_id` column, such as a baseline's selection.
        frames: Frames per clip; default: as the run scored them, and so for the next three.
        fps: Frames per second.
        height: Pixels.
        width: Pixels.
        skip_unusable: Leave out clips whose file is missing, changed or damaged.
        per_shard: Clips per archive.

    Raises:
        UsageError: No selection yet, one that is not of this run, or see `export_clips`.
        MotiveError: See `export_clips`.
    """
    table = selection or run.folder / "selection.csv"
    rows = _read_selection(table)
    records = run.records(TRAIN)
    _check_known(table, rows, records)
    scores = _Scores.read(run.folder / "scores.parquet")
    if selection is None:
        scores.check_mean(table, rows)
    asked = {"frames": frames, "fps": fps, "height": height, "width": width}
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    return export_clips(
        [_item(row, records[row["clip_id"]], scores) for row in rows],
        to,
        out,
        standard=dataclasses.replace(scored_standard(run), **changes),
        videos=videos,
        skip_unusable=skip_unusable,
        per_shard=per_shard,
        source=_source(run, table, scores, rows, records),
        on_progress=run.progress,
    )


def selected_clips(run: Run, selection: Path | None = None) -> list[Clip]:
    """The selected clips of a run, best first, wherever their files are by now.

    Args:
        run: A run with a selection.
        selection: Another table with a `clip_id` column, such as a baseline's selection.

    Raises:
        UsageError: No selection yet, or one that is not of this run.
    """
    table = selection or run.folder / "selection.csv"
    rows = _read_selection(table)
    records = run.records(TRAIN)
    _check_known(table, rows, records)
    return [clip_of(records[row["clip_id"]]) for row in rows]


def scored_standard(run: Run) -> ClipStandard:
    """The clip shape that the run's clips were brought to, as its `config.yaml` says.

    Raises:
        UsageError: The run has not indexed anything yet, or the file was changed.
    """
    path = run.folder / "config.yaml"
    try:
        return ClipStandard(**run.stored["fingerprint"]["standard"])
    except (KeyError, TypeError):
        raise UsageError(f"{path}: no clip standard in it; run `motive index` first") from None


def _read_selection(path: Path) -> list[dict[str, Any]]:
    """Rows of a selection with numbers as numbers, best first."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if "clip_id" not in (reader.fieldnames or ()):
                raise UsageError(f"{path}: no column clip_id; give a table made by motive select")
            rows = [_typed(path, reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise UsageError(f"{path}: no selection yet; run `motive select` first") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read ({error}); run `motive select` again") from None
    if not rows:
        raise UsageError(f"{path}: selects no clip; run `motive select` with a larger --top")
    for position, row in enumerate(rows, start=1):
        row.setdefault("rank", position)
    return sorted(rows, key=lambda row: row["rank"])


def _typed(path: Path, line: int, row: dict[str | None, Any]) -> dict[str, Any]:
    """One row without the columns that the run knows better; empty cells are left out."""
    found: dict[str, Any] = {}
    for name, text in row.items():
        if name is None or text is None:
            raise UsageError(f"{path}: line {line}: more or fewer fields than the header")
        if name in _KNOWN[1:] or not text:
            continue
        try:
            kind = int if name in _WHOLE else float if name in _REAL else str
            found[name] = kind(text)
            if kind is float and not math.isfinite(found[name]):
                raise ValueError(text)
        except ValueError:
            raise UsageError(f"{path}: line {line}: {name} {text!r} is no number") from None
    if "clip_id" not in found:
        raise UsageError(f"{path}: line {line}: no clip_id")
    return found


def _check_known(
    path: Path, rows: Sequence[Mapping[str, Any]], records: Mapping[str, ClipRecord]
) -> None:
    unknown = [row["clip_id"] for row in rows if row["clip_id"] not in records]
    if unknown:
        raise UsageError(
            f"{path}: {len(unknown)} of {len(rows)} clips are not in this run (first: "
            f"{unknown[0]}); run `motive select` again, or give the run that it belongs to"
        )


class _Scores:
    """`scores.parquet` by clip; empty if there are none."""

    def __init__(self, clip_ids: list[str], query_ids: list[str], values: np.ndarray) -> None:
        self.clip_ids, self.query_ids, self.values = clip_ids, query_ids, values
        self.position = {name: n for n, name in enumerate(clip_ids)}

    @classmethod
    def read(cls, path: Path) -> _Scores:
        if not path.exists():
            return cls([], [], np.empty((0, 0)))
        try:
            table = pq.read_table(path)
            queries = [name for name in table.column_names if name != "clip_id"]
            values = np.stack([table[name].to_numpy() for name in queries])
            return cls(table["clip_id"].to_pylist(), queries, values.astype(np.float64))
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            first = (str(error).splitlines() or ["no columns"])[0]
            raise MotiveError(f"{path}: damaged ({first}); run `motive rank` again") from None

    def of(self, clip_id: str) -> dict[str, float]:
        """Query id -> score of one clip."""
        n = self.position.get(clip_id)
        if n is None:
            return {}
        return dict(zip(self.query_ids, self.values[:, n].tolist(), strict=True))

    def check_mean(self, path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
        """Raise a `UsageError` if the selection was made from other scores than these."""
        for row in rows:
            scores = list(self.of(row["clip_id"]).values())
            said = row.get("mean_score")
            if scores and said is not None and abs(np.mean(scores) - said) > _SAME:
                raise UsageError(
                    f"{path}: was made from other scores than scores.parquet; run `motive select` "
                    "again"
                )


def _item(row: Mapping[str, Any], record: ClipRecord, scores: _Scores) -> Item:
    known = record.size is not None and record.modified_ns is not None
    return Item(
        clip_of(record),
        record.clip_id,
        {name: value for name, value in row.items() if name != "clip_id"},
        scores.of(record.clip_id),
        SourceStat(record.size or 0, record.modified_ns or 0) if known else None,
    )


def _source(
    run: Run,
    table: Path,
    scores: _Scores,
    rows: Sequence[Mapping[str, Any]],
    records: Mapping[str, ClipRecord],
) -> Source:
    stored = run.stored
    queries = run.records(QUERY)
    facts = {
        "run": str(run.folder.resolve()),
        "selection": str(table.resolve()),
        "model": run.config.model,
        "fingerprint": stored.get("fingerprint", {}).get("digest"),
        "asked": stored.get("selection"),
    }
    asked = {
        name: {"source": queries[name].source, "caption": queries[name].caption}
        for name in scores.query_ids
        if name in queries
    }
    return Source(facts, asked, _ranking(scores, rows, records))


def _ranking(
    scores: _Scores, rows: Sequence[Mapping[str, Any]], records: Mapping[str, ClipRecord]
) -> pa.Table | None:
    """Every scored clip, selected or not."""
    if not scores.clip_ids:
        return None
    chosen = {row["clip_id"]: row["rank"] for row in rows}
    found = [records.get(name) for name in scores.clip_ids]
    columns: dict[str, Any] = {
        "clip_id": scores.clip_ids,
        "selected": [name in chosen for name in scores.clip_ids],
        "rank": pa.array([chosen.get(name) for name in scores.clip_ids], pa.int64()),
        "mean_score": scores.values.mean(axis=0),
    }
    for name, kind in (
        ("source", pa.string()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("caption", pa.string()),
        ("label", pa.string()),
    ):
        columns[name] = pa.array([record and getattr(record, name) for record in found], kind)
    columns |= {SCORE + name: scores.values[q] for q, name in enumerate(scores.query_ids)}
    return pa.table(columns)

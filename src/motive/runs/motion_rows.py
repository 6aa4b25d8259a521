"""Rows of a motion table: what a clip's motion is like, or why that is not known.

Invariant: every entry of a data set has exactly one row, in the data set's order. The columns are
the fields of `MotionFacts` and those below, so a new fact reaches the table by itself.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from motive.files import whole_file
from motive.index import ClipRecord
from motive.index.manifest import DUPLICATE, ERROR
from motive.motion import MotionFacts
from motive.motion.facts import CameraKind

FLAGS = ("static", "camera-only", "micro-motion", "cut", "duplicate")
CAMERAS: tuple[CameraKind, ...] = get_args(CameraKind)
_ROWS_PER_GROUP = 4096


@dataclass(frozen=True)
class ClipMotion:
    """One row.

    Attributes:
        record: The entry, its file and, if there are any, the measured facts.
        duplicate_of: Path of the first entry with the same video, span and caption.
    """

    record: ClipRecord
    duplicate_of: str | None = None

    @cached_property
    def facts(self) -> MotionFacts | None:
        """Measured facts; None for a clip that failed."""
        stored = self.record.motion.get("facts")
        if stored is None or self.error is not None:
            return None
        lists = {name: tuple(value) for name, value in stored.items() if isinstance(value, list)}
        return MotionFacts(**{**stored, **lists})

    @property
    def error(self) -> str | None:
        """Why there are no facts, in one line that begins with the path; None if there are."""
        return self.record.error if self.record.status == ERROR else None

    @property
    def reason(self) -> str:
        """The error without the path that it begins with, for places that name the clip anyway."""
        return (self.error or "").removeprefix(f"{self.record.source}: ")

    @property
    def name(self) -> str:
        """File name, and the span if there is one."""
        start, end = self.record.start, self.record.end
        span = f" {start:g}-{'' if end is None else f'{end:g}'} s" if start or end else ""
        return (Path(self.record.source).name or "(no path)") + span

    @property
    def flags(self) -> tuple[str, ...]:
        """Those of `FLAGS` that hold."""
        facts = self.facts
        if facts is None:
            return ()
        holds = (
            facts.static,
            facts.camera_only,
            facts.micro_motion,
            bool(facts.cuts),
            self.duplicate_of is not None,
        )
        return tuple(flag for flag, on in zip(FLAGS, holds, strict=True) if on)

    @property
    def object_motion(self) -> float:
        """Motion against the camera as a mean over the whole picture, in pixels; 0 if unknown."""
        return self.facts.object_magnitude * self.facts.moving_area if self.facts else 0.0

    def columns(self) -> dict[str, Any]:
        """The row as plain values, by column."""
        record, facts = self.record, self.facts
        known = {entry.name: None for entry in dataclasses.fields(MotionFacts)}
        return {
            "clip_id": record.clip_id,
            "source": record.source,
            "caption": record.caption,
            "label": record.label,
            "start": record.start,
            "end": record.end,
            "status": ERROR if self.error else DUPLICATE if self.duplicate_of else record.status,
            "error": self.error,
            "duplicate_of": self.duplicate_of,
            "seconds": record.motion.get("seconds"),
            "source_fps": record.source_fps,
            "source_width": record.source_width,
            "source_height": record.source_height,
            "tracker": record.motion.get("tracker"),
            "displacement": record.motion.get("displacement"),
            "object_motion": self.object_motion if facts else None,
            "cut": bool(facts.cuts) if facts else None,
            **(known if facts is None else stored_facts(facts)),
        }


def stored_facts(facts: MotionFacts) -> dict[str, Any]:
    """Facts by name, with lists for tuples, as JSON gives them back."""
    return {
        entry.name: list(value) if isinstance(value := getattr(facts, entry.name), tuple) else value
        for entry in dataclasses.fields(facts)
    }


@dataclass(frozen=True)
class MotionSummary:
    """What is in a table.

    Attributes:
        clips: Rows.
        failed: Rows with an error.
        flags: Flag -> rows with it.
        unflagged: Rows with facts and no flag.
        cameras: Camera class -> rows.
    """

    clips: int
    failed: int
    flags: dict[str, int]
    unflagged: int
    cameras: dict[str, int]


def summarise(rows: Iterable[ClipMotion]) -> MotionSummary:
    """Count rows by flag and by camera class."""
    total, counts, cameras = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        total["clips"] += 1
        if row.facts is None:
            total["failed"] += 1
            continue
        counts.update(row.flags)
        cameras[row.facts.camera] += 1
        total["unflagged"] += not row.flags
    return MotionSummary(
        total["clips"],
        total["failed"],
        {flag: counts[flag] for flag in FLAGS},
        total["unflagged"],
        {kind: cameras[kind] for kind in CAMERAS},
    )


def most_moving_first(rows: Iterable[ClipMotion]) -> list[ClipMotion]:
    """Rows with facts by what moves against the camera, then by all motion, then by path."""

    def order(row: ClipMotion) -> tuple[float, float, str]:
        magnitude = row.facts.mean_magnitude if row.facts else 0.0
        return -row.object_motion, -magnitude, row.record.source

    return sorted((row for row in rows if row.facts is not None), key=order)


def write_parquet(path: Path, rows: Iterable[ClipMotion], metadata: dict[str, str]) -> None:
    """Write the table, a few thousand rows at a time.

    Raises:
        MotiveError: The file cannot be written.
    """
    schema = SCHEMA.with_metadata(metadata)
    waiting = iter(rows)
    with whole_file(path) as partial, pq.ParquetWriter(partial, schema) as writer:
        while group := _columns_of(islice(waiting, _ROWS_PER_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def _columns_of(rows: Iterator[ClipMotion]) -> Sequence[dict[str, Any]]:
    return [row.columns() for row in rows]


def _arrow_type(hint: Any) -> pa.DataType:
    """The column type of a field of `MotionFacts`."""
    if get_origin(hint) is tuple:
        return pa.list_(_arrow_type(get_args(hint)[0]))
    if get_origin(hint) is Literal:
        return pa.string()
    return {float: pa.float64(), int: pa.int32(), bool: pa.bool_(), str: pa.string()}[hint]


SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        ("caption", pa.string()),
        ("label", pa.string()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        pa.field("status", pa.string(), nullable=False),
        ("error", pa.string()),
        ("duplicate_of", pa.string()),
        ("seconds", pa.float64()),
        ("source_fps", pa.float64()),
        ("source_width", pa.int32()),
        ("source_height", pa.int32()),
        ("tracker", pa.string()),
        ("displacement", pa.string()),
        ("object_motion", pa.float64()),
        ("cut", pa.bool_()),
        *((name, _arrow_type(hint)) for name, hint in get_type_hints(MotionFacts).items()),
    ]
)

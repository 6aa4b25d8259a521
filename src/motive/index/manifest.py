"""One row per entry of a data set: what became of it, and the facts of its clip."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from motive.index.table import LanceTable

TRAIN, QUERY = "train", "query"
OK, ERROR, DUPLICATE = "ok", "error", "duplicate"

_SCHEMA = pa.schema(
    [
        pa.field("role", pa.string(), nullable=False),
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("caption", pa.string()),
        pa.field("label", pa.string()),
        pa.field("start", pa.float64()),
        pa.field("end", pa.float64()),
        pa.field("copy", pa.int32()),
        pa.field("error", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("modified_ns", pa.int64()),
        pa.field("digest", pa.string()),
        pa.field("frame_times", pa.list_(pa.float64())),
        pa.field("source_fps", pa.float64()),
        pa.field("source_height", pa.int32()),
        pa.field("source_width", pa.int32()),
        pa.field("crop", pa.list_(pa.float64())),
        pa.field("motion", pa.string()),
    ]
)


@dataclass(frozen=True)
class ClipRecord:
    """What became of one data set entry.

    Attributes:
        role: "train" or "query".
        clip_id: Content-derived id ("unreadable-..." when there was no content to read).
        status: "ok", "error" or "duplicate" (same video, span and caption as an earlier entry).
        source: Absolute path of the video.
        caption: Caption as read.
        label: Ground-truth motion where known.
        start: Start of the span in seconds.
        end: End of the span in seconds, None for the end of the file.
        copy: How often the data set listed the very same entry before.
        error: Why the clip is not used; None when it is.
        size: Bytes of the file; with `modified_ns` it tells whether `digest` still holds.
        modified_ns: Modification time of the file in nanoseconds.
        digest: Hex digits of `file_digest`.
        frame_times: Source time in seconds of each used frame.
        source_fps: Average rate of the source.
        source_height: Pixels.
        source_width: Pixels.
        crop: (top, left, height, width) kept of the source, in pixels.
        motion: Facts of the motion weights (see `MotionWeights.facts`).
    """

    role: str
    clip_id: str
    status: str
    source: str
    caption: str = ""
    label: str | None = None
    start: float = 0.0
    end: float | None = None
    copy: int = 0
    error: str | None = None
    size: int | None = None
    modified_ns: int | None = None
    digest: str | None = None
    frame_times: tuple[float, ...] = ()
    source_fps: float | None = None
    source_height: int | None = None
    source_width: int | None = None
    crop: tuple[float, ...] = ()
    motion: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str, float, float | None, int]:
        """The data set entry that this is about; its latest record is the one that holds."""
        return self.role, self.source, self.caption, self.start, self.end, self.copy


class Manifest:
    """`clips.lance`: the record of every entry ever given to a run."""

    def __init__(self, path: Path) -> None:
        self.table = LanceTable(path, _SCHEMA)

    def append(self, record: ClipRecord) -> None:
        """Commit one record atomically."""
        row = {**vars(record), "motion": json.dumps(record.motion)}
        row["frame_times"], row["crop"] = list(record.frame_times), list(record.crop)
        self.table.append([row])

    def history(self, role: str | None = None) -> list[ClipRecord]:
        """All records ever written (of one role), oldest first."""
        records = []
        for row in self.table.read().to_pylist():
            row["motion"] = json.loads(row["motion"] or "{}")
            row["frame_times"] = tuple(row["frame_times"] or ())
            row["crop"] = tuple(row["crop"] or ())
            records.append(ClipRecord(**row))
        return [record for record in records if role is None or record.role == role]

    def records(self, role: str | None = None) -> list[ClipRecord]:
        """The latest record of each entry (of one role), in order of first appearance."""
        return list({record.key: record for record in self.history(role)}.values())

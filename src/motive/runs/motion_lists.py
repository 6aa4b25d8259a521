"""Keep and drop lists: a data set split by the flags of its motion table.

Invariant: every entry is in exactly one of the two lists, a dropped one with its reason. Both are
data sets: reading `kept.jsonl` gives the kept clips with the ids they had.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motive.clips import Clip
from motive.errors import UsageError
from motive.files import whole_file
from motive.motion import MotionFacts
from motive.runs.motion_rows import FLAGS, ClipMotion


@dataclass(frozen=True)
class Split:
    """Where the lists are and how many entries they hold.

    Attributes:
        kept_path: `kept.jsonl`, a data set for `motive index`.
        dropped_path: `dropped.jsonl`, the same with a "reason" per row.
        kept: Entries kept.
        dropped: Entries dropped.
    """

    kept_path: Path
    dropped_path: Path
    kept: int
    dropped: int


def parse_flags(given: Iterable[str]) -> tuple[str, ...]:
    """Flags from words that may hold several, separated by commas: ["cut,static"].

    Raises:
        UsageError: Not a flag.
    """
    words = [word.strip().replace("_", "-") for text in given for word in text.split(",")]
    for word in words:
        if word not in FLAGS:
            raise UsageError(f"--drop {word!r}: must be some of {', '.join(FLAGS)}")
    return tuple(flag for flag in FLAGS if flag in words)


def drop_reason(row: ClipMotion, drop: Sequence[str]) -> str | None:
    """Why a clip is dropped: it failed, or which of the flags it has; None if it is kept."""
    facts = row.facts
    if facts is None:
        return "failed: " + (row.reason or "not measured")
    reasons = [_reason(row, facts, flag) for flag in row.flags if flag in drop]
    return "; ".join(reasons) or None


def write_lists(
    folder: Path, clips: Sequence[Clip], rows: Sequence[ClipMotion], drop: Sequence[str]
) -> Split:
    """Write `kept.jsonl` and `dropped.jsonl`, in the data set's order.

    Rows are {"video": absolute path, "prompt": caption} as DiffSynth-Studio reads them, with
    "start", "end", "motion" (the label) and the data set's other columns where there are any.

    Args:
        folder: Where the lists go.
        clips: The data set's entries.
        rows: One per entry, in the same order.
        drop: Flags; a clip with any of them is dropped, and so is every clip that failed.

    Raises:
        MotiveError: A list cannot be written.
    """
    reasons = [drop_reason(row, drop) for row in rows]
    entries = [_entry(clip, row) for clip, row in zip(clips, rows, strict=True)]
    found = list(zip(entries, reasons, strict=True))
    dropped = sum(reason is not None for reason in reasons)
    split = Split(folder / "kept.jsonl", folder / "dropped.jsonl", len(rows) - dropped, dropped)
    _write(split.kept_path, (entry for entry, reason in found if reason is None))
    _write(
        split.dropped_path,
        ({**entry, "reason": reason} for entry, reason in found if reason is not None),
    )
    return split


def _reason(row: ClipMotion, facts: MotionFacts, flag: str) -> str:
    """A flag with the numbers behind it."""
    if flag == "static":
        return f"static: {facts.mean_magnitude:.3f} px of motion on average"
    if flag == "camera-only":
        return f"camera-only: {facts.camera} of {facts.camera_magnitude:.1f} px per frame"
    if flag == "micro-motion":
        return f"micro-motion: on {100 * facts.moving_area:.1f} % of the picture"
    if flag == "cut":
        return f"cut: at frame {', '.join(map(str, facts.cuts))}"
    return f"duplicate: of {row.duplicate_of}"


def _entry(clip: Clip, row: ClipMotion) -> dict[str, Any]:
    entry: dict[str, Any] = {"video": row.record.source, "prompt": row.record.caption}
    if clip.start or clip.end is not None:
        entry |= {"start": clip.start, "end": clip.end}
    if clip.label is not None:
        entry["motion"] = clip.label
    return entry | {name: value for name, value in clip.extra.items() if name not in entry}


def _write(path: Path, entries: Iterator[dict[str, Any]]) -> None:
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)

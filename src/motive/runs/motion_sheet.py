"""From a motion table to the contact sheet that shows it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path

import cv2
import numpy as np

from motive.clips import ClipStandard
from motive.motion import MotionFacts
from motive.report.sheet import SheetClip, SheetData, build_sheet
from motive.runs.motion_clip import OVERLAYS, MotionWork
from motive.runs.motion_rows import FLAGS, ClipMotion, most_moving_first, summarise
from motive.runs.motion_table import MeasuredMotion, MotionTable

_MUCH_LONGER = 1.25  # than what is measured: then the flags may not hold for the whole clip
_TILES = 3  # pictures in a strip
_SORTS = (
    ("objects", "Objects move most"),
    ("motion", "All motion"),
    ("shift", "Camera moves most"),
    ("area", "Moving area"),
    ("order", "As listed"),
)


def write_sheet(table: MotionTable, found: MeasuredMotion, *, most: int = 300) -> Path:
    """Write `motion.html`, the contact sheet of a motion folder.

    Args:
        table: The folder.
        found: What `table.measure` returned.
        most: Clips on the page; of a larger table, of each flag as many as fit.

    Raises:
        MotiveError: The page cannot be written.
    """
    chosen = choose(found.rows, most)
    table.draw_strips(chosen)
    work, standard = table.work(), table.settings.standard
    place = {id(row): number for number, row in enumerate(found.rows)}
    count = summarise(found.rows)
    data = SheetData(
        title=f"How {count.clips} clips move" if count.clips != 1 else "How a clip moves",
        lead=_lead(count.clips, count.failed, table.file.data),
        facts=_facts(table),
        clips=[_sheet_clip(row, work, place[id(row)]) for row in chosen],
        total=count.clips,
        flags=count.flags,
        unflagged=count.unflagged,
        failed=count.failed,
        cameras=count.cameras,
        sorts=_SORTS,
        drop_command=f"motive motion --out {shlex.quote(str(table.folder))}",
        notes=longer_than_measured(found.rows, standard),
    )
    return build_sheet(data, table.folder / "motion.html")


def choose(rows: Sequence[ClipMotion], most: int) -> list[ClipMotion]:
    """Clips for the page: those that move most first, those that failed last.

    All of them, or of each flag, of those without any, and of those that failed equally many,
    as far as there are that many.
    """
    ordered = [*most_moving_first(rows), *(row for row in rows if row.facts is None)]
    if len(ordered) <= most:
        return ordered
    groups = [[row for row in ordered if flag in row.flags] for flag in FLAGS]
    groups.append([row for row in ordered if row.facts is not None and not row.flags])
    groups.append([row for row in ordered if row.facts is None])
    turns = chain.from_iterable(zip_longest(*groups))
    once = dict.fromkeys(id(row) for row in turns if row is not None)
    wanted = set(list(once)[:most])
    return [row for row in ordered if id(row) in wanted]


def longer_than_measured(rows: Sequence[ClipMotion], standard: ClipStandard) -> list[str]:
    """A remark if many clips go on after the frames that are looked at."""
    seconds = standard.frames / standard.fps
    lengths = [row.record.motion.get("seconds") or 0.0 for row in rows if row.facts]
    longer = sum(length > _MUCH_LONGER * seconds for length in lengths)
    if not longer:
        return []
    return [
        f"{longer} of {len(lengths)} clips are longer than the {seconds:.2g} s that are measured "
        f"(the longest: {max(lengths):.3g} s); --frames sets how much"
    ]


def _sheet_clip(row: ClipMotion, work: MotionWork, order: int) -> SheetClip:
    record, facts = row.record, row.facts
    strip, overlay = work.strip_path(record), work.overlay_path(record)
    picture = strip.read_bytes() if facts and strip.exists() else None
    about = _about_source(row)
    if facts is None:
        return SheetClip(
            row.name, record.source, record.caption, error=row.reason, facts=about,
            values={"order": -order},
        )  # fmt: skip
    measured = [
        ("objects", _objects(facts)),
        ("camera", _camera(facts)),
        ("all motion", f"{facts.mean_magnitude:.2f} px, at most {facts.max_magnitude:.0f}"),
    ]
    if facts.cuts:
        measured.append(("cut", f"at frame {', '.join(map(str, facts.cuts))}"))
    return SheetClip(
        name=row.name,
        path=record.source,
        caption=record.caption,
        picture=picture,
        size=_tile_size(picture),
        overlay=f"{OVERLAYS}/{overlay.name}" if overlay.exists() else None,
        flags=row.flags,
        camera=facts.camera,
        facts=[*measured, *about],
        values={
            "objects": row.object_motion,
            "motion": facts.mean_magnitude,
            "shift": facts.camera_magnitude,
            "area": facts.moving_area,
            "order": -order,
        },
        directions=facts.directions,
    )


def _objects(facts: MotionFacts) -> str:
    if not facts.moving_area:
        return "none"
    return f"{facts.object_magnitude:.1f} px on {_percent(facts.moving_area)}"


def _camera(facts: MotionFacts) -> str:
    if facts.camera == "static":
        return "still"
    return f"{facts.camera}, {facts.camera_magnitude:.1f} px"


def _about_source(row: ClipMotion) -> list[tuple[str, str]]:
    record, seconds = row.record, row.record.motion.get("seconds")
    parts = [
        "" if seconds is None else f"{seconds:.1f} s",
        f"{record.source_width}x{record.source_height}" if record.source_width else "",
        f"{record.source_fps:.3g} fps" if record.source_fps else "",
    ]
    text = ", ".join(part for part in parts if part)
    return [("clip", text)] if text else []


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def _tile_size(picture: bytes | None) -> tuple[int, int]:
    if picture is None:
        return 16, 9
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    if image is None:  # a file that was cut short: the browser shows its description
        return 16, 9
    return image.shape[1] // _TILES, image.shape[0]


def _lead(clips: int, failed: int, data: str | None) -> str:
    where = f" of {data}" if data else ""
    lost = f" {failed} could not be measured and say why." if failed else ""
    return f"What moves in each clip{where}, objects and camera apart.{lost}"


def _facts(table: MotionTable) -> list[tuple[str, str]]:
    standard, config = table.settings.standard, table.settings.config
    return [
        ("Tracker", config.tracker),
        ("Displacement", config.displacement),
        ("Motion map", "all motion" if config.weight_by == "raw" else "against the camera"),
        ("Measured", f"{standard.frames} frames at {standard.fps:g} fps"),
        ("Size", f"{standard.width}x{standard.height}"),
    ]

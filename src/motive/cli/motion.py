"""`motive motion`: where and how much each clip moves, without any model."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich import box
from rich.table import Table
from rich.text import Text

from motive.cli.console import OUT, emit, list_problems, progress_bars
from motive.cli.options import Common, named_values
from motive.errors import DatasetError, UsageError
from motive.motion import MotionConfig
from motive.runs.motion_lists import Split, parse_flags, write_lists
from motive.runs.motion_rows import ClipMotion, most_moving_first, summarise
from motive.runs.motion_settings import MotionSettings, SettingsFile
from motive.runs.motion_sheet import longer_than_measured, write_sheet
from motive.runs.motion_table import MeasuredMotion, MotionTable, clear

_COLOURS = {"camera-only": "cyan", "micro-motion": "magenta", "cut": "yellow"}


@Parameter(name="*")
@dataclass(frozen=True)
class Measuring:
    """Options that decide the numbers; None: as OUT was measured before, else the default."""

    tracker: Annotated[
        str | None,
        Parameter(
            help="dis (the default), farneback, codec, alltracker, raft or cotracker3; "
            "`motive doctor` says which can run."
        ),
    ] = None
    weights: Annotated[
        str | None, Parameter(help="The tracker's checkpoint, for example alltracker.pth.")
    ] = None
    tracker_option: Annotated[
        list[str] | None,
        Parameter(
            help="NAME=VALUE: another setting of the tracker, such as device=cuda.",
            consume_multiple=True,
            negative_iterable=(),
        ),
    ] = None
    preset: Annotated[
        str | None,
        Parameter(
            help="objects: motion maps show what moves against the camera, shot by shot. paper: "
            "the paper's setting to the letter, AllTracker unless --tracker names another. default."
        ),
    ] = None
    displacement: Annotated[
        str | None,
        Parameter(
            help="consecutive (the default): from frame to frame. anchor: from frame 0. "
            "anchor-literal: the same, left in frame 0's coordinates."
        ),
    ] = None
    weight_by: Annotated[
        str | None,
        Parameter(help="Motion maps show raw (all) or residual (against the camera) motion."),
    ] = None
    frames: Annotated[
        int | None, Parameter(help="Frames measured from each clip's start. [default: 17]")
    ] = None
    fps: Annotated[
        float | None, Parameter(help="Frames per second, by timestamp. [default: 16]")
    ] = None
    height: Annotated[int | None, Parameter(help="Pixels. [default: 240]")] = None
    width: Annotated[int | None, Parameter(help="Pixels. [default: 416]")] = None

    def settings(self, before: MotionSettings) -> MotionSettings:
        """What is asked for, on top of earlier settings.

        Raises:
            UsageError: A value out of range.
        """
        config = MotionConfig.preset(self.preset) if self.preset else before.config
        tracker = self.tracker or config.tracker
        kept = before.config.tracker_options if tracker == before.config.tracker else {}
        return MotionSettings(before.standard, config).updated(
            tracker=tracker,
            tracker_options={**kept, **self._tracker_options()},
            displacement=self.displacement,
            weight_by=self.weight_by,
            frames=self.frames,
            fps=self.fps,
            height=self.height,
            width=self.width,
        )

    def _tracker_options(self) -> dict[str, Any]:
        pairs = named_values(self.tracker_option, "--tracker-option", "device=cuda")
        options = {name: _plain(text) for name, text in pairs}
        if self.weights is not None:
            path = Path(self.weights).expanduser()
            # Absolute, so that the folder can be continued from elsewhere; a hub id stays as it is.
            options["weights"] = str(path.resolve()) if path.exists() else self.weights
        return options


def motion(
    data: str | None = None,
    *,
    out: Annotated[
        Path, Parameter(help="Motion folder; made if missing, continued if not.")
    ] = Path("motion"),
    drop: Annotated[
        list[str] | None,
        Parameter(
            help="Flags of clips to leave out, separated by commas: static, camera-only, "
            "micro-motion, cut, duplicate. Writes kept.jsonl and dropped.jsonl.",
            negative_iterable=(),
        ),
    ] = None,
    overlays: Annotated[
        str, Parameter(help="Overlay videos: all, none, or of how many of the most moving clips.")
    ] = "12",
    sheet: Annotated[int, Parameter(help="Clips on the contact sheet; 0 writes none.")] = 300,
    shown: Annotated[int, Parameter(help="Clips printed, most motion first.")] = 20,
    workers: Annotated[
        int | None, Parameter(help="Processes. [default: one per core; 1 for a network]")
    ] = None,
    restart: Annotated[
        bool,
        Parameter(
            help="Measure all clips anew, after a change of options.",
            negative="",
            show_default=False,
        ),
    ] = False,
    measuring: Measuring = Measuring(),
    common: Common = Common(),  # noqa: B008
) -> None:
    """Measure how every clip moves: camera, objects, and what a curator may want to leave out.

    Writes a table (motion.parquet), a contact sheet to open in a browser (motion.html) and videos
    with the motion drawn on them (overlays/). Killed at any moment, the same command continues.

    For example:

        motive motion videos/ --out motion/
        motive motion --out motion/ --drop static,camera-only,cut
        motive index runs/mine --data motion/kept.jsonl
        motive motion clips.csv --out tracks/ --tracker alltracker --weights alltracker.pth

    Args:
        data: Folder of videos, a list (CSV / JSON / JSONL), or one video; without it those that OUT
            was made with.
    """
    flags = parse_flags(drop or [])
    for name, number in (("--sheet", sheet), ("--shown", shown)):
        if number < 0:
            raise UsageError(f"{name} {number}: must not be negative")
    wanted = _overlay_count(overlays)
    source, settings = _resolve(data, out, restart, measuring)
    with progress_bars(common.json) as bars:
        table = MotionTable(out, settings, workers=workers, on_progress=bars)
        found = table.measure(source, overlays=wanted, strips=sheet > 0)
        page = write_sheet(table, found, most=sheet) if sheet else None
    split = write_lists(out, found.clips, found.rows, flags) if drop else None
    ordered = most_moving_first(found.rows)
    if ordered and not common.json:
        _print_table(ordered, shown)
    _report(table, found, page, split, common)
    if not ordered:
        raise DatasetError(
            f"{source}: none of {len(found.rows)} clips is usable; first: {found.rows[0].error}"
        )


def _resolve(
    data: str | None, out: Path, restart: bool, measuring: Measuring
) -> tuple[str, MotionSettings]:
    """Which clips to measure and how; clears the folder if it is to be measured anew."""
    if restart and data:
        before, source = MotionSettings(), data
    else:
        file = SettingsFile(out)
        before = MotionSettings() if restart else file.settings()
        source = data or file.data or ""
    if not source:
        raise UsageError(f"{out}: which clips? name a folder of videos or a list of them")
    settings = measuring.settings(before)
    if restart and settings.fingerprint:  # nothing is deleted before the tracker is known to run
        clear(out)
    return source, settings


def _report(
    table: MotionTable,
    found: MeasuredMotion,
    page: Path | None,
    split: Split | None,
    common: Common,
) -> None:
    count = summarise(found.rows)
    cameras = {"still" if kind == "static" else kind: n for kind, n in count.cameras.items()}
    errors = [(row.record.source, row.error) for row in found.rows if row.error is not None]
    lines = [
        f"{count.clips} clips ({found.measured} measured, {found.reused} already there, "
        f"{count.failed} failed) in {found.seconds:.1f} s",
        f"flags: {_counts(count.flags)}; {count.unflagged} without",
        f"camera: {_counts(cameras)}",
        *list_problems(errors, []),
        *longer_than_measured(found.rows, table.settings.standard),
    ]
    files = {"table": table.parquet, "contact sheet": page}
    if any((table.folder / "overlays").glob("*.mp4")):
        files["overlays"] = table.folder / "overlays"
    lines += [f"{name}: {path}" for name, path in files.items() if path is not None]
    if split is not None:
        lines.append(f"kept {split.kept}: {split.kept_path}; dropped {split.dropped}: "
                     f"{split.dropped_path}")  # fmt: skip
        if split.kept:
            lines.append(f"next: motive index RUN --data {split.kept_path}")
    result = {
        "out": str(table.folder),
        "clips": [row.columns() for row in found.rows],
        "errors": [{"source": source, "error": error} for source, error in errors],
        "summary": asdict(count),
        "measured": found.measured,
        "reused": found.reused,
        "sheet": None if page is None else str(page),
        "lists": None if split is None else asdict(split),
        "seconds": round(found.seconds, 3),
    }
    emit(result, common.json, lines)


def _print_table(rows: list[ClipMotion], shown: int) -> None:
    """The clips that move most. Names give way where the terminal is narrow."""
    cells = [_cells(row) for row in rows[:shown]]
    heads = [Text(name) for name in ("objects px", "area", "all px", "camera", "px", "flags", "s")]
    taken = sum(max(len(line[n]) for line in (heads, *cells)) + 2 for n in range(len(heads)))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("clip", no_wrap=True)
    for head in heads:
        words = head.plain in ("camera", "flags")
        table.add_column(head, justify="left" if words else "right", no_wrap=True)
    for row, line in zip(rows[:shown], cells, strict=True):
        table.add_row(_shortened(row.name, max(16, OUT.width - taken - 4)), *line)
    if shown:
        OUT.print(table)
    if len(rows) > shown:
        OUT.print(f"... and {len(rows) - shown} more, with less motion (all in motion.parquet)")


def _cells(row: ClipMotion) -> list[Text]:
    """What stands beside a clip's name."""
    facts, seconds = row.facts, row.record.motion.get("seconds")
    if facts is None:
        return []
    plain = (
        f"{facts.object_magnitude:.2f}",
        f"{facts.moving_area:.0%}",
        f"{facts.mean_magnitude:.2f}",
        "still" if facts.camera == "static" else facts.camera,
        f"{facts.camera_magnitude:.2f}",
    )
    flags = Text(" ").join(Text(flag, _COLOURS.get(flag, "dim")) for flag in row.flags)
    return [*map(Text, plain), flags, Text("" if seconds is None else f"{seconds:.1f}")]


def _shortened(name: str, width: int) -> Text:
    """A name in at most so many characters; what goes is its middle, for spans stand at the end."""
    if len(name) <= width:
        return Text(name)
    head = (width - 1) // 2
    return Text(f"{name[:head]}\N{HORIZONTAL ELLIPSIS}{name[head + 1 - width :]}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())


def _overlay_count(text: str) -> int | None:
    """How many overlays; None for all.

    Raises:
        UsageError: Neither a number nor "all" or "none".
    """
    if text == "all":
        return None
    if text == "none":
        return 0
    if text.isdecimal():
        return int(text)
    raise UsageError(f"--overlays {text}: must be all, none, or a number of clips")


def _plain(text: str) -> Any:
    """A value as JSON reads it (4, 0.5, true), else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text

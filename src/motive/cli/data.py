"""`motive motion`: where and how much each clip moves, without any model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
from cyclopts import Parameter
from rich.table import Table

from motive.cli.console import OUT, emit, list_problems, progress_bars
from motive.cli.options import Common
from motive.clips import Clip, ClipStandard, decode_clip, read_dataset, write_mp4
from motive.errors import ClipError, DatasetError
from motive.motion import MotionConfig, overlay_frames, pixel_motion
from motive.motion.weights import weights_from_magnitude

_SHOWN = 20


def motion(
    data: str,
    *,
    out: Annotated[Path, Parameter(help="Folder for motion.parquet and overlays.")] = Path(
        "motion"
    ),
    overlays: Annotated[bool, Parameter(help="Write a heat-map video per clip.")] = True,
    frames: Annotated[int, Parameter(help="Frames per clip.")] = 17,
    fps: Annotated[float, Parameter(help="Frames per second.")] = 16.0,
    height: Annotated[int, Parameter(help="Pixels.")] = 240,
    width: Annotated[int, Parameter(help="Pixels.")] = 416,
    displacement: Annotated[str, Parameter(help="consecutive or anchor.")] = "consecutive",
    common: Common = Common(),  # noqa: B008
) -> None:
    """Measure motion: a table of magnitudes per clip, and overlay videos to look at.

    For example:

        motive motion videos/ --out motion/

    Args:
        data: Folder of videos, a list (CSV / JSON / JSONL), or one video.
    """
    standard = ClipStandard(frames, fps, height, width)
    config = MotionConfig(displacement=displacement)  # type: ignore[arg-type]
    clips = read_dataset(data)
    rows, errors = [], []
    with progress_bars(common.json) as bars:
        for done, clip in enumerate(clips, start=1):
            try:
                rows.append(_measure(clip, standard, config, out if overlays else None))
            except ClipError as error:
                errors.append((clip.source, str(error)))
            bars("measuring motion", done, len(clips))
    if not rows:
        raise DatasetError(f"{data}: none of {len(clips)} clips is usable; first: {errors[0][1]}")
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), out / "motion.parquet")
    if not common.json:
        _print_table(rows)
    lines = [*list_problems(errors, []), f"written: {out / 'motion.parquet'}"]
    if overlays:
        lines.append(f"overlays: {out / 'overlays'}")
    result = {"clips": rows, "errors": [{"source": s, "error": e} for s, e in errors]}
    emit(result, common.json, lines)


def _measure(
    clip: Clip, standard: ClipStandard, config: MotionConfig, out: Path | None
) -> dict[str, object]:
    pixels = decode_clip(clip, standard).pixels
    magnitude = pixel_motion(pixels, config)
    groups = [[frame] for frame in range(standard.frames)]
    facts = vars(weights_from_magnitude(magnitude, groups, (1, 1), config))
    if out is not None:
        folder = out / "overlays"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{Path(clip.source).stem}-{clip.id[:8]}.mp4"
        write_mp4(folder / name, overlay_frames(pixels, magnitude), standard.fps)
    known = {name: value for name, value in facts.items() if name != "weights"}
    return {"clip_id": clip.id, "source": clip.source, **known}


def _print_table(rows: list[dict[str, object]]) -> None:
    table = Table("clip", "mean px", "max px", "moving", "uniformity", "")
    for row in sorted(rows, key=lambda r: -float(str(r["mean_magnitude"])))[:_SHOWN]:
        table.add_row(
            Path(str(row["source"])).name,
            f"{row['mean_magnitude']:.2f}",
            f"{row['max_magnitude']:.1f}",
            f"{row['moving_fraction']:.0%}",
            f"{row['uniformity']:.2f}",
            "static" if row["static"] else "",
        )
    OUT.print(table)
    if len(rows) > _SHOWN:
        OUT.print(f"... {len(rows)} clips in all, most motion first")

"""`motive export`: the selection in the format of a trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from motive.cli.console import emit, list_problems, progress_bars
from motive.cli.options import Common
from motive.exports import FORMATS, Videos
from motive.runs import Run
from motive.runs.config import config_from, read_config
from motive.runs.exporting import export_run

_TO = "Format: " + "; ".join(f"{form.key} ({form.about})" for form in FORMATS) + "."
_HOW = {
    "reference": "stay where they are",
    "link": "linked",
    "copy": "copied",
    "standard": "cut to the frames that were scored",
}


def export(
    run: Path,
    *,
    to: Annotated[str, Parameter(help=_TO)],
    out: Annotated[Path, Parameter(help="Folder to write: new, empty, or this same export.")],
    videos: Annotated[
        Videos | None,
        Parameter(
            help="reference: lists name the files where they are; link: symbolic links; copy; "
            "standard: exactly the frames that were scored, as new mp4 files. Default: by format."
        ),
    ] = None,
    selection: Annotated[
        Path | None,
        Parameter(help="Another CSV with a clip_id column; default: the run's selection.csv."),
    ] = None,
    frames: Annotated[int | None, Parameter(help="Frames per clip; default: as scored.")] = None,
    fps: Annotated[float | None, Parameter(help="Frames per second; default: as scored.")] = None,
    height: Annotated[int | None, Parameter(help="Pixels; default: as scored.")] = None,
    width: Annotated[int | None, Parameter(help="Pixels; default: as scored.")] = None,
    skip_unusable: Annotated[
        bool,
        Parameter(help="Leave out clips whose file is missing, changed or damaged.", negative=""),
    ] = False,
    per_shard: Annotated[int, Parameter(help="Clips per tar file (webdataset).")] = 500,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Write the selected clips in the format that a trainer reads, ready to train on.

    motive.json in the folder says what was written and why each clip was chosen: rank, votes and
    scores. Run the same command again to continue after an interruption. No model is loaded.

    For example:

        motive export runs/mine --to diffsynth --out selected/
        motive export runs/mine --to musubi-tuner --out musubi/ --videos standard
        motive export runs/mine --to webdataset --out shards/ --skip-unusable
        motive export runs/mine --to parquet --out table/ --selection random.csv

    Args:
        run: A run folder with a selection (motive select).
    """
    stored = read_config(run / "config.yaml")
    config = config_from(stored, run / "config.yaml")
    with progress_bars(common.json) as bars:
        result = export_run(
            Run(run, config, on_progress=bars),
            to,
            out,
            videos=videos,
            selection=selection,
            frames=frames,
            fps=fps,
            height=height,
            width=width,
            skip_unusable=skip_unusable,
            per_shard=per_shard,
        )
    lines = [
        f"{len(result.clips)} clips for {result.format.name} in {out} (videos "
        f"{_HOW[result.videos]}; {result.new} new, {result.reused} already there)",
        *list_problems(result.left_out, []),
        *(f"note: {text}" for text in result.warnings),
        f"why each clip is in it: {out / 'motive.json'}",
        *(f"next: {line}" for line in result.command.splitlines()),
    ]
    emit(
        {
            "out": str(result.out),
            "format": result.format.key,
            "videos": result.videos,
            "clips": [
                {"clip_id": c.item.clip_id, "file": str(c.path), "source": c.item.clip.source}
                for c in result.clips
            ],
            "new": result.new,
            "reused": result.reused,
            "left_out": [{"source": s, "error": e} for s, e in result.left_out],
            "warnings": result.warnings,
            "command": result.command,
        },
        common.json,
        lines,
    )

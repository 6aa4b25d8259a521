"""`motive demo`: the whole river on the clips and the model inside the package."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from motive.cli.console import emit, progress_bars
from motive.cli.options import Common, command_line
from motive.clips import read_dataset
from motive.errors import UsageError
from motive.runs import (
    Ranking,
    Run,
    RunConfig,
    random_ranking,
    report_run,
    weight_map_ranking,
)
from motive.runs.run import Progress
from motive.zoo.pack import unpack_demo_clips


def demo(
    *,
    out: Annotated[Path, Parameter(help="Run folder.")] = Path("runs/demo"),
    clips: Annotated[
        int | None, Parameter(help="Use only the first N training clips (a quick look).")
    ] = None,
    controls: Annotated[
        bool, Parameter(help="Also rank without the motion mask, for comparison.")
    ] = True,
    common: Common = Common(),  # noqa: B008
) -> None:
    """From videos to a ranking to look at: MotionZoo clips, wan-nano, a report at the end.

    Needs no download and no GPU. Run it again and it finds all work done.

    For example:

        motive demo
        motive demo --clips 100 --out runs/quick
    """
    began = time.perf_counter()
    if clips is not None and clips < 20:
        raise UsageError(f"--clips {clips}: give at least 20, so that every motion is there twice")
    with progress_bars(common.json) as bars:
        data = unpack_demo_clips(out / "motionzoo")
        run = Run(out, RunConfig(), on_progress=bars)
        ranking = _rank(run, data, clips)
        others = _controls(run, ranking, data, clips, bars) if controls else {}
        selection = run.select("10%")
        page = report_run(run, selection, controls=others, command=command_line())
    seconds = time.perf_counter() - began
    emit(
        {"run": str(out), "report": str(page), "seconds": round(seconds, 1)},
        common.json,
        [f"done in {seconds:.0f} s; open {page}"],
    )


def _rank(run: Run, data: Path, clips: int | None) -> Ranking:
    train = read_dataset(data / "candidates")
    run.index(train if clips is None else train[:clips])
    return run.rank(read_dataset(data / "queries"))


def _controls(
    run: Run, ranking: Ranking, data: Path, clips: int | None, bars: Progress
) -> dict[str, Ranking]:
    """Rankings to hold MOTIVE's against; the unmasked run shares the cache of latents."""
    unmasked = Run(
        run.folder / "without-mask",
        dataclasses.replace(run.config, mask=False),
        on_progress=lambda stage, done, total: bars(f"{stage} (no mask)", done, total),
        cache=run.cache.folder,
    )
    return {
        "without motion mask": _rank(unmasked, data, clips),
        "motion weights alone, no model": weight_map_ranking(run, ranking),
        "random order": random_ranking(ranking),
    }

"""`motive evaluate`: scores of generated videos, folders side by side."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from motive.cli.console import OUT, emit, list_problems, progress_bars
from motive.cli.options import Common, command_line, named_values
from motive.errors import DatasetError, UsageError

if TYPE_CHECKING:  # importing the networks' libraries takes seconds, and --help needs none of them
    from motive.evaluation.metrics import Asked, Evaluation, OfficialVBench, Sources

_MOST_WORKERS = 8
_ID_COLUMNS = ("id", "prompt_id", "name")
_NAMES = "dino, clip, clip-large, aesthetic, musiq, amt, raft"


@Parameter(name="*")
@dataclass(frozen=True)
class Judges:
    """What the metrics are computed with."""

    weights: Annotated[
        list[str] | None,
        Parameter(
            help=f"NAME=PATH of what a metric needs: {_NAMES}.",
            consume_multiple=True,
            negative_iterable=(),
        ),
    ] = None
    hub: Annotated[
        bool, Parameter(help="DINO and CLIP may be downloaded from the hub.", negative="")
    ] = False
    flow: Annotated[str, Parameter(help="Tracker of VBench's dynamic degree.")] = "raft"
    classifier: Annotated[
        Path | None, Parameter(help="Folder of another motion classifier [the one in the package].")
    ] = None
    device: Annotated[str, Parameter(help="auto, cpu, cuda or cuda:N.")] = "auto"
    vbench: Annotated[
        Path | None,
        Parameter(help="Python of an environment with the vbench package: ask it, too."),
    ] = None
    vbench_gpus: Annotated[int, Parameter(help="Processes of vbench.")] = 1


def evaluate(
    videos: Annotated[list[str], Parameter(negative_iterable=())],
    *,
    out: Annotated[Path, Parameter(help="Folder of the results; what it holds is kept.")],
    names: Annotated[
        str | None, Parameter(help="Names of the folders, with commas between them.")
    ] = None,
    prompts: Annotated[
        Path | None,
        Parameter(
            help="Prompts as for `motive generate`, with motion (and id) beside each; needed where "
            "the folders do not say what was asked."
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        Parameter(
            help="Groups (vbench, built-in, motion, official, all) or single metrics.",
            consume_multiple=True,
            negative_iterable=(),
        ),
    ] = None,
    workers: Annotated[
        int | None, Parameter(help="Processes [default: one per core, at most 8; 1 on a GPU].")
    ] = None,
    judges: Judges = Judges(),
    common: Common = Common(),  # noqa: B008
) -> None:
    """Score videos: VBench's six dimensions, built-in motion metrics, and the asked motion.

    Every number comes with its 95 % interval. With several folders, the first is the reference, and
    the others are compared with it over videos of the same prompt and seed. A video is measured
    once, whatever it is called and however often the command runs. What cannot be measured says
    why; the rest goes on.

    For example:

        motive evaluate generated/ --out scores/
        motive evaluate base/ motive/ --names base,motive --out scores/ --hub
        motive evaluate generated/ --out scores/ --vbench path/to/vbench-env

    Args:
        videos: Folders of videos, or lists of them.
    """
    began = time.perf_counter()
    from motive.evaluation.metrics import condition_names, evaluate_folders

    titles = condition_names(videos, names.split(",") if names else None)
    with progress_bars(common.json) as bars:
        found = evaluate_folders(
            dict(zip(titles, videos, strict=True)),
            out,
            metrics=metrics,
            prompts=_prompts(prompts),
            sources=_sources(judges),
            official=_official(judges),
            workers=_workers(workers, judges.device),
            command=command_line(),
            on_progress=bars,
        )
    _tell(out, found, time.perf_counter() - began, common)


def _official(judges: Judges) -> OfficialVBench | None:
    from motive.evaluation.metrics import OfficialVBench

    if judges.vbench is None:
        return None
    device = "cpu" if judges.device == "cpu" else "cuda"
    return OfficialVBench(judges.vbench, device, judges.vbench_gpus)


def _sources(judges: Judges) -> Sources:
    from motive.evaluation.metrics import Sources

    given = named_values(judges.weights, "--weights", "dino=path/to/dino-vitb16")
    return Sources(
        tuple(sorted(given)),
        hub=judges.hub,
        device=judges.device,
        flow=judges.flow,
        classifier=str(judges.classifier or ""),
    )


def _prompts(path: Path | None) -> list[Asked]:
    from motive.clips import LABEL_COLUMNS
    from motive.evaluation.metrics import Asked

    if path is None:
        return []
    from motive.generation import read_prompts

    def first(facts: Mapping[str, Any], names: Sequence[str]) -> str:
        return next((str(facts[name]) for name in names if facts.get(name)), "")

    return [
        Asked(p.text, first(p.facts, LABEL_COLUMNS) or None, first(p.facts, _ID_COLUMNS))
        for p in read_prompts(path).prompts
    ]


def _workers(given: int | None, device: str) -> int:
    if given is not None:
        if given < 1:
            raise UsageError(f"--workers {given}: must be at least 1")
        return given
    import torch

    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    return 1 if on_gpu else min(_MOST_WORKERS, os.cpu_count() or 1)


def _tell(out: Path, found: Evaluation, seconds: float, common: Common) -> None:
    from motive.evaluation.metrics import not_measured, summary_table

    broken = found.broken
    if len(broken) == len(found.rows):
        raise DatasetError(
            f"none of {len(broken)} videos can be judged (all: {out / 'summary.md'}); first: "
            f"{broken[0].error}"
        )
    if not common.json:
        OUT.print(summary_table(found.summary))
    lines = [
        f"{len(found.rows)} videos ({found.measured} measured now) in {seconds:.0f} s",
        *not_measured(found.summary),
        *list_problems([(row.video.path, row.error or "") for row in broken], []),
        *(f"caution: {line}" for line in found.cautions),
        f"written: {out / 'summary.md'}, {out / 'summary.json'} and {out / 'videos.parquet'}",
    ]
    errors = [
        {"condition": row.video.condition, "video": row.video.path, "error": row.error}
        for row in broken
    ]
    result = {"out": str(out), "measured": found.measured, "errors": errors, **found.json}
    emit(result, common.json, lines)

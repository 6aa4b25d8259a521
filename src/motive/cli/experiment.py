"""`motive experiment init`, `run`, `report` and `study`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from motive.cli.console import ERR, OUT, emit, progress_bars
from motive.cli.options import Common, command_line
from motive.errors import UsageError

if TYPE_CHECKING:  # --help needs none of it
    from motive.experiment import Reported

app = App(
    name="experiment",
    help="Select, fine-tune, generate, evaluate: the whole comparison, and its table.",
)
_MOST_WORKERS = 8


@app.command
def init(
    *,
    preset: Annotated[
        str, Parameter(help="motionzoo: runs on a laptop; wan2.1: your videos, on GPUs.")
    ] = "motionzoo",
    common: Common = Common(),  # noqa: B008
) -> None:
    """Print an experiment to begin with.

    For example:

        motive experiment init > experiment.yaml
        motive experiment init --preset wan2.1 > experiment.yaml
    """
    from motive.experiment import preset as text_of

    text = text_of(preset)
    emit({"preset": preset, "yaml": text}, common.json, text.splitlines())


@app.command
def run(
    experiment: Path,
    *,
    out: Annotated[Path, Parameter(help="Folder of the experiment; what it holds is kept.")],
    quick: Annotated[
        bool, Parameter(help="Put the file's section quick on top: does it all work?", negative="")
    ] = False,
    workers: Annotated[
        int | None,
        Parameter(help="Processes [default: one per GPU, else one per core, at most 8]."),
    ] = None,
    only: Annotated[
        str | None,
        Parameter(help="Only this step: features, select, finetune, generate or evaluate."),
    ] = None,
    prune: Annotated[
        bool, Parameter(help="Delete results of earlier settings in the end.", negative="")
    ] = False,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Do every step that is missing, then write the table and the page.

    Features, a selection per condition, a fine-tuning and its videos per condition and seed, the
    evaluation: each is known by its own inputs and done once. Run the same command again to
    continue after an interruption. A changed setting does again what depends on it, and says so.

    For example:

        motive experiment run experiment.yaml --out runs/experiment
        motive experiment run experiment.yaml --out runs/quick --quick
        motive experiment run experiment.yaml --out runs/wan --only features

    Args:
        experiment: YAML file, see `motive experiment init`.
    """
    from motive.experiment import read_experiment, report_experiment, run_experiment

    began = time.perf_counter()
    config = read_experiment(experiment, quick=quick)
    with progress_bars(common.json) as bars:
        about = run_experiment(
            config,
            out,
            workers=_workers(workers, config.device),
            only=only,
            prune=prune,
            command=command_line(),
            on_progress=bars,
            tell=lambda line: ERR.print(line, markup=False, soft_wrap=True),
        )
    seconds = time.perf_counter() - began
    if about is None:
        emit(
            {"out": str(out), "done": False, "only": only, "seconds": round(seconds, 1)},
            common.json,
            [f"--only {only}: done, in {seconds:.0f} s; what follows is not"],
        )
        return
    _tell(out, report_experiment(out), seconds, common)


@app.command
def report(
    out: Path,
    *,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Write the table and the page of a finished experiment again.

    For example:

        motive experiment report runs/experiment

    Args:
        out: Folder of the experiment.
    """
    from motive.experiment import report_experiment

    _tell(out, report_experiment(out), None, common)


@app.command
def study(
    out: Path,
    study: Path,
    *,
    conditions: Annotated[
        list[str] | None,
        Parameter(
            help="Compared with the main one [all].", consume_multiple=True, negative_iterable=()
        ),
    ] = None,
    seeds: Annotated[
        list[int] | None,
        Parameter(help="Whose videos [the first].", consume_multiple=True, negative_iterable=()),
    ] = None,
    annotators: Annotated[int, Parameter(help="How many judge.")] = 1,
    seed: Annotated[int, Parameter(help="Of order and sides.")] = 0,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Make a blind study from the videos of a finished experiment.

    For example:

        motive experiment study runs/experiment studies/first --annotators 17
        motive experiment study runs/experiment studies/first --conditions base random

    Args:
        out: Folder of the experiment.
        study: Folder of the study; must not exist.
    """
    from motive.experiment import study_videos
    from motive.study import create_study, numbered_annotators

    if study.exists():
        raise UsageError(f"{study}: exists; give another folder")
    people = numbered_annotators(annotators)
    plan = study_videos(
        out, out / "study", conditions=conditions, seeds=seeds, annotators=people, seed=seed
    )
    with progress_bars(common.json) as bars:
        warnings = create_study(
            plan, study, on_progress=lambda done, total: bars("copying videos", done, total)
        )
    for warning in warnings:
        ERR.print(f"warning: {warning}", markup=False, soft_wrap=True)
    pairs = len(plan.pairings) * len(plan.prompts or ())
    lines = [
        f"{study}: {pairs} pairs (and attention checks) for each of {len(people)} annotators",
        f"next: motive study serve {study}",
    ]
    result = {"study": str(study), "pairs": pairs, "annotators": people, "warnings": warnings}
    emit(result, common.json, lines)


def _workers(given: int | None, device: str) -> int:
    if given is not None:
        if given < 1:
            raise UsageError(f"--workers {given}: must be at least 1")
        return given
    import torch

    if device.startswith("cuda:"):
        return 1
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return torch.cuda.device_count()
    return min(_MOST_WORKERS, os.cpu_count() or 1)


def _tell(out: Path, reported: Reported, seconds: float | None, common: Common) -> None:
    from motive.experiment.tables import results_json, terminal_table
    from motive.experiment.wording import findings

    results = reported.results
    if not common.json:
        OUT.print(terminal_table(results))
        sys.stdout.flush()
    lines = [f"{found.question} {found.text}" for found in findings(results)]
    lines += ["a quick run: do not quote its numbers"] if results.about.quick else []
    lines += [] if seconds is None else [f"done in {seconds:.0f} s"]
    lines.append(f"table: {', '.join(str(path) for path in reported.tables)}")
    lines.append(f"page: {reported.page}")
    result: dict[str, Any] = {
        "out": str(out),
        "done": True,
        "page": str(reported.page),
        **({} if seconds is None else {"seconds": round(seconds, 1)}),
        **results_json(results),
    }
    emit(result, common.json, lines)

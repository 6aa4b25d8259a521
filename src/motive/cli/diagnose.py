"""`motive diagnose`: which settings change features, and which to use."""

from __future__ import annotations

import logging
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from motive.cli.console import emit, progress_bars
from motive.cli.options import Common, RunOptions, given_or_stored, open_run
from motive.clips import read_dataset
from motive.errors import ClipError, DatasetError, UsageError
from motive.runs import Run
from motive.runs.diagnosis import HARMLESS, Diagnosis, Trial, diagnose, score_error
from motive.runs.prepare import PreparedClip

_LOG = logging.getLogger(__name__)
_WIDTH = 36


def diagnose_command(
    run: Path | None = None,
    *,
    data: Annotated[str | None, Parameter(help="Folder of videos, or CSV / JSON / JSONL.")] = None,
    clips: Annotated[
        int, Parameter(help="How many clips; from 5 on, rank agreement is reported too.")
    ] = 3,
    compile: Annotated[bool, Parameter(help="Also try torch.compile, which takes minutes.")] = True,
    options: RunOptions = RunOptions(),  # type: ignore[valid-type]  # noqa: B008
    common: Common = Common(),  # noqa: B008
) -> None:
    """Find out which settings change the features of a clip, and the fastest that do not.

    Features of some clips are computed in float32, one by one, and then with one thing changed at a
    time: precision, batch size, attention kernel, checkpointing, offloading, TF32, torch.compile,
    threads, device. What cannot be tried here is listed with the reason.

    For example:

        motive diagnose runs/mine
        motive diagnose --model path/to/Wan2.1-T2V-1.3B-Diffusers --data videos/ --clips 5

    Args:
        run: A run folder, whose model, options and clips are taken; only its cache may grow.
    """
    if clips < 1:
        raise UsageError(f"--clips {clips}: give at least 1")
    with ExitStack() as stack:
        bars = stack.enter_context(progress_bars(common.json))
        if run is not None and not (run / "config.yaml").exists():
            raise UsageError(f"{run}: no config.yaml; give a run folder, or --model and --data")
        folder = run or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="motive-")))
        opened = open_run(folder, options, on_progress=bars)
        source = given_or_stored(data, opened, "data", "--data")
        prepared = _prepared(opened, source, clips)
        opened.backbone.release_encoders()
        found = diagnose(
            opened.config,
            [clip for _, clip in prepared],
            opened.standard.frames,
            bars,
            compiling=compile,
        )
    sources = [source for source, _ in prepared]
    emit(_result(found, opened, sources), common.json, _lines(found, opened, len(sources)))


def _prepared(run: Run, data: str, count: int) -> list[tuple[str, PreparedClip]]:
    """(source, prepared clip), spread over the whole data set; unusable ones are passed over."""
    clips = read_dataset(data)
    # Steps of the golden section: however many are taken, they lie far from each other.
    order = np.argsort(np.arange(len(clips)) * 0.6180339887 % 1.0, kind="stable")
    found: list[tuple[str, PreparedClip]] = []
    for number in order:
        if len(found) == count:
            break
        try:
            found.append((clips[number].source, run.preparer.prepare(clips[number])))
        except ClipError as error:
            _LOG.warning("%s", error)
    if not found:
        raise DatasetError(f"{data}: none of {len(clips)} clips is usable")
    return found


def _result(found: Diagnosis, run: Run, sources: list[str]) -> dict[str, Any]:
    base = found.reference.setting
    rows = [
        {
            "name": trial.name,
            "setting": vars(trial.setting),
            "options": trial.setting.options(base),
            "cosines": list(trial.cosines),
            "mean": sum(trial.cosines) / len(trial.cosines) if trial.cosines else None,
            "worst": trial.worst if trial.cosines else None,
            "rank_agreement": trial.agreement,
            "seconds_per_clip": trial.seconds if trial.cosines else None,
            "memory_bytes": trial.memory,
            "reason": trial.reason,
        }
        for trial in (found.reference, *found.trials)
    ]
    return {
        "model": run.config.model,
        "clips": sources,
        "standard": vars(run.standard),
        "trials": rows,
        "recommended": {"name": found.best.name, "options": found.best.setting.options(base)},
        "harmless_above": HARMLESS,
        "largest_score_error": score_error(found.best.worst),
    }


def _lines(found: Diagnosis, run: Run, clips: int) -> list[str]:
    base, standard = found.reference.setting, run.standard
    extra = "".join(f", {n}" for n in ("checkpointing", "offload") if getattr(base, n))
    ran = [trial for trial in found.trials if trial.reason is None]
    failed = [trial for trial in found.trials if trial.reason is not None]
    lines = [
        f"{run.config.model}, {clips} clips of {standard.frames} frames of "
        f"{standard.width}x{standard.height}",
        f"reference: float32, one clip at a time, {base.device}, {base.threads} "
        f"thread{'s' * (base.threads > 1)}{extra}",
        "",
        f"{'setting':{_WIDTH}}  mean cosine  worst cosine  ranks  s/clip  memory",
        *(_row(trial) for trial in (found.reference, *ran)),
    ]
    if failed:
        lines += ["", *(f"{trial.name:{_WIDTH}}  {trial.reason}" for trial in failed)]
    return [*lines, "", *_advice(found)]


def _row(trial: Trial) -> str:
    ranks = "    -" if trial.agreement is None else f"{trial.agreement:5.3f}"
    memory = "     -" if trial.memory is None else f"{trial.memory / 2**20:.0f} MB"
    mean = sum(trial.cosines) / len(trial.cosines)
    return (
        f"{trial.name:{_WIDTH}}  {mean:11.6f}  {trial.worst:12.6f}  {ranks}  "
        f"{trial.seconds:6.3g}  {memory}"
    )


def _advice(found: Diagnosis) -> list[str]:
    base, best = found.reference, found.best
    words = best.setting.options(base.setting)
    if words:
        use = (
            f"use {' '.join(words)}: {base.seconds / best.seconds:.1f} times as fast as the "
            f"reference, worst cosine {best.worst:.6f}"
        )
    else:
        use = "use the defaults (float32): nothing that options can ask for is faster and harmless"
    return [
        use,
        f"a setting counts as harmless if its worst cosine is at least {HARMLESS}; a score can "
        "then be off",
        f"by {score_error(HARMLESS):.3f} at most (here by {score_error(best.worst):.4f}), so trust "
        "an order of clips only where scores differ by far more",
    ]

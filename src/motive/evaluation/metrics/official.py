"""The official `vbench` package in its own environment, by subprocess, and its JSON read back.

vbench pins packages that cannot live beside diffusers and transformers 5, so it is never imported
here: the interpreter of its environment runs `official_driver.py`, one dimension at a time, so that
one that fails costs no other its numbers. Videos are handed over under names made of their content.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motive.errors import MotiveError, UsageError
from motive.evaluation.metrics.catalogue import DIMENSIONS
from motive.evaluation.metrics.evaluating import Progress, VideoRow
from motive.evaluation.metrics.protocol import Readings
from motive.evaluation.metrics.records import Records
from motive.files import whole_file

_LOG = logging.getLogger(__name__)
_DRIVER = Path(__file__).with_name("official_driver.py")
_FEWEST = {"motion_smoothness": 3, "subject_consistency": 2, "background_consistency": 2}
_OF_HUNDRED = "imaging_quality"  # its results per video go to 100, its aggregate to 1


@dataclass(frozen=True)
class OfficialVBench:
    """Where vbench lives and how it runs.

    Attributes:
        python: Interpreter of its environment, or the environment's folder.
        device: "cuda" (what vbench is made for) or "cpu".
        gpus: Processes; with more than one, vbench's aggregates are weighted differently.
        local: Whether vbench takes its weights from its cache folder only.
    """

    python: Path
    device: str = "cuda"
    gpus: int = 1
    local: bool = False

    def __post_init__(self) -> None:
        if self.gpus < 1:
            raise UsageError(f"vbench GPUs {self.gpus}: must be at least 1")

    @property
    def interpreter(self) -> Path:
        """The executable.

        Raises:
            UsageError: There is none.
        """
        inside = [self.python / "bin" / "python", self.python / "Scripts" / "python.exe"]
        for path in inside if self.python.is_dir() else [self.python]:
            if path.is_file() and os.access(path, os.X_OK):
                return path
        raise UsageError(
            f"{self.python}: no Python interpreter; give that of the environment in which vbench "
            "is installed, or the environment's folder"
        )


@dataclass(frozen=True)
class Judged:
    """What vbench said about one dimension.

    Attributes:
        dimension: Its name.
        aggregate: vbench's own, in [0, 1].
        values: Name of the video's file, without suffix -> value in [0, 1].
    """

    dimension: str
    aggregate: float
    values: dict[str, float]


def judge(
    official: OfficialVBench,
    rows: Sequence[VideoRow],
    dimensions: Sequence[str],
    records: Records,
    folder: Path,
    on_progress: Progress | None = None,
) -> dict[str, str]:
    """Let vbench judge the rows' videos, and put its numbers into them.

    Args:
        official: Where vbench lives.
        rows: From `evaluate`; those that cannot be judged are left as they are.
        dimensions: Names of dimensions, as vbench calls them.
        records: What is known already, and where new numbers go.
        folder: For requests, results, logs and links to the videos.
        on_progress: Called as (stage, done, total).

    Returns:
        Metric -> why vbench gave no number, for dimensions that failed.

    Raises:
        UsageError: An unknown dimension, or no interpreter.
        MotiveError: The folder cannot be written.
    """
    strange = [name for name in dimensions if name not in DIMENSIONS]
    if strange:
        raise UsageError(f"dimension {strange[0]}: must be one of {', '.join(DIMENSIONS)}")
    settings = f"vbench {official.interpreter} {official.device} {official.gpus}"
    refused: dict[str, str] = {}
    for done, dimension in enumerate(dimensions, start=1):
        key = f"official_{dimension}"
        waiting: list[VideoRow] = []
        for row in rows:
            if row.error is None:
                row.take(_known(row, key, dimension, records, settings))
                if key not in row.values and key not in row.why:
                    waiting.append(row)
        if waiting:
            try:
                _let_judge(official, waiting, dimension, records, folder, settings)
            except MotiveError as error:
                refused[key] = str(error)
                for row in waiting:
                    row.why[key] = str(error)
        if on_progress is not None:
            on_progress("asking vbench", done, len(dimensions))
    return refused


def _known(row: VideoRow, key: str, dimension: str, records: Records, settings: str) -> Readings:
    """What is known without asking: a stored number, or that vbench cannot judge the video."""
    facts = row.facts
    if facts is None:
        return {key: "not seen yet"}
    if facts.kind not in (".mp4", ".gif"):
        return {key: f"vbench reads .mp4 and .gif, not {facts.kind or 'files without a suffix'}"}
    if facts.kind == ".gif" and dimension in ("motion_smoothness", "dynamic_degree"):
        return {key: "vbench does not judge this dimension of a GIF; write mp4"}
    if facts.frames < _FEWEST.get(dimension, 1):
        return {key: f"{facts.frames} frames; vbench needs {_FEWEST[dimension]}"}
    return records.readings(row.digest, {key: settings})


def _let_judge(
    official: OfficialVBench,
    rows: Sequence[VideoRow],
    dimension: str,
    records: Records,
    folder: Path,
    settings: str,
) -> None:
    key = f"official_{dimension}"
    work = folder / f"{dimension}-{uuid.uuid4().hex[:8]}"
    videos = work / "videos"
    try:
        videos.mkdir(parents=True)
        for row in {row.digest: row for row in rows}.values():
            if row.facts is not None:
                _hand_over(Path(row.video.path), videos / f"{row.digest}{row.facts.kind}")
        judged = run_vbench(official, videos, dimension, work)
    except OSError as error:
        raise MotiveError(f"{folder}: cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(videos, ignore_errors=True)
    for row in rows:
        if row.digest not in judged.values:
            row.why[key] = "vbench gave no result for this video"
        elif row.facts is not None:
            row.values[key] = judged.values[row.digest]
            found: Readings = {key: row.values[key]}
            records.keep(row.digest, row.facts, found, {key: settings})


def run_vbench(official: OfficialVBench, videos: Path, dimension: str, out: Path) -> Judged:
    """Run one dimension on a folder of videos.

    Args:
        official: Where vbench lives.
        videos: Folder of .mp4 and .gif files.
        dimension: Name of the dimension.
        out: Folder for request, result and log.

    Raises:
        UsageError: No interpreter.
        MotiveError: vbench failed (with the last line of its log) or wrote something else.
    """
    out.mkdir(parents=True, exist_ok=True)
    request = out / "request.json"
    content = {
        "videos": str(videos.resolve()),
        "dimension": dimension,
        "out": str(out.resolve()),
        "name": "vbench",
        "device": official.device,
        "processes": official.gpus,
        "local": official.local,
        "version_file": str((out / "version.txt").resolve()),
    }
    with whole_file(request) as partial:
        partial.write_text(json.dumps(content, indent=1), "utf-8")
    command = [str(official.interpreter)]
    if official.gpus > 1:
        command += ["-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc_per_node={official.gpus}"]
    log = out / "log.txt"
    try:
        with log.open("wb") as file:
            done = subprocess.run(  # noqa: S603 - no shell; the interpreter is the user's
                [*command, str(_DRIVER), str(request)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")},
                check=False,
            )
    except OSError as error:
        raise MotiveError(
            f"{official.python}: cannot be run ({error.strerror}); check the environment"
        ) from None
    if done.returncode != 0:
        raise MotiveError(f"vbench failed: {_last_line(log)} (whole log: {log})")
    return read_results(out / "vbench_eval_results.json", dimension)


def read_results(path: Path, dimension: str) -> Judged:
    """One dimension of vbench's `*_eval_results.json`.

    Raises:
        MotiveError: The file is missing, malformed, or lacks the dimension.
    """
    try:
        found: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise MotiveError(f"{path}: vbench wrote no result; look into its log") from None
    except (OSError, ValueError) as error:
        raise MotiveError(f"{path}: no result of vbench ({error})") from None
    try:
        aggregate, videos = found[dimension][0], found[dimension][1]
        scale = 0.01 if dimension == _OF_HUNDRED else 1.0
        values = {
            Path(entry["video_path"]).stem: scale * float(entry["video_results"])
            for entry in videos
        }
        judged = Judged(dimension, float(aggregate), values)
    except (KeyError, IndexError, TypeError, ValueError):
        raise MotiveError(
            f"{path}: no {dimension} as [aggregate, [{{video_path, video_results}}, ...]] in it; "
            "is it another version of vbench?"
        ) from None
    wrong = [name for name, value in values.items() if not math.isfinite(value)]
    if wrong:
        raise MotiveError(f"{path}: {dimension} of {wrong[0]} is not finite; look into the log")
    return judged


def _hand_over(video: Path, link: Path) -> None:
    """A link to the video, or a copy where links are not possible."""
    try:
        link.symlink_to(video.resolve())
    except OSError:
        shutil.copyfile(video, link)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
    told = [line for line in lines if line]
    return told[-1][:200] if told else "it said nothing"

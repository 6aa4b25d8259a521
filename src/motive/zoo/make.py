"""Make MotionZoo: labelled clips of ten motions as mp4 files with a metadata table.

Invariant: clip k of a split depends on (seed, split, k, its plan, size, frames, fps) alone, never
on other clips, on workers, captions, ground truth or an interrupted earlier run.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from motive.clips.encode import write_mp4
from motive.errors import UsageError
from motive.zoo.captions import caption
from motive.zoo.factors import Factors, decoy_factors, draw_factors
from motive.zoo.motions import MOTIONS
from motive.zoo.render import SceneRenderer, require_renderer
from motive.zoo.scenes import Scene, build_scene
from motive.zoo.schedule import Plan, plan_clips
from motive.zoo.truth import save_truth, scene_truth, truth_path

log = logging.getLogger(__name__)

__all__ = ["MOTIONS", "SPLITS", "VERSION", "ZooReport", "clip_generator", "make_zoo"]

VERSION = 2  # of what the clips show; clips of two versions must not mix
SPLITS: tuple[str, ...] = ("pretrain", "candidates", "queries", "test")
_TABLE = "metadata.jsonl"
_CRF = 14  # at 64 px a coarser quantiser smears the textures that show rotation


@dataclass(frozen=True)
class ZooReport:
    """What `make_zoo` did.

    Attributes:
        folder: The data set's folder.
        made: Clips rendered by this call.
        skipped: Clips that were already there.
        truths: Ground truth files made by this call.
        per_motion: Clips of every motion among those asked for; "none" counts decoys where
            nothing but the camera may move.
    """

    folder: Path
    made: int
    skipped: int
    per_motion: dict[str, int] = field(default_factory=dict)
    truths: int = 0


@dataclass(frozen=True)
class _Job:
    out: Path
    split: str
    seed: int
    size: int
    frames: int
    fps: float
    wrong_captions: float
    missing_captions: float
    truth: bool


@dataclass(frozen=True)
class _Task:
    index: int
    plan: Plan
    video: bool  # False where only the ground truth is missing
    truth: bool


def make_zoo(
    out: Path,
    clips: int,
    *,
    split: str = "candidates",
    seed: int = 0,
    size: int = 64,
    frames: int = 17,
    fps: float = 16.0,
    workers: int = 1,
    decoys: float = 0.0,
    mixture: Mapping[str, float] | None = None,
    wrong_captions: float = 0.0,
    missing_captions: float = 0.0,
    truth: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> ZooReport:
    """Render a split of MotionZoo into `out`.

    Without decoys clip k shows motion k mod 10, so every prefix is balanced. Clips that
    `metadata.jsonl` already lists and whose file exists are kept.

    Args:
        out: Folder for `clips/*.mp4` and `metadata.jsonl`; made if missing.
        clips: Number of clips the split should hold, >= 1.
        split: One of `SPLITS`; splits never share a seed.
        seed: Seed of the whole zoo, >= 0.
        size: Width and height in px, even and >= 16.
        frames: Frames per clip, of the form 4k + 1.
        fps: Frames per second, above 0 and up to 1000.
        workers: Processes, >= 1.
        decoys: Share of clips in [0, 1) in which nothing moves ("static"), only the camera does
            ("camera") or a small body moves in a corner ("corner"), in turns.
        mixture: Weights of the motions, for a split that is poor in some; equal by default.
        wrong_captions: Share of captions in [0, 1] that name another motion.
        missing_captions: Share of captions in [0, 1] that are empty.
        truth: Write `truth/NAME.npz` for every clip, also for those already there; see
            `truth.load_truth`. It never changes a clip.
        on_progress: Called with (clips done, clips asked for).

    Returns:
        Counts of what was made and what was kept.

    Raises:
        UsageError: If an argument is out of range, or `out` holds another seed or format.
        MissingExtraError: If newton or warp is not installed.
    """
    _check(clips, split, seed, size, frames, fps, workers)
    _check_captions(wrong_captions, missing_captions)
    plans = plan_clips(clips, decoys=decoys, mixture=mixture)
    require_renderer()
    out = Path(out)
    (out / "clips").mkdir(parents=True, exist_ok=True)
    job = _Job(out, split, seed, size, frames, float(fps), wrong_captions, missing_captions, truth)
    rows = _finished(job, plans)
    todo = _tasks(job, plans, rows)
    _carry_out(job, todo, rows, clips, workers, on_progress)
    made, truths = sum(task.video for task in todo), sum(task.truth for task in todo)
    log.info("zoo %s: %d made, %d kept in %s", split, made, clips - made, out)
    counts = Counter(plan.label for plan in plans)
    per_motion = {motion: counts[motion] for motion in (*MOTIONS, "none")}
    return ZooReport(out, made, clips - made, per_motion, truths)


def _carry_out(
    job: _Job,
    todo: list[_Task],
    rows: dict[str, dict[str, Any]],
    clips: int,
    workers: int,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    """Make what is missing; every new clip enters the table as soon as it is there."""
    done = clips - len(todo)
    if on_progress is not None:
        on_progress(done, clips)
    with (job.out / _TABLE).open("a", encoding="utf-8") as table:
        for task, row in zip(todo, _render_all(job, todo, workers), strict=True):
            if task.video:  # a clip that only gains its ground truth is in the table already
                table.write(json.dumps(row) + "\n")
                table.flush()
            rows[row["video"]] = row
            done += 1
            if on_progress is not None:
                on_progress(done, clips)
    if todo:
        _write_table(job.out, rows)


def clip_generator(seed: int, split: str, index: int, stream: int = 0) -> np.random.Generator:
    """Random numbers of one clip, independent of every other clip, split and stream.

    Streams keep purposes apart: 0 draws the factors, 1 the fragments, 2 a decoy's changes, 3 the
    caption's words, 4 whether the caption is right.
    """
    return np.random.default_rng([seed, zlib.crc32(split.encode()), index, stream])


def clip_scene(
    seed: int, split: str, index: int, plan: Plan, *, frames: int, fps: float
) -> tuple[Factors, Scene]:
    """Factors and scene of one clip; nothing else decides what it shows."""
    factors = draw_factors(clip_generator(seed, split, index))
    if plan.decoy is not None:
        generator = clip_generator(seed, split, index, stream=2)
        factors = decoy_factors(factors, plan.decoy, generator)
    scene = build_scene(
        plan.motion,
        factors,
        clip_generator(seed, split, index, stream=1),
        frames=frames,
        fps=fps,
        frozen=plan.label == "none",
    )
    if plan.label == "none":  # what does not move has no direction
        still = tuple(replace(thing, drift=0.0) for thing in factors.distractors)
        factors = replace(factors, direction="none", speed="none", travel=0.0, distractors=still)
    return factors, scene


def _check(
    clips: int, split: str, seed: int, size: int, frames: int, fps: float, workers: int
) -> None:
    if clips < 1:
        raise UsageError(f"zoo: clips is {clips}; ask for at least 1")
    if split not in SPLITS:
        raise UsageError(f"zoo: unknown split {split!r}; choose one of {', '.join(SPLITS)}")
    if seed < 0:
        raise UsageError(f"zoo: seed is {seed}; use 0 or more")
    if size < 16 or size % 2:
        raise UsageError(f"zoo: size is {size} px; use an even number from 16 on")
    if frames < 5 or frames % 4 != 1:
        raise UsageError(f"zoo: frames is {frames}; use 4k + 1 from 5 on, such as 17 or 33")
    if not 0 < fps <= 1000:
        raise UsageError(f"zoo: fps is {fps}; use a number above 0 and up to 1000")
    if workers < 1:
        raise UsageError(f"zoo: workers is {workers}; use at least 1")


def _check_captions(wrong: float, missing: float) -> None:
    for name, share in (("wrong_captions", wrong), ("missing_captions", missing)):
        if not 0.0 <= share <= 1.0:
            raise UsageError(f"zoo: {name} is {share}; use a share from 0 to 1")
    if wrong + missing > 1.0:
        raise UsageError(
            f"zoo: wrong_captions {wrong} and missing_captions {missing} add up to more than 1"
        )


def _clip_path(split: str, index: int, plan: Plan) -> str:
    return f"clips/{split}-{index:05d}-{plan.label.replace(' ', '-')}.mp4"


def _finished(job: _Job, plans: list[Plan]) -> dict[str, dict[str, Any]]:
    """Rows of clips that exist already; a torn last line is dropped.

    Raises:
        UsageError: If the folder was made with other settings, which must not be mixed.
    """
    table = job.out / _TABLE
    rows: dict[str, dict[str, Any]] = {}
    if not table.exists():
        return rows
    for line in table.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            log.warning("%s: dropped an unfinished line", table)
            continue
        _check_row(job, plans, row, table)
        if (job.out / row["video"]).is_file():
            rows[row["video"]] = row
    _write_table(job.out, rows)
    return rows


def _check_row(job: _Job, plans: list[Plan], row: dict[str, Any], table: Path) -> None:
    """Refuse a row that this run would have made otherwise."""
    if row.get("zoo") != VERSION:
        raise UsageError(
            f"{table}: holds clips of MotionZoo version {row.get('zoo', 1)}, this makes version "
            f"{VERSION}; use another folder"
        )
    if row.get("split") != job.split:
        return
    wanted: dict[str, Any] = {
        "seed": job.seed,
        "size": job.size,
        "frames": job.frames,
        "fps": job.fps,
    }
    index = int(row["index"])
    if index < len(plans):
        wanted["motion"], wanted["decoy"] = plans[index].label, plans[index].decoy
        wanted["caption_kind"] = _caption_kind(job, index)
    for name, value in wanted.items():
        if row.get(name) != value:
            raise UsageError(
                f"{table}: clip {index} was made with {name} {row.get(name)}, not {value}; "
                "use another folder"
            )


def _write_table(out: Path, rows: dict[str, dict[str, Any]]) -> None:
    """Replace the table by one sorted by clip name, in one step."""
    temporary = out / f"{_TABLE}.part"
    lines = [json.dumps(rows[name]) + "\n" for name in sorted(rows)]
    temporary.write_text("".join(lines), encoding="utf-8")
    temporary.replace(out / _TABLE)


def _tasks(job: _Job, plans: list[Plan], rows: dict[str, dict[str, Any]]) -> list[_Task]:
    """What is missing."""
    tasks = []
    for index, plan in enumerate(plans):
        path = _clip_path(job.split, index, plan)
        video = path not in rows
        truth = job.truth and not truth_path(job.out / path).is_file()
        if video or truth:
            tasks.append(_Task(index, plan, video, truth))
    return tasks


def _render_all(job: _Job, todo: list[_Task], workers: int) -> Iterator[dict[str, Any]]:
    render = partial(_make_clip, job)
    if workers == 1 or len(todo) < 2:
        yield from map(render, todo)
        return
    # Spawned, not forked: warp's compiler threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(workers, len(todo))) as pool:
        yield from pool.imap(render, todo)


@lru_cache(maxsize=1)
def _renderer(size: int) -> SceneRenderer:
    """One renderer per process: its kernels and buffers serve every clip of that size."""
    return SceneRenderer(size)


def _make_clip(job: _Job, task: _Task) -> dict[str, Any]:
    """Draw, simulate, render and write what a clip lacks; returns its row."""
    index, plan = task.index, task.plan
    factors, scene = clip_scene(job.seed, job.split, index, plan, frames=job.frames, fps=job.fps)
    video = _clip_path(job.split, index, plan)
    if task.video:
        write_mp4(job.out / video, _renderer(job.size).render(scene), job.fps, crf=_CRF)
    if task.truth:
        truth = scene_truth(scene, _renderer(job.size), asdict(factors))
        save_truth(truth_path(job.out / video), truth)
    kind = _caption_kind(job, index)
    return {
        "video": video,
        "prompt": _prompt(job, index, plan, factors, kind),
        "motion": plan.label,
        "split": job.split,
        "seed": job.seed,
        "index": index,
        "size": job.size,
        "frames": job.frames,
        "fps": job.fps,
        "decoy": plan.decoy,
        "caption_kind": kind,
        "zoo": VERSION,
        "factors": asdict(factors),
    }


def _caption_kind(job: _Job, index: int) -> str:
    """Whether the caption of a clip is "right", "wrong" or "missing"."""
    chance = clip_generator(job.seed, job.split, index, stream=4).random()
    if chance < job.wrong_captions:
        return "wrong"
    return "missing" if chance < job.wrong_captions + job.missing_captions else "right"


def _prompt(job: _Job, index: int, plan: Plan, factors: Factors, kind: str) -> str:
    """The caption; a wrong one names any other motion."""
    generator = clip_generator(job.seed, job.split, index, stream=3)
    if kind == "missing":
        return ""
    named = plan.label
    if kind == "wrong":
        named = str(generator.choice([motion for motion in MOTIONS if motion != plan.label]))
        if plan.label == "none":  # any phrase may be asked for a direction now
            factors = replace(factors, direction=str(generator.choice(["left", "right"])))
    return caption(named, factors, generator)

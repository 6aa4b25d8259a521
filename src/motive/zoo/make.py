"""Make MotionZoo: labelled clips of ten motions as mp4 files with a metadata table.

Invariant: clip k of a split depends on (seed, split, k, size, frames, fps) alone, never on other
clips, on workers or on an interrupted earlier run.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from motive.clips.encode import write_mp4
from motive.errors import UsageError
from motive.zoo.captions import caption
from motive.zoo.motions import MOTIONS
from motive.zoo.render import SceneRenderer, require_renderer
from motive.zoo.scenes import build_scene, draw_factors

log = logging.getLogger(__name__)

__all__ = ["MOTIONS", "SPLITS", "ZooReport", "clip_generator", "make_zoo"]

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
        per_motion: Clips of every motion among those asked for.
    """

    folder: Path
    made: int
    skipped: int
    per_motion: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Job:
    out: Path
    split: str
    seed: int
    size: int
    frames: int
    fps: float


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
    on_progress: Callable[[int, int], None] | None = None,
) -> ZooReport:
    """Render a split of MotionZoo into `out`.

    Clip k shows motion k mod 10, so every prefix is balanced. Clips that `metadata.jsonl` already
    lists and whose file exists are kept.

    Args:
        out: Folder for `clips/*.mp4` and `metadata.jsonl`; made if missing.
        clips: Number of clips the split should hold, >= 1.
        split: One of `SPLITS`; splits never share a seed.
        seed: Seed of the whole zoo, >= 0.
        size: Width and height in px, even and >= 16.
        frames: Frames per clip, of the form 4k + 1.
        fps: Frames per second, above 0 and up to 1000.
        workers: Processes, >= 1.
        on_progress: Called with (clips done, clips asked for).

    Returns:
        Counts of what was made and what was kept.

    Raises:
        UsageError: If an argument is out of range, or `out` holds another seed or format.
        MissingExtraError: If newton or warp is not installed.
    """
    _check(clips, split, seed, size, frames, fps, workers)
    require_renderer()
    out = Path(out)
    (out / "clips").mkdir(parents=True, exist_ok=True)
    job = _Job(out, split, seed, size, frames, float(fps))
    rows = _finished(job)
    todo = [k for k in range(clips) if _clip_path(split, k) not in rows]
    skipped = clips - len(todo)
    done = skipped
    if on_progress is not None:
        on_progress(done, clips)
    with (out / _TABLE).open("a", encoding="utf-8") as table:
        for row in _render_all(job, todo, workers):
            table.write(json.dumps(row) + "\n")
            table.flush()
            rows[row["video"]] = row
            done += 1
            if on_progress is not None:
                on_progress(done, clips)
    if todo:
        _write_table(out, rows)
    log.info("zoo %s: %d made, %d kept in %s", split, len(todo), skipped, out)
    counts = Counter(_motion(k) for k in range(clips))
    return ZooReport(out, len(todo), skipped, {m: counts[m] for m in MOTIONS})


def clip_generator(seed: int, split: str, index: int) -> np.random.Generator:
    """Random numbers of one clip, independent of every other clip and split."""
    return np.random.default_rng([seed, zlib.crc32(split.encode()), index])


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


def _motion(index: int) -> str:
    return MOTIONS[index % len(MOTIONS)]


def _clip_path(split: str, index: int) -> str:
    return f"clips/{split}-{index:05d}-{_motion(index).replace(' ', '-')}.mp4"


def _finished(job: _Job) -> dict[str, dict[str, Any]]:
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
        wanted = {"seed": job.seed, "size": job.size, "frames": job.frames, "fps": job.fps}
        for name, value in wanted.items():
            if row.get(name) != value and row.get("split") == job.split:
                raise UsageError(
                    f"{table}: made with {name} {row.get(name)}, not {value}; use another folder"
                )
        if (job.out / row["video"]).is_file():
            rows[row["video"]] = row
    _write_table(job.out, rows)
    return rows


def _write_table(out: Path, rows: dict[str, dict[str, Any]]) -> None:
    """Replace the table by one sorted by clip name, in one step."""
    temporary = out / f"{_TABLE}.part"
    lines = [json.dumps(rows[name]) + "\n" for name in sorted(rows)]
    temporary.write_text("".join(lines), encoding="utf-8")
    temporary.replace(out / _TABLE)


def _render_all(job: _Job, todo: list[int], workers: int) -> Iterator[dict[str, Any]]:
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


def _make_clip(job: _Job, index: int) -> dict[str, Any]:
    """Draw, simulate, render and write one clip; returns its row."""
    motion = _motion(index)
    rng = clip_generator(job.seed, job.split, index)
    factors = draw_factors(rng, motion)
    prompt = caption(motion, factors, rng)
    scene = build_scene(motion, factors, rng, frames=job.frames, fps=job.fps)
    video = _clip_path(job.split, index)
    write_mp4(job.out / video, _renderer(job.size).render(scene), job.fps, crf=_CRF)
    return {
        "video": video,
        "prompt": prompt,
        "motion": motion,
        "split": job.split,
        "seed": job.seed,
        "index": index,
        "size": job.size,
        "frames": job.frames,
        "fps": job.fps,
        "factors": asdict(factors),
    }

"""The attribution problem: candidates, queries that show a motion, and what is known about both.

Invariant: no query is among the candidates, and every query's motion is. What differs between
methods afterwards is only how they order the candidates.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from motive.clips import Clip, file_digest, read_dataset
from motive.errors import ClipError, DatasetError, UsageError

_T = TypeVar("_T")


@dataclass(frozen=True)
class BenchClip:
    """A clip and its ground truth.

    Attributes:
        clip: Video and caption.
        name: File stem, by which score files may call it.
        motion: Name of the motion it shows ("none" for a camera that moves alone).
        decoy: Kind of decoy (static, camera, corner); None for an ordinary clip.
        factors: Nuisance factor -> value (shape, colour, camera, ...), drawn independently of the
            motion. Only factors with named values are kept; sizes and angles have none.
    """

    clip: Clip
    name: str
    motion: str
    decoy: str | None = None
    factors: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def id(self) -> str:
        """Content-derived id of the clip."""
        return self.clip.id


@dataclass(frozen=True)
class Problem:
    """Which of the candidates matter for the motion of each query?

    Attributes:
        candidates: Training clips to choose from, sorted by id.
        queries: Clips that show the wanted motion, in the order of their list.
        prompts: Held-out (caption, motion) pairs, for clips generated after fine-tuning.
    """

    candidates: tuple[BenchClip, ...]
    queries: tuple[BenchClip, ...]
    prompts: tuple[tuple[str, str], ...] = ()

    @cached_property
    def clip_ids(self) -> list[str]:
        """Candidate ids, sorted: the order of score columns."""
        return [clip.id for clip in self.candidates]

    @cached_property
    def query_ids(self) -> list[str]:
        """Query ids: the order of score rows."""
        return [clip.id for clip in self.queries]

    def clips(self, role: str) -> tuple[BenchClip, ...]:
        """The clips of a role: "candidates" or "queries"."""
        if role not in ("candidates", "queries"):
            raise UsageError(f"role {role!r}: must be 'candidates' or 'queries'")
        return self.candidates if role == "candidates" else self.queries

    def digest(self) -> str:
        """16 hex digits that change with any clip, label or prompt."""
        facts: list[Any] = [
            [(c.id, c.motion, c.decoy, sorted(c.factors.items())) for c in clips]
            for clips in (self.candidates, self.queries)
        ]
        text = json.dumps([*facts, self.prompts], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def load_problem(folder: Path) -> Problem:
    """Read `candidates/`, `queries/` and, if there is one, `test/`, as MotionZoo writes them.

    Args:
        folder: Each part is a data set (see `motive.clips.read_dataset`) with a motion per row.

    Raises:
        DatasetError: A part is missing or empty, a row has no motion, a clip cannot be read, a clip
            is listed twice, a query is also a candidate (whatever its caption), or no candidate
            shows a query's motion.
    """
    candidates = _read_part(folder, "candidates")
    queries = _read_part(folder, "queries")
    _refuse_shared(candidates, queries)
    motions = {clip.motion for clip in candidates if clip.decoy is None}
    for query in queries:
        if query.decoy is not None:
            raise DatasetError(f"{query.clip.source}: a decoy cannot be a query; move it away")
        if query.motion not in motions:
            raise DatasetError(
                f"{query.clip.source}: no candidate shows {query.motion!r}, so there is nothing to "
                "find; add candidates or leave the query out"
            )
    prompts: tuple[tuple[str, str], ...] = ()
    if (folder / "test").is_dir():
        rows = read_dataset(folder / "test")
        prompts = tuple((clip.caption, _motion(clip, folder / "test")) for clip in rows)
    return Problem(tuple(sorted(candidates, key=lambda clip: clip.id)), tuple(queries), prompts)


def quick_problem(problem: Problem, candidates: int = 60, queries: int = 10) -> Problem:
    """A small problem of the same make-up, always the same one.

    Motions take turns, so that they stay balanced; decoys keep their share and their kinds.

    Args:
        problem: What to take from.
        candidates: How many candidates at most.
        queries: How many queries, and how many prompts, at most.

    Raises:
        UsageError: A number is below 1.
    """
    if min(candidates, queries) < 1:
        raise UsageError(f"{candidates} candidates and {queries} queries: at least 1 of each")
    chosen_queries = _in_turn(problem.queries, queries, lambda clip: clip.motion)
    motions = {clip.motion for clip in chosen_queries}
    decoys = [clip for clip in problem.candidates if clip.decoy is not None]
    # Without the query's motion nothing could be found: those motions come first.
    real = sorted(
        (clip for clip in problem.candidates if clip.decoy is None),
        key=lambda clip: clip.motion not in motions,
    )
    share = len(decoys) / len(problem.candidates)
    few = _in_turn(decoys, round(share * candidates), lambda clip: str(clip.decoy))
    chosen = [*few, *_in_turn(real, candidates - len(few), lambda clip: clip.motion)]
    return Problem(
        tuple(sorted(chosen, key=lambda clip: clip.id)),
        tuple(chosen_queries),
        tuple(_in_turn(problem.prompts, queries, lambda prompt: prompt[1])),
    )


def _read_part(folder: Path, part: str) -> list[BenchClip]:
    where = folder / part
    if not where.is_dir():
        raise DatasetError(
            f"{folder}: no {part}/ folder; a problem has candidates/, queries/ and test/, as "
            "`motive zoo` writes them"
        )
    clips: list[BenchClip] = []
    seen: dict[str, str] = {}
    for clip in read_dataset(where):
        found = _bench_clip(clip, where)
        if found.id in seen:
            raise DatasetError(
                f"{clip.source}: same clip and caption as {seen[found.id]}; remove one of them"
            )
        seen[found.id] = clip.source
        clips.append(found)
    return clips


def _bench_clip(clip: Clip, where: Path) -> BenchClip:
    try:
        known = Clip(
            clip.source, clip.caption, clip.start, clip.end, clip.label, clip.row, clip.extra,
            digest=file_digest(clip.source),
        )  # fmt: skip
    except ClipError as error:
        raise DatasetError(f"{where}: row {clip.row}: {error}") from None
    factors = clip.extra.get("factors") or {}
    if not isinstance(factors, dict):
        raise DatasetError(f"{where}: row {clip.row}: factors must be an object of named values")
    named = {name: value for name, value in factors.items() if isinstance(value, str)}
    decoy = clip.extra.get("decoy") or None
    return BenchClip(known, Path(clip.source).stem, _motion(clip, where), decoy, named)


def _motion(clip: Clip, where: Path) -> str:
    if not clip.label:
        raise DatasetError(f"{where}: row {clip.row} has no motion; a benchmark needs the labels")
    return clip.label


def _refuse_shared(candidates: Iterable[BenchClip], queries: Iterable[BenchClip]) -> None:
    """Refuse queries whose video is a candidate, even under another caption."""

    def content(clip: BenchClip) -> tuple[object, ...]:
        return clip.clip.digest, clip.clip.start, clip.clip.end

    known = {content(clip): clip.clip.source for clip in candidates}
    for query in queries:
        if content(query) in known:
            raise DatasetError(
                f"{query.clip.source}: this query is also a candidate ({known[content(query)]}), "
                "so finding it proves nothing; remove one of them"
            )


def _in_turn(items: Sequence[_T], count: int, group: Callable[[_T], str]) -> list[_T]:
    """The first items of every group in turn, groups by first appearance."""
    groups: dict[str, list[_T]] = {}
    for item in items:
        groups.setdefault(group(item), []).append(item)
    longest = max((len(members) for members in groups.values()), default=0)
    in_turn = [m[n] for n in range(longest) for m in groups.values() if n < len(m)]
    return in_turn[: max(0, count)]

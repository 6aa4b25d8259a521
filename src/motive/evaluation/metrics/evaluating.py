"""Measuring folders of videos: each once, in several processes, continued where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from motive.clips import file_digest
from motive.errors import ClipError, UsageError
from motive.evaluation.metrics.catalogue import Sources, build_measures
from motive.evaluation.metrics.protocol import Measure, Readings
from motive.evaluation.metrics.records import Records
from motive.evaluation.metrics.videos import Video, pair_keys
from motive.evaluation.metrics.watching import VideoFacts, Watched, Watcher
from motive.processes import as_completed, one_thread

Progress = Callable[[str, int, int], None]  # stage, done, total
_SPAN = "a list names only a part of this file; cut it out first"
_OF_PROMPT = ("motion_shown", "motion_probability")  # also depend on what was asked


@dataclass
class VideoRow:
    """One video of one condition, with everything that is known about it.

    Attributes:
        video: What was to be judged.
        pair: Videos of other conditions with this key belong to it.
        digest: Of the file's content; empty if it cannot be read.
        facts: What the video turned out to be; None if it cannot be judged.
        values: Metric -> number (1 and 0 for yes and no).
        why: Metric -> why there is no number.
        error: Why the video cannot be judged at all.
    """

    video: Video
    pair: str
    digest: str = ""
    facts: VideoFacts | None = None
    values: dict[str, float] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    error: str | None = None

    def take(self, readings: Readings) -> None:
        """Sort readings into numbers and reasons."""
        for key, value in readings.items():
            if isinstance(value, str):
                self.why[key] = value
            else:
                self.values[key] = value


@dataclass(frozen=True)
class Evaluated:
    """What `evaluate` found.

    Attributes:
        rows: One per video, conditions in order.
        keys: Metrics, in order.
        refused: Metric -> why it could not be measured on any video.
        measured: Videos measured now; the others were known.
    """

    rows: list[VideoRow]
    keys: list[str]
    refused: dict[str, str]
    measured: int


def evaluate(
    conditions: Mapping[str, Sequence[Video]],
    keys: Sequence[str],
    records: Records,
    *,
    sources: Sources | None = None,
    measures: Sequence[Measure] | None = None,
    workers: int = 1,
    on_progress: Progress | None = None,
) -> Evaluated:
    """Measure every video of every condition.

    Args:
        conditions: Name -> videos, from `find_videos`.
        keys: Metrics, from `chosen_metrics`; those of the group "official" stay empty here.
        records: What is known already, and where new numbers go.
        sources: Weights and devices.
        measures: Measures to use instead of those that `sources` give; they run in this process.
        workers: Processes. The numbers do not depend on it.
        on_progress: Called as (stage, done, total).

    Returns:
        One row per video; whatever could not be measured is a reason in its row.

    Raises:
        UsageError: No worker, or videos of one name that are to be compared.
        MotiveError: A record cannot be written, or a worker died; what is done is kept.
    """
    if workers < 1:
        raise UsageError(f"workers {workers}: must be at least 1")
    sources = sources or Sources()
    pairs = pair_keys(conditions)
    rows = [
        VideoRow(video, pair)
        for name, videos in conditions.items()
        for video, pair in zip(videos, pairs[name], strict=True)
    ]
    given = measures is not None
    refused: dict[str, str] = {}
    if measures is None:
        measures, refused = build_measures(keys, sources)
    settings = {k: d for m in measures for k, d in settings_digests(m).items() if k in keys}
    work = _Work(rows, settings, records)
    calls = work.missing()
    watched = _watched(calls, measures, list(settings), sources, 1 if given else workers)
    for done, (number, found) in enumerate(watched, start=1):
        work.keep(number, found)
        if on_progress is not None:
            on_progress("measuring videos", done, len(calls))
    for row in rows:
        if row.error is None:
            row.why |= {key: reason for key, reason in refused.items() if key not in row.values}
    return Evaluated(rows, list(keys), refused, len(calls))


def settings_digests(measure: Measure) -> dict[str, str]:
    """Metric -> digest of everything that decides its numbers."""
    text = json.dumps(dict(measure.settings), sort_keys=True, default=str)
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).hexdigest()
    return dict.fromkeys(measure.keys, digest)


def content_digest(path: str) -> str:
    """32 hex digits of a video's bytes.

    Raises:
        ClipError: The file is missing, empty or cannot be read.
    """
    return file_digest(path).hex()[:32]


class _Work:
    """Which videos lack which numbers, and where the numbers go."""

    def __init__(
        self, rows: Sequence[VideoRow], settings: Mapping[str, str], records: Records
    ) -> None:
        self.rows, self.settings, self.records = rows, settings, records
        self._same: list[list[VideoRow]] = []  # rows with the content and motion of each call

    def missing(self) -> list[tuple[str, str | None, list[str]]]:
        """(path, motion, metrics) of every video that lacks numbers; the others get theirs."""
        calls: dict[tuple[str, str | None], tuple[str, str | None, list[str]]] = {}
        groups: dict[tuple[str, str | None], list[VideoRow]] = {}
        for row in self.rows:
            try:
                row.digest = content_digest(row.video.path)
                if row.video.span:
                    raise ClipError(f"{row.video.path}: {_SPAN}")
            except ClipError as error:
                row.error = str(error) if row.video.path else f"{row.video.name}: {error}"
                continue
            settings = self._settings(row.video.motion)
            known = self.records.readings(row.digest, settings)
            row.facts = self.records.facts(row.digest)
            row.take(known)
            lacking = [key for key in settings if key not in known]
            if lacking or row.facts is None:
                place = (row.digest, row.video.motion)
                calls.setdefault(place, (row.video.path, row.video.motion, lacking))
                groups.setdefault(place, []).append(row)
        self._same = [groups[place] for place in calls]
        return list(calls.values())

    def keep(self, number: int, found: Watched) -> None:
        """Store what a call found, and tell its rows."""
        rows = self._same[number]
        if found.facts is None:
            for row in rows:
                row.error = found.error
            return
        wanted = {k: v for k, v in found.readings.items() if k in self.settings}
        motion = rows[0].video.motion
        self.records.keep(rows[0].digest, found.facts, wanted, self._settings(motion))
        for row in rows:
            row.facts = found.facts
            row.take(wanted)
            row.why |= {k: v for k, v in found.failures.items() if k in self.settings}

    def _settings(self, motion: str | None) -> dict[str, str]:
        """Digests for one video: some metrics also depend on what was asked."""
        return {
            key: f"{digest} {motion}" if key in _OF_PROMPT else digest
            for key, digest in self.settings.items()
        }


def _watched(
    calls: Sequence[tuple[str, str | None, list[str]]],
    measures: Sequence[Measure],
    keys: Sequence[str],
    sources: Sources,
    workers: int,
) -> Iterable[tuple[int, Watched]]:
    """(number of the call, result), in the order in which results are ready."""
    if workers == 1 or len(calls) < 2:
        watcher = Watcher(measures)
        with one_thread():
            for number, call in enumerate(calls):
                yield number, watcher.watch(*call)
        return
    fixed = (tuple(keys), sources)
    whole = [(*fixed, *call) for call in calls]
    yield from as_completed(min(workers, len(calls)), watch_in_process, whole)


def watch_in_process(
    keys: tuple[str, ...], sources: Sources, path: str, motion: str | None, wanted: list[str]
) -> Watched:
    """`Watcher.watch` for a worker process; its networks stay open between calls."""
    return _watcher(keys, sources).watch(path, motion, wanted)


@lru_cache(maxsize=1)
def _watcher(keys: tuple[str, ...], sources: Sources) -> Watcher:
    return Watcher(build_measures(keys, sources)[0])

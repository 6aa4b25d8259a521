"""The motion of every clip of a data set, in one folder that can be continued.

    FOLDER/
      motion.yaml      settings, fingerprint, versions
      motion.lance     one row per entry, appended as soon as its clip is measured
      motion.parquet   the table, written when all entries have their row
      overlays/        videos with the motion drawn on them
      strips/          pictures of the contact sheet; safe to delete

Invariant: a clip that has its row is not measured again, whatever ended the last call; clips that
failed are tried again. Rows do not depend on the number of processes.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from motive.clips import Clip, read_dataset
from motive.clips.decode import check_span
from motive.errors import ClipError, DatasetError, MotiveError, UsageError
from motive.index import ClipRecord, Manifest
from motive.index.manifest import DUPLICATE, ERROR, OK
from motive.processes import Workers, one_thread
from motive.runs.entries import Digests, Progress, check_text, clip_of, new_record, unusable
from motive.runs.motion_clip import OVERLAYS, STRIPS, MotionWork, measure_record
from motive.runs.motion_rows import ClipMotion, most_moving_first, write_parquet
from motive.runs.motion_settings import MotionSettings, SettingsFile

_LOG = logging.getLogger(__name__)
MOTION = "motion"  # role of the rows in `motion.lance`
_WORTH_A_PROCESS = 6  # clips; starting one takes about as long as measuring some
_MEASURING = "measuring motion"


@dataclass(frozen=True)
class MeasuredMotion:
    """What one call of `MotionTable.measure` found.

    Attributes:
        clips: The data set's entries, in its order.
        rows: One per entry, in the same order.
        measured: How many clips were measured now.
        reused: How many had their row already.
        seconds: Wall time.
    """

    clips: list[Clip]
    rows: list[ClipMotion]
    measured: int
    reused: int
    seconds: float


class MotionTable:
    """A motion folder.

    Args:
        folder: Made if missing.
        settings: How to measure; None takes what the folder was measured with, or the defaults.
        workers: Processes; None takes one per core where that is worth it, and one for a tracker
            that is a network.
        on_progress: Called as (stage, done, total).

    Raises:
        FingerprintError: The folder was measured under other settings; says which.
        MotiveError: The folder's settings cannot be read.
        UsageError, MissingExtraError, ModelError: The tracker cannot be had.

    Example:
        table = MotionTable("motion/", MotionSettings())
        found = table.measure("videos/", overlays=10)
        kept = [row for row in found.rows if not row.flags]
    """

    def __init__(
        self,
        folder: str | Path,
        settings: MotionSettings | None = None,
        *,
        workers: int | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"workers {workers}: must be at least 1")
        self.folder = Path(folder)
        self.file = SettingsFile(self.folder)
        if not self.file.stored and self._rows_path.exists():
            raise MotiveError(
                f"{self.folder}: holds motion.lance but no motion.yaml that says how it was "
                "measured; measure all clips anew with --restart, or choose another --out"
            )
        self.settings = settings or self.file.settings()
        self.file.require_same(self.settings)
        self.progress: Progress = on_progress or (lambda stage, done, total: None)
        self._asked = workers

    @property
    def _rows_path(self) -> Path:
        return self.folder / "motion.lance"

    @property
    def parquet(self) -> Path:
        """The table."""
        return self.folder / "motion.parquet"

    def measure(
        self, data: str | Path | Iterable[Clip], *, overlays: int | None = 0, strips: bool = False
    ) -> MeasuredMotion:
        """Measure what has no row yet, write the table, and draw.

        Args:
            data: Folder, list file (CSV, JSON, JSONL), single video, or clips.
            overlays: How many of the most moving clips get an overlay video; None for all.
            strips: Make the contact sheet's picture of every clip that is measured.

        Raises:
            DatasetError: There is no entry.
            MotiveError: The disk is full, a worker died, ...
        """
        began = time.perf_counter()
        listed = isinstance(data, str | Path)
        clips = self._without_overlays(data) if isinstance(data, str | Path) else list(data)
        if not clips:
            raise DatasetError("no clips given")
        self.file.write(self.settings, str(Path(str(data)).resolve()) if listed else None)
        everything = overlays is None or overlays >= len(clips)
        work = self.work(strip=strips, overlay=everything)
        with self._pool(len(clips)) as pool:
            entries = _Entries(clips, Manifest(self._rows_path), self.progress)
            entries.settle(pool, work)
            rows = entries.rows()
            once = [row for row in most_moving_first(rows) if row.duplicate_of is None]
            self._draw(pool, work, once[:overlays])
        fingerprint = self.settings.fingerprint.to_json()
        write_parquet(self.parquet, rows, {"motive.fingerprint": fingerprint})
        seconds = time.perf_counter() - began
        return MeasuredMotion(clips, rows, entries.measured, entries.reused, seconds)

    def _without_overlays(self, data: str | Path) -> list[Clip]:
        """The data set, less the overlay videos if the motion folder lies inside it."""
        clips, ours = read_dataset(data), (self.folder / OVERLAYS).resolve()
        if not (Path(data).is_dir() and ours.is_relative_to(Path(data).resolve())):
            return clips
        others = [clip for clip in clips if ours not in Path(clip.source).resolve().parents]
        if len(others) < len(clips):
            _LOG.warning("%s: %d overlay videos left out", ours, len(clips) - len(others))
        return others

    def work(self, *, strip: bool = False, overlay: bool = False) -> MotionWork:
        """What is done with a clip of this folder."""
        return MotionWork(self.folder, self.settings.standard, self.settings.config, strip, overlay)

    def draw_strips(self, rows: Sequence[ClipMotion]) -> None:
        """Make the strips that are missing among these clips, by measuring them again."""
        work = self.work(strip=True)
        records = [r.record for r in rows if r.facts and not work.strip_path(r.record).exists()]
        with self._pool(len(records)) as pool:
            pool.draw(work, records, "drawing the contact sheet", self.progress)

    def _draw(self, pool: _Pool, work: MotionWork, rows: Sequence[ClipMotion]) -> None:
        """Write the overlay videos that are missing."""
        work = dataclasses.replace(work, strip=False, overlay=True)
        missing = [row.record for row in rows if not work.overlay_path(row.record).exists()]
        pool.draw(work, missing, "drawing overlays", self.progress)

    def _pool(self, clips: int) -> _Pool:
        tracker = self.settings.config.build_tracker()
        network = hasattr(tracker, "device")
        count = self._asked
        if count is None:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
            count = 1 if network else cores or os.cpu_count() or 1
            count = min(count, clips // _WORTH_A_PROCESS)
        # A network in this process may use all cores; everything else gives the same numbers on
        # one thread as it does in worker processes.
        return _Pool(max(1, min(count, clips)), one_thread_here=not network)


class _Pool:
    """Measures clips: here, or in worker processes."""

    def __init__(self, count: int, *, one_thread_here: bool) -> None:
        self._workers = Workers(count) if count > 1 else None
        self._one_thread = one_thread_here
        self._stack = ExitStack()

    def measured(
        self, calls: Iterable[tuple[MotionWork, ClipRecord]]
    ) -> Iterator[tuple[int, ClipRecord]]:
        """(number of the call, record), as they are ready; calls are taken when needed."""
        if self._workers is not None:
            yield from self._workers.as_completed(measure_record, calls)
            return
        for number, call in enumerate(calls):
            yield number, measure_record(*call)

    def draw(
        self, work: MotionWork, records: Sequence[ClipRecord], stage: str, progress: Progress
    ) -> None:
        """Measure clips again for their pictures; their rows stand."""
        results = self.measured((work, record) for record in records)
        for done, (_, record) in enumerate(results, start=1):
            if record.error is not None:
                _LOG.warning("not drawn: %s", record.error)
            progress(stage, done, len(records))

    def __enter__(self) -> _Pool:
        if self._workers is not None:
            self._stack.enter_context(self._workers)
        elif self._one_thread:
            self._stack.enter_context(one_thread())
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()


class _Entries:
    """The entries of a data set on their way to a row each."""

    def __init__(self, clips: Sequence[Clip], manifest: Manifest, progress: Progress) -> None:
        self.clips, self.manifest, self.progress = clips, manifest, progress
        recorded = manifest.records(MOTION)
        self._recorded = {record.key: record for record in recorded}
        self._by_id = {record.clip_id: record for record in recorded if record.status == OK}
        self._digests = Digests(recorded)
        self._found: list[ClipRecord | None] = [None] * len(clips)
        self._first: dict[str, int] = {}  # clip id -> its first entry
        self._settled = 0
        self.measured = self.reused = 0

    def settle(self, pool: _Pool, work: MotionWork) -> None:
        """Give every entry its record, and commit each as soon as it is known."""
        sent: list[int] = []
        reported = 0
        try:
            for number, record in pool.measured(self._missing(work, sent)):
                self.measured += record.status == OK
                self._keep(sent[number], record)
                self.progress(_MEASURING, self._settled, len(self.clips))
                reported = self._settled
        finally:
            self.manifest.table.compact()
        if reported < self._settled:  # what came after the last measured clip needed no work
            self.progress(_MEASURING, self._settled, len(self.clips))

    def rows(self) -> list[ClipMotion]:
        """One row per entry."""
        records = [record for record in self._found if record is not None]
        first = {record.clip_id: record for record in records if record.status != DUPLICATE}
        return [_row(record, first[record.clip_id]) for record in records]

    def _missing(
        self, work: MotionWork, sent: list[int]
    ) -> Iterator[tuple[MotionWork, ClipRecord]]:
        """Calls for the clips that must be measured; all other entries are settled on the way."""
        copies = Counter[tuple[object, ...]]()
        for number, clip in enumerate(self.clips):
            first = new_record(clip, MOTION)
            new = dataclasses.replace(first, copy=copies[first.key])
            copies[first.key] += 1
            record = self._identified(clip, new, number)
            known = self._by_id.get(record.clip_id) if record.status == OK else None
            if known is not None:
                self.reused += 1
                self._keep(number, _with_facts_of(record, known))
            elif record.status == OK:
                sent.append(number)
                yield work, record
            else:
                self._keep(number, record)

    def _identified(self, clip: Clip, record: ClipRecord, number: int) -> ClipRecord:
        """The record with its id, or with the reason why there is none, or as a duplicate."""
        try:
            check_text(clip)
            check_span(clip)
            record = self._digests.fill_in(record)
        except ClipError as error:
            # Without a path only the row can say which entry is meant.
            return unusable(record, str(error) if clip.source else f"row {clip.row}: {error}")
        record = dataclasses.replace(record, clip_id=clip_of(record).id)
        first = self._first.setdefault(record.clip_id, number)
        return record if first == number else dataclasses.replace(record, status=DUPLICATE)

    def _keep(self, number: int, record: ClipRecord) -> None:
        if record != self._recorded.get(record.key):
            self.manifest.append(record)
        self._found[number] = record
        self._settled += 1


def _row(record: ClipRecord, first: ClipRecord) -> ClipMotion:
    """The row of an entry; `first` is the first entry with the same clip, often itself."""
    if record.status != DUPLICATE:
        return ClipMotion(record)
    if first.status == ERROR:
        reason = f"{record.source}: the same clip as {first.source}, which cannot be used"
        return ClipMotion(dataclasses.replace(record, status=ERROR, error=reason))
    return ClipMotion(_with_facts_of(record, first), first.source)


def _with_facts_of(record: ClipRecord, known: ClipRecord) -> ClipRecord:
    names = ("motion", "source_fps", "source_height", "source_width", "crop")
    return dataclasses.replace(record, **{name: getattr(known, name) for name in names})


def clear(folder: str | Path) -> None:
    """Delete what measuring wrote into a folder, and nothing else.

    Raises:
        MotiveError: Something cannot be deleted.
    """
    folder = Path(folder)
    try:
        for name in ("motion.parquet", "motion.html", "motion.yaml"):
            (folder / name).unlink(missing_ok=True)
        if (folder / "motion.lance").exists():
            shutil.rmtree(folder / "motion.lance")
        for place, pattern in ((STRIPS, r"[0-9a-f]{32}\.jpg"), (OVERLAYS, r".*-[0-9a-f]{8}\.mp4")):
            for path in (folder / place).rglob("*"):
                if re.fullmatch(pattern, path.name):
                    path.unlink()
    except OSError as error:
        raise MotiveError(f"{folder}: cannot be cleared ({error}); check permissions") from None

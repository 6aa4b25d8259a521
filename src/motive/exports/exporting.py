"""The steps of every export: check, claim the folder, place the videos, write the lists."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa

from motive.clips import ClipStandard
from motive.errors import ClipError, DatasetError, UsageError
from motive.exports.checks import check_usable, check_videos, check_way, warnings
from motive.exports.folder import claim, identity_of, remove_leftovers, write_record
from motive.exports.names import file_names
from motive.exports.protocol import Export, Format, Item, Placed, Progress, Videos, absolute
from motive.exports.registry import find_format
from motive.exports.videos import facts_in_export, place, suffix_in_export

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Where a selection comes from, for `motive.json` and for tables of scores.

    Attributes:
        facts: Run folder, model, how the selection was made, ...; stored as they are.
        queries: Query id -> its source and caption.
        ranking: One row per scored clip, selected or not; None if there are no scores.
    """

    facts: Mapping[str, Any]
    queries: Mapping[str, Mapping[str, str]]
    ranking: pa.Table | None = None


@dataclass(frozen=True)
class ExportResult:
    """What an export did.

    Attributes:
        out: The folder.
        format: Its format.
        videos: How the videos got there.
        clips: What was written, best first.
        new: Videos written now.
        reused: Videos that were already there (or stay where they are).
        left_out: (source, reason) of every clip that is not in it.
        warnings: What to know before training on it.
        command: Shell lines that start training.
    """

    out: Path
    format: Format
    videos: Videos
    clips: Sequence[Placed]
    new: int
    reused: int
    left_out: list[tuple[str, str]]
    warnings: list[str]
    command: str


def export_clips(
    items: Sequence[Item],
    to: str,
    out: str | os.PathLike[str],
    *,
    standard: ClipStandard,
    videos: Videos | None = None,
    skip_unusable: bool = False,
    per_shard: int = 500,
    source: Source | None = None,
    on_progress: Progress | None = None,
) -> ExportResult:
    """Write clips in the format of a trainer; given again, an interrupted export continues.

    `motive.json` in the folder says what was written, from where, and why each clip was chosen.

    Args:
        items: What to write, best first.
        to: Key of the format, see `FORMATS`.
        out: Folder to write, new or empty, or holding this same export.
        standard: The clip shape that was scored; formats that need frames, rate and size take them
            from here, and `videos="standard"` encodes to it.
        videos: "reference" (lists name the files where they are), "link", "copy", or "standard"
            (cut, re-timed and resized to the frames that were scored); None: the format's usual.
        skip_unusable: Leave clips out whose file is missing, changed or damaged, and name them in
            the result and in `motive.json`, instead of refusing.
        per_shard: Clips per archive, for formats that make archives.
        source: Where the selection comes from.
        on_progress: Called as (stage, done, total).

    Raises:
        UsageError: Nothing to export, an unknown format, clips that the format cannot express in
            this way, or a folder that holds something else. Nothing has been written.
        ClipError: A clip is not usable (and `skip_unusable` is off).
        DatasetError: No clip is usable.
        MotiveError: The disk is full, or the folder cannot be written.
    """
    form = find_format(to)
    how = videos or form.videos[0]
    check_way(form, how)
    if not items:
        raise UsageError("the selection is empty; select at least one clip (motive select --top)")
    if per_shard < 1:
        raise UsageError(f"clips per shard {per_shard}: must be at least 1")
    names = dict(
        zip((i.clip_id for i in items), file_names(items, opaque=form.opaque_names), strict=True)
    )
    folder = absolute(out)
    work = _Work(form, how, folder, standard, per_shard, source or Source({}, {}))
    identity = identity_of(work.description(items))
    claim(folder, identity)
    report = on_progress or (lambda stage, done, total: None)
    usable, left_out = _usable(items, skip_unusable, report)
    check_videos(form, how, usable)
    placed, unopened = work.plan(usable, names, skip_unusable)
    form.check(work.export(placed))
    return work.carry_out(placed, names, identity, left_out | unopened, skip_unusable, report)


def _usable(
    items: Sequence[Item], skip: bool, report: Progress
) -> tuple[list[Item], dict[str, tuple[str, str]]]:
    """The items whose files are there and unchanged, and id -> (source, reason) of the others."""
    good: list[Item] = []
    bad: dict[str, tuple[str, str]] = {}
    for done, item in enumerate(items, start=1):
        try:
            check_usable(item)
            good.append(item)
        except ClipError as error:
            name = item.clip.source.encode("utf-8", "backslashreplace").decode("utf-8")
            bad[item.clip_id] = (name, str(error))
        report("checking clips", done, len(items))
    _refuse_unusable(bad, len(items), skip)
    return good, bad


def _refuse_unusable(bad: Mapping[str, tuple[str, str]], total: int, skip: bool) -> None:
    if not bad:
        return
    reason = next(iter(bad.values()))[1]
    if len(bad) == total:
        raise DatasetError(f"none of {total} clips can be exported; first: {reason}")
    if not skip:
        raise ClipError(
            f"{len(bad)} of {total} clips cannot be exported; first: {reason} "
            "(--skip-unusable exports the others)"
        )


@dataclass(frozen=True)
class _Work:
    """One export with all its settings."""

    form: Format
    videos: Videos
    out: Path
    standard: ClipStandard
    per_shard: int
    source: Source

    def description(self, items: Sequence[Item]) -> dict[str, Any]:
        """What makes another export the same one."""
        return {
            "format": self.form.key,
            "videos": self.videos,
            "standard": vars(self.standard),
            "per_shard": self.per_shard if self.form.pack else None,
            "clips": [[i.clip_id, dict(i.facts), dict(i.scores)] for i in items],
        }

    def plan(
        self, items: Sequence[Item], names: Mapping[str, str], skip: bool
    ) -> tuple[list[Placed], dict[str, tuple[str, str]]]:
        """Where each file will be, and the clips whose file cannot be opened."""
        placed: list[Placed] = []
        bad: dict[str, tuple[str, str]] = {}
        for item in items:
            name = names[item.clip_id]
            try:
                facts = facts_in_export(item, self.videos, self.standard)
            except ClipError as error:
                bad[item.clip_id] = (item.clip.source, str(error))
                continue
            path = self._path(item, name, len(placed))
            placed.append(Placed(item, name, path, facts))
        _refuse_unusable(bad, len(items), skip)
        return placed, bad

    def _path(self, item: Item, name: str, position: int) -> Path:
        if self.videos == "reference":
            return absolute(item.clip.source)
        file = name + suffix_in_export(item, self.videos)
        if self.form.pack is not None:
            return self.out / f"train-{position // self.per_shard:06d}.tar" / file
        return Export(self.out, self.videos, self.standard, ()).folder / file

    def export(self, placed: Sequence[Placed]) -> Export:
        """The export with these clips."""
        return Export(
            self.out,
            self.videos,
            self.standard,
            placed,
            self.per_shard,
            self.source.queries,
            self.source.ranking,
        )

    def carry_out(
        self,
        placed: Sequence[Placed],
        names: Mapping[str, str],
        identity: str,
        left_out: dict[str, tuple[str, str]],
        skip: bool,
        report: Progress,
    ) -> ExportResult:
        """Write everything, `motive.json` first and last."""
        folders = (self.out, self.export(()).folder)
        for folder in folders:
            remove_leftovers(folder, {names[clip_id] for clip_id in left_out})
        write_record(self.out, {**self._head(identity), "complete": False})
        placed, new, failed = self._place(placed, report)
        _refuse_unusable(failed, len(placed) + len(failed), skip)
        export = self.export(placed)
        self.form.write(export)
        notes = warnings(self.form, export)
        left_out = left_out | failed
        write_record(self.out, self._record(identity, export, left_out, notes))
        return ExportResult(
            out=self.out,
            format=self.form,
            videos=self.videos,
            clips=placed,
            new=new,
            reused=len(placed) - new,
            left_out=list(left_out.values()),
            warnings=notes,
            command=self.form.command(export),
        )

    def _place(
        self, placed: Sequence[Placed], report: Progress
    ) -> tuple[list[Placed], int, dict[str, tuple[str, str]]]:
        """Place all videos: (those in place, how many are new, those that failed)."""
        failed: dict[str, tuple[str, str]] = {}
        if self.form.pack is not None:
            shards = {path for path in {c.path.parent for c in placed} if path.is_file()}
            reasons = self.form.pack(self.export(placed), report)
            sources = {clip.item.clip_id: clip.item.clip.source for clip in placed}
            failed = {name: (sources[name], reason) for name, reason in reasons.items()}
            there = [clip for clip in placed if clip.item.clip_id not in failed]
            return there, sum(clip.path.parent not in shards for clip in there), failed
        good: list[Placed] = []
        new = 0
        for done, clip in enumerate(placed, start=1):
            try:
                new += place(clip.item, clip.path, self.videos, self.standard)
                good.append(clip)
            except ClipError as error:
                failed[clip.item.clip_id] = (clip.item.clip.source, str(error))
            report("placing videos", done, len(placed))
        return good, new, failed

    def _head(self, identity: str) -> dict[str, Any]:
        return {
            "format": self.form.key,
            "reader": self.form.name,
            "about": self.form.about,
            "videos": self.videos,
            "written_by": f"motive {metadata.version('motive-video')}",
            "identity": identity,
            "standard": vars(self.standard),
            "from": dict(self.source.facts),
            "queries": {name: dict(facts) for name, facts in self.source.queries.items()},
        }

    def _record(
        self,
        identity: str,
        export: Export,
        left_out: Mapping[str, tuple[str, str]],
        notes: list[str],
    ) -> dict[str, Any]:
        return {
            **self._head(identity),
            "complete": True,
            "command": self.form.command(export),
            "warnings": notes,
            "left_out": [
                {"clip_id": clip_id, "source": source, "reason": reason}
                for clip_id, (source, reason) in left_out.items()
            ],
            "clips": [_entry(export, clip) for clip in export.clips],
        }


def _entry(export: Export, placed: Placed) -> dict[str, Any]:
    """Why one clip is in the export, and which pixels it stands for."""
    clip = placed.item.clip
    return {
        "clip_id": placed.item.clip_id,
        "file": export.listed(placed.path),
        **placed.item.facts,
        "caption": clip.caption,
        "label": clip.label,
        "source": clip.source,
        "start": clip.start,
        "end": clip.end,
        "scores": dict(placed.item.scores),
    }

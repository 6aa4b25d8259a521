"""What becomes of each entry of a data set: a usable clip, a duplicate, or an error.

Invariant: every entry ends in exactly one of the three, and `clips.lance` says in which and why.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motive.clips import Clip, file_digest
from motive.clips.archive import stat_source
from motive.clips.decode import check_span
from motive.clips.source import check_file
from motive.errors import ClipError
from motive.index import ClipRecord, Manifest
from motive.index.manifest import DUPLICATE, ERROR, OK
from motive.runs.prepare import FACTS, Preparer
from motive.runs.several import several_at_once

_LOG = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]  # stage, done, total


@dataclass(frozen=True)
class Entries:
    """A data set, sorted out.

    Attributes:
        usable: Clip id -> record, in the data set's order.
        errors: (source, reason).
        duplicates: (source, source of the same clip).
    """

    usable: dict[str, ClipRecord] = field(default_factory=dict)
    errors: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)


class EntrySorter:
    """Reads entries, prepares the clips that are new, and records what changed.

    Args:
        manifest: Gets one record per entry, and another one only when something changed.
        preparer: Decodes and encodes clips into the cache.
        finished: Ids of clips that need no preparing, because their feature is stored.
    """

    def __init__(self, manifest: Manifest, preparer: Preparer, finished: Collection[str]) -> None:
        self.manifest, self.preparer, self.finished = manifest, preparer, finished
        records = manifest.records()
        self._recorded = {record.key: record for record in records}
        self._digests = Digests(records)

    def sort(self, clips: Sequence[Clip], role: str, progress: Progress) -> Entries:
        """Sort out a data set; `progress` is called after each entry."""
        entries = Entries()
        copies = Counter[tuple[object, ...]]()
        read = several_at_once(
            lambda number: self._read(clips[number], role), len(clips), self.preparer.standard
        )
        for done, (clip, found) in enumerate(zip(clips, read, strict=True), start=1):
            record = dataclasses.replace(found.record, copy=copies[found.record.key])
            copies[found.record.key] += 1
            record = self._sorted(clip, record, found, entries)
            if record != self._recorded.get(record.key):
                self.manifest.append(record)
            progress(f"preparing {role} clips", done, len(clips))
        self.manifest.table.compact()
        return entries

    def _read(self, clip: Clip, role: str) -> _Read:
        """Prepare one entry, whatever the others are; may run beside others."""
        record = new_record(clip, role)
        try:
            check_text(clip)
            check_span(clip)
            record = self._digests.fill_in(record)
            record = dataclasses.replace(record, clip_id=clip_of(record).id)
            return _Read(record, self._facts(record))
        except ClipError as error:
            return _Read(record, {}, error)

    def _sorted(self, clip: Clip, record: ClipRecord, found: _Read, entries: Entries) -> ClipRecord:
        """Put one entry where it belongs; returns its record."""
        if record.clip_id in entries.usable:
            first = entries.usable[record.clip_id].source
            entries.duplicates.append((record.source, first))
            reason = f"{record.source}: same clip and caption as {first}"
            return dataclasses.replace(record, status=DUPLICATE, error=reason)
        if found.error is not None:
            # Without a path only the row can say which entry is meant.
            reason = str(found.error) if clip.source else f"row {clip.row}: {found.error}"
            entries.errors.append((record.source, reason))
            return unusable(record, reason)
        record = dataclasses.replace(record, **found.facts)
        entries.usable[record.clip_id] = record
        return record

    def _facts(self, record: ClipRecord) -> dict[str, Any]:
        old = self._recorded.get(record.key)
        if old and old.status == OK and old.clip_id == record.clip_id in self.finished:
            return {name: getattr(old, name) for name in FACTS}
        facts = self.preparer.prepare(clip_of(record)).facts
        return {name: tuple(v) if isinstance(v, list) else v for name, v in facts.items()}


@dataclass(frozen=True)
class _Read:
    """An entry by itself: its record, facts that a usable one gets, and why it is not usable."""

    record: ClipRecord
    facts: dict[str, Any]
    error: ClipError | None = None


def clip_of(record: ClipRecord) -> Clip:
    """The clip a record was made of."""
    digest = bytes.fromhex(record.digest) if record.digest else None
    return Clip(
        record.source, record.caption, record.start, record.end, record.label, digest=digest
    )


def unusable(record: ClipRecord, reason: str) -> ClipRecord:
    """The record of an entry that cannot be used."""
    _LOG.info("%s", reason)
    clip_id = record.clip_id or f"unreadable-{_digest_of(repr(record.key))}"
    return dataclasses.replace(record, clip_id=clip_id, status=ERROR, error=reason)


class Digests:
    """Digests of files, which are read again only if their size or modification time changed."""

    def __init__(self, records: Iterable[ClipRecord]) -> None:
        self._known = {(r.source, r.size, r.modified_ns): r.digest for r in records if r.digest}

    def fill_in(self, record: ClipRecord) -> ClipRecord:
        """The record with size, time and digest; raises `ClipError` if there is no such file."""
        check_file(record.source)
        stat = stat_source(record.source)
        key = (record.source, stat.size, stat.modified_ns)
        if key not in self._known:
            self._known[key] = file_digest(record.source).hex()
        return dataclasses.replace(record, size=key[1], modified_ns=key[2], digest=self._known[key])


def new_record(clip: Clip, role: str) -> ClipRecord:
    """The record of an entry of which nothing is known yet."""
    source = str(Path(clip.source).absolute()) if clip.source else ""
    return ClipRecord(
        role, "", OK, _storable(source), _storable(clip.caption), clip.label, clip.start, clip.end
    )


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def check_text(clip: Clip) -> None:
    """Refuse what neither tables nor tokenizers can hold: bytes that are not UTF-8."""
    for what, text in (("file name", clip.source), ("caption", clip.caption)):
        if text != _storable(text):
            raise ClipError(f"{_storable(clip.source)}: the {what} is not valid UTF-8; change it")


def _digest_of(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8"), digest_size=10).hexdigest()

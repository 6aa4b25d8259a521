"""What becomes of each entry of a data set: a usable clip, a duplicate, or an error.

Invariant: every entry ends in exactly one of the three, and `clips.lance` says in which and why.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from motive.clips import Clip, file_digest
from motive.clips.source import check_file
from motive.errors import ClipError
from motive.index import ClipRecord, Manifest
from motive.index.manifest import DUPLICATE, ERROR, OK
from motive.runs.prepare import Preparer

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


def sort_entries(
    clips: Collection[Clip],
    role: str,
    manifest: Manifest,
    preparer: Preparer,
    finished: Collection[str],
    progress: Progress,
) -> Entries:
    """Read every entry, prepare the clips that are new, and record what changed.

    Args:
        clips: The data set.
        role: "train" or "query".
        manifest: Gets one record per entry; entries already recorded are not recorded again.
        preparer: Decodes and encodes clips into the cache.
        finished: Ids of clips that need no preparing, because their feature is stored.
        progress: Called after each entry.
    """
    records = manifest.records()
    recorded = {record.key: record for record in records}
    digests = _Digests(records)
    entries, seen = Entries(), Counter[tuple[object, ...]]()
    for done, clip in enumerate(clips, start=1):
        record = _new_record(clip, role)
        record = dataclasses.replace(record, copy=seen[record.key])
        seen[dataclasses.replace(record, copy=0).key] += 1
        old = recorded.get(record.key)
        record = _sort_one(record, old, digests, entries, preparer, finished)
        if record != old:
            manifest.append(record)
        progress(f"preparing {role} clips", done, len(clips))
    manifest.table.compact()
    return entries


def clip_of(record: ClipRecord) -> Clip:
    """The clip a record was made of."""
    digest = bytes.fromhex(record.digest) if record.digest else None
    return Clip(
        record.source, record.caption, record.start, record.end, record.label, digest=digest
    )


def _sort_one(
    record: ClipRecord,
    old: ClipRecord | None,
    digests: _Digests,
    entries: Entries,
    preparer: Preparer,
    finished: Collection[str],
) -> ClipRecord:
    """Put one entry where it belongs; returns its record."""
    try:
        record = digests.fill_in(_checked_text(record))
        clip = clip_of(record)
        record = dataclasses.replace(record, clip_id=clip.id)
        first = entries.usable.get(clip.id)
        if first is not None:
            entries.duplicates.append((record.source, first.source))
            reason = f"{record.source}: same clip and caption as {first.source}"
            return dataclasses.replace(record, status=DUPLICATE, error=reason)
        if clip.id in finished and old and (old.status, old.clip_id) == (OK, clip.id):
            facts = {n: getattr(old, n) for n in (*preparer.FACTS,)}
        else:
            facts = preparer.prepare(clip).facts
    except ClipError as error:
        record = failed(record, str(error))
        entries.errors.append((record.source, record.error or ""))
        return record
    record = dataclasses.replace(
        record, **{name: tuple(v) if isinstance(v, list) else v for name, v in facts.items()}
    )
    entries.usable[record.clip_id] = record
    return record


def failed(record: ClipRecord, reason: str) -> ClipRecord:
    """The record of an entry that turned out unusable."""
    _LOG.info("%s", reason)
    return dataclasses.replace(
        record, status=ERROR, error=reason, clip_id=record.clip_id or _unreadable_id(record)
    )


def _new_record(clip: Clip, role: str) -> ClipRecord:
    source = str(Path(clip.source).absolute()) if clip.source else ""
    return ClipRecord(role, "", OK, source, clip.caption, clip.label, clip.start, clip.end)


def _checked_text(record: ClipRecord) -> ClipRecord:
    """Refuse names and captions that no table or tokenizer can hold (bytes that are not UTF-8)."""
    for what, text in (("file name", record.source), ("caption", record.caption)):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise ClipError(f"{_readable(record.source)}: the {what} is not valid UTF-8") from None
    return record

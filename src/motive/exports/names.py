"""File names that every trainer, archive and file system takes.

Invariant: names are unique, ASCII letters, digits, "-" and "_" only, and depend on the clip alone:
not on its rank, so that a trainer's cache of another selection never passes for this one's.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from motive.errors import UsageError
from motive.exports.protocol import Item

_LONGEST = 60  # characters kept of the source's own name; file systems stop at 255 bytes
_SHORT_ID = 12  # hex digits: a clash among a million clips has a chance of 1 in 500


def file_names(items: Sequence[Item], *, opaque: bool = False) -> list[str]:
    """The stem of each item's files, in order.

    The source's own name and the clip id, or the id alone (`opaque`). Windows' reserved names,
    hidden names and look-alikes that differ in case only cannot come out.

    Raises:
        UsageError: A clip id is no name, or is there twice.
    """
    for item in items:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", item.clip_id):
            raise UsageError(
                f"clip id {item.clip_id!r}: letters, digits, - and _ only, at most 128"
            )
    twice = [
        name for name, times in Counter(i.clip_id.casefold() for i in items).items() if times > 1
    ]
    if twice:
        raise UsageError(f"clip {twice[0]}: is in the selection twice; remove one of its rows")
    if opaque:
        return [item.clip_id for item in items]
    names = [_name(item, _SHORT_ID) for item in items]
    if len({name.casefold() for name in names}) < len(names):
        names = [_name(item, None) for item in items]
    return names


def _name(item: Item, digits: int | None) -> str:
    return f"{plain(Path(item.clip.source).stem)}-{item.clip_id[:digits]}"


def plain(text: str) -> str:
    """A text as plain letters and digits, or "clip" if it has none.

    Example:
        >>> plain("Élan  n° 3 (final).v2"), plain("旋转的硬币"), plain("../../etc")
        ('Elan_n_3_final_v2', 'clip', 'etc')
    """
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9-]+", "_", letters)[:_LONGEST].strip("_-") or "clip"

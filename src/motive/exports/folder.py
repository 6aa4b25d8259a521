"""The output folder: one export each, begun, continued, or refused; and `motive.json` in it.

Invariant: a folder never holds clips of two exports. `motive.json` names the export from its first
file on, so the same command continues it and any other is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from motive.errors import UsageError
from motive.exports.texts import write_json

RECORD = "motive.json"
_PARTIAL = re.compile(r"\.[0-9a-f]{12}(\.\w+)?")  # what `whole_file` leaves when it is killed


def identity_of(description: Mapping[str, Any]) -> str:
    """Hex digest of what makes two exports the same."""
    text = json.dumps(description, sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()


def claim(out: Path, identity: str) -> bool:
    """Whether `out` already holds (part of) this export; it may also be new or empty.

    Raises:
        UsageError: It holds something else.
    """
    if not out.exists():
        if out.is_symlink():
            raise UsageError(f"{out}: is a link to nothing; give another folder")
        return False
    if not out.is_dir():
        raise UsageError(f"{out}: is a file; give a folder")
    try:
        record = json.loads((out / RECORD).read_text("utf-8"))
    except FileNotFoundError:
        if any(True for path in out.iterdir() if not _PARTIAL.fullmatch(path.name)):
            raise UsageError(
                f"{out}: is not empty and holds no export of motive; give a new or empty folder"
            ) from None
        return False
    except (OSError, ValueError):
        raise UsageError(f"{out / RECORD}: cannot be read; give a new or empty folder") from None
    if isinstance(record, dict) and record.get("identity") == identity:
        return True
    what = f"{record.get('format')}, {record.get('videos')}" if isinstance(record, dict) else "?"
    raise UsageError(
        f"{out}: holds another export ({what}); give a new or empty folder, or delete this one"
    )


def write_record(out: Path, record: Mapping[str, Any]) -> None:
    """Write `motive.json`.

    Raises:
        MotiveError: It cannot be written.
    """
    write_json(out / RECORD, record, ascii_only=False)


def remove_leftovers(folder: Path, names: set[str]) -> None:
    """Delete unfinished files of a killed export, and the files of these stems."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        ours = path.stem in names and (path.is_symlink() or path.is_file())
        if ours or _PARTIAL.fullmatch(path.name):
            with suppress(FileNotFoundError):
                path.unlink()

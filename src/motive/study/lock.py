"""At most one server per study.

Invariant: the operating system holds the lock, so a killed server frees it at once and no stale
file ever has to be deleted by hand.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from motive.errors import MotiveError, UsageError

_LOCK = "serving.lock"
_FACTS = "serving.json"  # for the message alone: who holds the lock


@contextmanager
def only_server(folder: Path, address: str) -> Iterator[None]:
    """Hold a study while it is served at an address.

    Raises:
        UsageError: Another server holds it; the message says where.
        MotiveError: The folder cannot be written.
    """
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"{folder}: is being served already{_by_whom(folder)}; use that one, or stop it first"
        ) from None
    except OSError as error:
        raise MotiveError(
            f"{folder}: cannot be locked ({error.strerror or error}); check its permissions"
        ) from None
    try:
        (folder / _FACTS).write_text(json.dumps({"address": address, "process": os.getpid()}))
        yield
    finally:
        lock.release()


def _by_whom(folder: Path) -> str:
    """The other server's address and process, as far as it has told them."""
    try:
        facts = json.loads((folder / _FACTS).read_text("utf-8"))
        return f" at {facts['address']} (process {facts['process']})"
    except (OSError, ValueError, KeyError):
        return ""

"""Digests of model files: what a fingerprint says about weights without loading them."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from motive.errors import ModelError

_CHUNK = 1 << 22
_IGNORED = {".gitattributes", "README.md", ".DS_Store"}


def component_digest(folder: Path) -> str:
    """16 hex digits from the names and bytes of every file in a component folder.

    Files are read once per process (about a second per gigabyte).

    Raises:
        ModelError: The folder holds no files or cannot be read.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name not in _IGNORED and not path.name.startswith(".")
    )
    if not files:
        raise ModelError(f"{folder}: empty component folder; download the model again")
    digest = hashlib.blake2b(digest_size=8)
    for path in files:
        stat = path.stat()
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(_file_digest(path, stat.st_size, stat.st_mtime_ns))
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """16 hex digits from the bytes of one file.

    Raises:
        ModelError: It cannot be read.
    """
    stat = path.stat()
    return _file_digest(path, stat.st_size, stat.st_mtime_ns).hex()[:16]


@lru_cache(maxsize=4096)
def _file_digest(path: Path, size: int, modified: int) -> bytes:
    """Digest of one file; size and modification time only key the memo."""
    digest = hashlib.blake2b(digest_size=32)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    return digest.digest()

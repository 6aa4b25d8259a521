"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from motive.errors import MotiveError


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write beside the target, and rename it there when the block ends without an error.

    The temporary name is hidden and unique, keeps the suffix (writers look at it), and is gone
    afterwards, whatever happened. The target's folder is made if missing.

    Raises:
        MotiveError: The disk is full or the file cannot be written; an old file stays as it was.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a" / "numbers.txt"
        >>> with whole_file(target) as partial:
        ...     _ = partial.write_text("1 2 3")
        >>> target.read_text(), len(list(target.parent.iterdir()))
        ('1 2 3', 1)
    """
    target = Path(path)
    partial = target.with_name(f".{uuid.uuid4().hex[:12]}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, target)
    except OSError as error:  # FFmpeg's and Arrow's own errors are OSErrors too
        raise write_error(target, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Fill a folder beside the target, and move it there when the block ends without an error.

    Raises:
        MotiveError: It cannot be written; an old folder stays as it was.
    """
    partial = target.with_name(f".{target.name}.partial")
    old = target.with_name(f".{target.name}.old")
    try:
        for folder in (partial, old):
            shutil.rmtree(folder, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        if target.exists():
            os.replace(target, old)
        os.replace(partial, target)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        if old.exists() and not target.exists():
            os.replace(old, target)
        raise write_error(target, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_error(path: Path, error: OSError) -> MotiveError:
    """One line for a failed write, with the full disk named as such."""
    text = error.strerror or str(error)
    if error.errno == errno.ENOSPC or "No space left" in str(error):
        return MotiveError(
            f"{path}: the disk is full; free some space and run the same command again, nothing "
            "already written is lost"
        )
    return MotiveError(
        f"{path}: cannot be written ({text.splitlines()[0]:.160}); check free space and permissions"
    )

"""Files inside an uncompressed tar archive, read in place: `shard.tar/000017.mp4` is a path.

Invariant: nothing is ever unpacked, so a member's name cannot make MOTIVE write anywhere, and a
shard of any size costs no disk and no memory beyond the member that is being read.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from motive.errors import ClipError, DatasetError

TAR = ".tar"


class SourceStat(NamedTuple):
    """Size in bytes and modification time in nanoseconds of a file or archive member."""

    size: int
    modified_ns: int


def archive_and_member(path: str | os.PathLike[str]) -> tuple[Path, str] | None:
    """(archive, member name) of a path that leads into a tar file; None for any other path."""
    parts = Path(path).parts
    for depth, part in enumerate(parts[:-1], start=1):
        if part.lower().endswith(TAR):
            archive = Path(*parts[:depth])
            if archive.is_file():
                return archive, "/".join(parts[depth:])
    return None


def stat_source(path: str | os.PathLike[str]) -> SourceStat:
    """Size and time of a video file, wherever it lies; a member has the time of its archive.

    Raises:
        ClipError: There is no such member.
        OSError: There is no such file.
    """
    inside = archive_and_member(path)
    if inside is None:
        facts = os.stat(path)
        return SourceStat(facts.st_size, facts.st_mtime_ns)
    return SourceStat(_find(*inside).size, os.stat(inside[0]).st_mtime_ns)


@contextmanager
def open_source(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a video file for reading bytes, or a member of an archive as if it were one.

    Raises:
        ClipError: There is no such member, or the archive cannot be read.
        OSError: The file cannot be opened.
    """
    inside = archive_and_member(path)
    if inside is None:
        with open(path, "rb") as file:
            yield file
        return
    member = _find(*inside)
    with open(inside[0], "rb") as file:
        yield io.BufferedReader(_Window(file, member.offset_data, member.size, os.fspath(path)))


def tar_members(archive: Path) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """Regular files of an uncompressed tar, in their order; only headers are read.

    Raises:
        DatasetError: The archive is compressed, damaged, or not a tar file, or a name leads out of
            it.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                if member.isreg() and not member.issparse():
                    _check_name(archive, member.name)
                    yield member, tar
    except tarfile.TarError as error:
        raise DatasetError(
            f"{archive}: not an uncompressed tar archive, or damaged ({error}); unpack or download "
            "it again"
        ) from None


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise DatasetError(f"{archive}: member {name!r} leads out of the archive; do not trust it")


def _find(archive: Path, name: str) -> tarfile.TarInfo:
    try:
        for member, _ in tar_members(archive):
            if _normal(member.name) == name:
                return member
    except DatasetError as error:
        raise ClipError(str(error)) from None
    raise ClipError(f"{archive}/{name}: the archive holds no such file; check the data set")


def _normal(name: str) -> str:
    return PurePosixPath(name).as_posix()  # "./a.mp4" is "a.mp4"


class _Window(io.RawIOBase):
    """A stretch of an open file as a file of its own."""

    def __init__(self, file: BinaryIO, start: int, size: int, name: str) -> None:
        self.file, self.start, self.size, self.name = file, start, size, name
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        self.position = max(0, origin + offset)
        return self.position

    def tell(self) -> int:
        return self.position

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001
        wanted = min(len(buffer), max(0, self.size - self.position))
        self.file.seek(self.start + self.position)
        data = self.file.read(wanted)
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

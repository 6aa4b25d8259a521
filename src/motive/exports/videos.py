"""Bring one video into an export: by reference, as a link, as a copy, or cut to the clip standard.

Invariant: a file of an export is there whole or not at all, and one that is there is not made
again.
"""

from __future__ import annotations

import os
from pathlib import Path

from motive.clips import ClipStandard, VideoFacts, decode_clip, probe, write_mp4
from motive.clips.archive import archive_and_member, open_source, stat_source
from motive.errors import ClipError, MotiveError
from motive.exports.protocol import Item, Videos, absolute
from motive.files import whole_file

_CHUNK = 1 << 20  # bytes copied at a time


def suffix_in_export(item: Item, videos: Videos) -> str:
    """The suffix of the file, in lower case."""
    return ".mp4" if videos == "standard" else Path(item.clip.source).suffix.lower()


def facts_in_export(item: Item, videos: Videos, standard: ClipStandard) -> VideoFacts:
    """Facts of the file that the trainer will open.

    Raises:
        ClipError: The source cannot be opened.
    """
    if videos != "standard":
        return probe(item.clip.source)
    return VideoFacts(
        fps=standard.fps,
        frames=standard.frames,
        duration=standard.frames / standard.fps,
        height=standard.height + standard.height % 2,  # H.264 wants even sizes
        width=standard.width + standard.width % 2,
        codec="h264",
    )


def place(item: Item, path: Path, videos: Videos, standard: ClipStandard) -> bool:
    """Put one video at `path`; False if it is already there.

    Raises:
        ClipError: The source cannot be read or decoded.
        MotiveError: The file cannot be written.
    """
    source = item.clip.source
    if videos == "reference":
        return False
    if videos == "link":
        return _link(absolute(source), path)
    if videos == "copy":
        if path.is_file() and path.stat().st_size == stat_source(source).size:
            return False
        with whole_file(path) as partial:
            _copy(source, partial)
        return True
    if path.is_file():
        return False
    write_standard(item, path, standard)
    return True


def write_standard(item: Item, path: Path, standard: ClipStandard) -> None:
    """Write exactly the frames that were scored, as an mp4 of the standard's rate and size."""
    write_mp4(path, decode_clip(item.clip, standard).pixels, standard.fps)


def lies_in_archive(item: Item) -> bool:
    """Whether the source is a member of a tar, which a trainer cannot open by its path."""
    return archive_and_member(item.clip.source) is not None


def _link(source: Path, path: Path) -> bool:
    if path.is_symlink() and os.readlink(path) == str(source):
        return False
    with whole_file(path) as partial:
        try:
            os.symlink(source, partial)
        except OSError as error:
            raise MotiveError(
                f"{path}: cannot make a link here ({error.strerror or error}); use --videos copy"
            ) from None
    return True


def _copy(source: str, partial: Path) -> None:
    wanted, copied = stat_source(source).size, 0
    with open_source(source) as file, partial.open("wb") as out:
        while True:
            try:
                chunk = file.read(_CHUNK)
            except OSError as error:
                raise ClipError(f"{source}: cannot be read ({error.strerror})") from None
            if not chunk:
                break
            out.write(chunk)
            copied += len(chunk)
    if copied != wanted:
        raise ClipError(f"{source}: changed while it was copied; run the same command again")

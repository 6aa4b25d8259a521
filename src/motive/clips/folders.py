"""Videos in folders, captions in text files beside them, and text in whatever encoding."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from motive.clips.clip import Clip

_log = logging.getLogger(__name__)

# fmt: off
VIDEO_SUFFIXES = frozenset((
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts",
    ".wmv", ".asf", ".flv", ".f4v", ".ogv", ".3gp", ".gif", ".vob", ".y4m", ".mxf",
))
# fmt: on


def with_captions(videos: Iterable[Path], source: Path, suffix: str = ".txt") -> list[Clip]:
    """Videos as clips; the caption is the text file of the same stem, on one line, or ""."""
    clips, guessed = [], 0
    for video in videos:
        file, text, encoding = video.with_name(video.stem + suffix), "", None
        if file.is_file():
            text, encoding = read_text(file)
        guessed += encoding is not None
        clips.append(Clip(str(video), " ".join(text.split())))
    if guessed:
        _log.warning("%s: %d caption files are not UTF-8; read as cp1252", source, guessed)
    return clips


def videos_under(folder: Path) -> Iterator[Path]:
    """Video files below a folder; links are followed once, hidden names are skipped."""
    seen = set()

    def complain(error: OSError) -> None:
        _log.warning("%s: folder skipped (%s)", error.filename, error.strerror)

    for root, folders, files in os.walk(folder, followlinks=True, onerror=complain):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES:
                yield Path(root, name)


def warn_of_unnamed(clips: Iterable[Clip], folder: Path, lists: str) -> None:
    """Say how many videos below a folder its lists do not name, since they are left out."""
    named = {os.path.abspath(clip.source) for clip in clips}
    unnamed = sum(os.path.abspath(video) not in named for video in videos_under(folder))
    if unnamed:
        _log.warning("%s: %d videos are not named in %s and left out", folder, unnamed, lists)


def read_text(path: Path) -> tuple[str, str | None]:
    """A text file's content, and the encoding if it had to be guessed."""
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", "replace")
        return text, "broken UTF-16" if "\ufffd" in text else None
    try:
        return data.decode("utf-8-sig"), None
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"

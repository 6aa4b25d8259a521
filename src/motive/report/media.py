"""Brings the clips of a report into its `media` folder, each once.

Invariant: a media file is named by the digest of its bytes, so the same video shown under twenty
queries is one file, and building the same report twice gives the same folder.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from motive.clips.clip import file_digest
from motive.errors import ClipError

_LOG = logging.getLogger(__name__)

#: Clips whose longer side is at most this many pixels are enlarged without smoothing.
TINY_PIXELS = 128
#: Posters are at most this wide or high; they stand in until a video has loaded.
POSTER_PIXELS = 480


@dataclass(frozen=True)
class MediaFile:
    """A video inside the report, or the reason why there is none.

    Attributes:
        url: Path relative to the page; None if the video could not be brought in.
        poster: First frame, relative to the page; None if it cannot be decoded here.
        width: Pixels, 0 if unknown.
        height: Pixels, 0 if unknown.
        problem: What to show in place of the video.
    """

    url: str | None
    poster: str | None = None
    width: int = 0
    height: int = 0
    problem: str = ""

    @property
    def tiny(self) -> bool:
        """True if enlarging should keep the pixels sharp."""
        return 0 < max(self.width, self.height) <= TINY_PIXELS


class MediaFolder:
    """Copies videos into one folder under content-derived names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Path, MediaFile] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, video: Path) -> MediaFile:
        """Copy `video` in (once) and take its first frame as poster.

        A missing, empty or unreadable source is not an error here: the page shows a placeholder
        with the reason, because one lost file must not cost the reader the whole report.

        Raises:
            OSError: The report's folder cannot be written.
        """
        key = video.absolute()
        if key not in self._known:
            self._known[key] = self._bring(video)
        return self._known[key]

    def _bring(self, video: Path) -> MediaFile:
        try:
            name = file_digest(video).hex()[:24]
        except ClipError as error:
            _LOG.warning("report: %s", error)
            return MediaFile(url=None, problem=_short_reason(video, error))
        target = self._folder / f"{name}{_safe_suffix(video)}"
        if not target.exists():
            shutil.copyfile(video, target)
        frame = _first_frame(target)
        relative = f"{self._folder.name}/{target.name}"
        if frame is None:
            _LOG.warning("report: %s: no frame can be decoded for its poster", video)
            return MediaFile(url=relative)
        poster = _write_poster(frame, self._folder / name)
        height, width = frame.shape[:2]
        return MediaFile(relative, f"{self._folder.name}/{poster.name}", width, height)


def _safe_suffix(video: Path) -> str:
    """The suffix tells the browser the container; anything odd in it must not reach the page."""
    suffix = video.suffix.lower()
    return suffix if suffix[1:].isalnum() and suffix.isascii() else ".mp4"


def _short_reason(video: Path, error: ClipError) -> str:
    """The error without the path, which may be long; the placeholder shows the name beside it."""
    text = str(error)
    return text.removeprefix(f"{video}: ").split(";")[0]


def _first_frame(video: Path) -> np.ndarray | None:
    """uint8 "h w 3" RGB of the first frame, or None if FFmpeg finds none."""
    try:
        with av.open(str(video)) as container:
            for frame in container.decode(video=0):
                return frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, IndexError, ValueError):
        # Browsers may still play it; if not, the page says so where the video would be.
        return None
    return None


def _write_poster(frame: np.ndarray, stem: Path) -> Path:
    height, width = frame.shape[:2]
    scale = POSTER_PIXELS / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    # PNG keeps the pixels of tiny clips exact; JPEG keeps large ones small.
    suffix = ".png" if max(height, width) <= TINY_PIXELS else ".jpg"
    poster = stem.with_suffix(suffix)
    _, encoded = cv2.imencode(suffix, np.ascontiguousarray(frame[:, :, ::-1]))
    poster.write_bytes(encoded.tobytes())
    return poster

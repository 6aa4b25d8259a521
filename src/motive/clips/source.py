"""Open a video file, or say in one line why that cannot be done.

Invariant: only plain local video files, or members of a plain tar, are opened. Addresses,
playlists, folders, images and text are refused by name, before FFmpeg can make something of them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from motive.clips.archive import archive_and_member, open_source, stat_source
from motive.clips.geometry import display_matrix, is_turned
from motive.errors import ClipError

# FFmpeg also "decodes" these; a data set entry of such a kind is a mistake, or a text file that
# makes FFmpeg open other files and addresses.
_NOT_VIDEO = {"tty", "bin", "xbin", "adf", "idf", "hls", "concat", "dash", "lavfi", "image2"}


@dataclass(frozen=True)
class VideoFacts:
    """What a video file says about itself.

    Attributes:
        fps: Average frames per second; 0 when the container has none.
        frames: Number of frames the container declares; None when it declares none.
        duration: Seconds; None when the container declares none.
        height: Pixels as displayed, after rotation.
        width: Pixels as displayed, after rotation (stored pixels: `pixel_aspect` not applied).
        codec: FFmpeg's short codec name, such as "h264".
        pixel_aspect: Width of a pixel over its height, after rotation (1 for square pixels).
    """

    fps: float
    frames: int | None
    duration: float | None
    height: int
    width: int
    codec: str
    pixel_aspect: float = 1.0


def probe(path: str | os.PathLike[str]) -> VideoFacts:
    """Facts of a video file, from its header and its first frame.

    Raises:
        ClipError: The file is missing, empty, not a video, or its first frame cannot be decoded.
    """
    with open_video(path) as (container, stream):
        try:
            frame = next(container.decode(stream), None)
        except av.FFmpegError as error:
            raise ClipError(damaged(path, 0.0, error)) from None
        if frame is None:
            raise ClipError(f"{path}: holds no video frame; download or export it again")
        matrix = display_matrix(frame)
        turned = is_turned(matrix)
        aspect = pixel_aspect(stream)
        return VideoFacts(
            fps=average_fps(stream),
            frames=stream.frames or None,
            duration=declared_duration(container, stream),
            height=frame.width if turned else frame.height,
            width=frame.height if turned else frame.width,
            codec=stream.codec_context.name,
            pixel_aspect=1 / aspect if turned else aspect,
        )


@contextmanager
def open_video(
    path: str | os.PathLike[str],
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The file's container and its first video stream, closed on exit."""
    name = os.fspath(path)
    check_file(name)
    if archive_and_member(name) is None:
        # An absolute path is never taken for a protocol ("a:b.mp4").
        with _opened(name, os.path.abspath(name)) as opened:
            yield opened
    else:
        with open_source(name) as file, _opened(name, file) as opened:
            yield opened


@contextmanager
def _opened(name: str, file: str | BinaryIO) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        # The whitelist keeps playlist-like files from opening addresses.
        container = av.open(file, mode="r", options={"protocol_whitelist": "file"})
    except av.FFmpegError as error:
        if isinstance(error, PermissionError):
            raise ClipError(f"{name}: cannot be opened; check its permissions") from None
        raise ClipError(
            f"{name}: not a video that FFmpeg can read (corrupt, truncated or another kind of "
            "file); download or export it again"
        ) from None
    with container:
        kinds = set(container.format.name.split(","))
        if kinds & _NOT_VIDEO or container.format.name.endswith("_pipe"):
            raise ClipError(
                f"{name}: not a video (FFmpeg sees {container.format.name}); list video files only"
            )
        if not container.streams.video:
            what = "only sound" if container.streams.audio else "no video stream"
            raise ClipError(f"{name}: holds {what}; list video files only")
        stream = _main_stream(container)
        if stream.codec_context is None:
            raise ClipError(f"{name}: this FFmpeg cannot decode its codec; convert it to H.264")
        # With several threads FFmpeg sometimes loses the mark on a damaged picture; clips, not
        # frames, are what is worth doing in parallel.
        stream.thread_type = "NONE"
        yield container, stream


def _main_stream(container: InputContainer) -> VideoStream:
    """The stream a player shows, rather than cover art."""
    best = container.streams.best("video")
    return best if isinstance(best, VideoStream) else container.streams.video[0]


def check_file(name: str) -> None:
    """Raise a `ClipError` that says why the path is not a file that can be read."""
    if not name:
        raise ClipError("no video path given; fill in the video column")
    if "://" in name:
        raise ClipError(f"{name}: is an address, not a file; download it and give its local path")
    if archive_and_member(name) is not None:
        if stat_source(name).size == 0:
            raise ClipError(f"{name}: empty file (0 bytes); make the archive again")
        return
    try:
        facts = os.stat(name)
    except FileNotFoundError:
        raise ClipError(f"{name}: file not found; check the path in the data set") from None
    except (OSError, ValueError) as error:
        raise ClipError(f"{name!r}: cannot be read ({error}); check path and permissions") from None
    if stat.S_ISDIR(facts.st_mode):
        raise ClipError(f"{name}: is a folder; give a video file")
    if not stat.S_ISREG(facts.st_mode):
        raise ClipError(f"{name}: is not a regular file; give a video file")
    if facts.st_size == 0:
        raise ClipError(f"{name}: empty file (0 bytes); download or export it again")


def average_fps(stream: VideoStream) -> float:
    """Frames per second of a stream; 0 when unknown."""
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else 0.0


def pixel_aspect(stream: VideoStream) -> float:
    """Width over height of one stored pixel; 1 when unknown."""
    ratio = stream.sample_aspect_ratio
    return float(ratio) if ratio and ratio > 0 else 1.0


def declared_duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds that the stream, or else the container, promises; None when unknown."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def damaged(path: str | os.PathLike[str], time: float, error: Exception | None) -> str:
    """The message for a video that breaks at `time` (seconds)."""
    reason = "" if error is None else f" ({getattr(error, 'strerror', None) or error})"
    return f"{path}: damaged at {time:.2f} s{reason}; download or export it again"

"""What a clip is, before and after decoding.

Invariant: a clip's id depends on the video's bytes, its time span and its caption, and on nothing
else (not its path, its order, or when it was read), so features can be cached and compared by id.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from motive.clips.archive import open_source
from motive.clips.source import check_file
from motive.errors import ClipError, UsageError

_CHUNK = 1 << 20  # bytes read at a time while hashing


@dataclass(frozen=True)
class ClipStandard:
    """The shape every clip is brought to before anything is measured (method §4).

    Standardising length, rate and size is what removes the frame-length bias of raw gradients.

    Attributes:
        frames: Number of frames, 4k+1 for Wan's causal VAE (frame 0 alone, then groups of 4).
        fps: Frames per second at which the source is sampled, by timestamp.
        height: Pixels; the source is resized to cover and then centre-cropped.
        width: Pixels.
    """

    frames: int = 81
    fps: float = 16.0
    height: int = 480
    width: int = 832

    def __post_init__(self) -> None:
        if self.frames < 2:
            raise UsageError(f"frames={self.frames}: motion needs at least 2 frames")
        if not 0 < self.fps < math.inf:
            raise UsageError(f"fps={self.fps}: must be positive")
        if self.height < 1 or self.width < 1:
            raise UsageError(f"size {self.width}x{self.height}: must be positive")

    def changed(
        self,
        frames: int | None = None,
        fps: float | None = None,
        height: int | None = None,
        width: int | None = None,
    ) -> ClipStandard:
        """A copy with the values that are not None."""
        asked = {"frames": frames, "fps": fps, "height": height, "width": width}
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        return replace(self, **given)

    @property
    def seconds(self) -> float:
        """Time between the first and the last sampled frame, in seconds."""
        return (self.frames - 1) / self.fps


@dataclass(frozen=True)
class Provenance:
    """Exactly which source pixels a standardised clip was made of.

    Attributes:
        frame_times: Presentation time in seconds of the source frame used for each output frame.
        source_fps: Average frame rate of the source stream (0 when the container has none).
        source_height: Pixels, as displayed (after rotation).
        source_width: Pixels, as displayed (after rotation).
        crop: (top, left, height, width) of the source rectangle that was kept, in source pixels.
        fps: Sampling rate of the output.
        repeated_frames: How many output frames show the same source frame as the one before.
    """

    frame_times: tuple[float, ...]
    source_fps: float
    source_height: int
    source_width: int
    crop: tuple[float, float, float, float]
    fps: float
    repeated_frames: int = 0


@dataclass(frozen=True)
class DecodedClip:
    """Standardised pixels of one clip.

    Attributes:
        pixels: uint8 "f h w 3", RGB.
        provenance: Where the pixels came from.
    """

    pixels: torch.Tensor
    provenance: Provenance


@dataclass(frozen=True)
class Clip:
    """One training or query clip: a span of a video file and its caption.

    Attributes:
        source: Path of the video file.
        caption: Text the model is conditioned on; empty if there is none.
        start: Start of the span in seconds.
        end: End of the span in seconds; None means the end of the file.
        label: Ground-truth motion name where the data set knows it (MotionZoo), else None.
        row: Where the entry stood in its list (line or row number), for error messages.
        extra: Other columns of the data set row, kept as they were.
        digest: `file_digest` of the source where it is already known; the id then needs no reading.
    """

    source: str
    caption: str = ""
    start: float = 0.0
    end: float | None = None
    label: str | None = None
    row: int | None = None
    extra: dict[str, Any] = field(default_factory=dict, compare=False)
    digest: bytes | None = field(default=None, compare=False, repr=False)

    @cached_property
    def id(self) -> str:
        """32 hex digits from the file's bytes, the span and the caption.

        Raises:
            ClipError: The file is missing, empty, or cannot be read.
        """
        digest = hashlib.blake2b(digest_size=16)
        digest.update(self.digest or file_digest(self.source))
        digest.update(repr((float(self.start), self.end)).encode())
        digest.update(self.caption.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    @property
    def name(self) -> str:
        """File name, for tables and messages."""
        return Path(self.source).name


def file_digest(path: str | os.PathLike[str]) -> bytes:
    """BLAKE2b digest (32 bytes) of a file's bytes.

    Raises:
        ClipError: The file is missing, empty, or cannot be read.
    """
    check_file(os.fspath(path))  # a pipe would be read forever
    digest = hashlib.blake2b(digest_size=32)
    try:
        with open_source(path) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise ClipError(f"{path}: cannot be read ({error.strerror}); check permissions") from None
    return digest.digest()

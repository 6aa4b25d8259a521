"""Read any video that FFmpeg reads and bring it to one standard, frame by frame.

Invariant: which source frame stands for an output time depends on timestamps alone, never on frame
numbers, so variable frame rates, dropped frames and seeking cannot shift a clip in time; and every
output pixel can be traced to its source frame and rectangle through `Provenance`.

The rule: output frame i shows the source frame that a player shows at time start + i / fps, that
is, the last one whose timestamp is not later (one tick of slack for containers that round
timestamps, such as Matroska's milliseconds). Time 0 is the first video frame. A frame lasts at
least one output interval, so a file of exactly `frames` frames at the standard's rate is enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Literal

import av
import numpy as np
import torch
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from motive.clips.clip import Clip, ClipStandard, DecodedClip, Provenance, file_digest
from motive.clips.geometry import (
    display_matrix,
    fit_to_cover,
    is_turned,
    oriented,
    resize_and_crop,
)
from motive.clips.source import (
    average_fps,
    damaged,
    declared_duration,
    open_video,
    pixel_aspect,
)
from motive.errors import ClipError, UsageError

_EPSILON = 1e-6  # seconds; float rounding of timestamps, far below any frame interval
_WORTH_THREADS = 1 << 17  # pixels; smaller frames are converted before threads have started

UNREADABLE_SPAN = "unreadable_span"  # key in `Clip.extra` that a reader sets for a bad time column


def decode_clip(
    clip: Clip, standard: ClipStandard, *, short: Literal["error", "repeat"] = "error"
) -> DecodedClip:
    """Decode one clip to the standard's frames, rate and size.

    Only the frames that are kept are resized and held; decoding starts at the key frame before the
    span and stops as soon as the last output frame is known. A source slower than the standard
    shows frames more than once, which `Provenance.repeated_frames` counts.

    Args:
        clip: The video file and the span [start, end) in seconds.
        standard: Frames, rate and size wanted.
        short: What to do with a span that is too short: "error", or "repeat" its last frame.

    Returns:
        Pixels (uint8 "f h w 3", RGB) and where they came from. `frame_times` count from the first
        video frame of the file, in seconds.

    Raises:
        ClipError: The file cannot be read, is no video, is damaged within the span, or is too
            short. The message is one line.
        UsageError: `short` is neither "error" nor "repeat".
    """
    if short not in ("error", "repeat"):
        raise UsageError(f"short={short!r}: must be 'error' or 'repeat'")
    check_span(clip)
    picker = _pick_frames(clip, standard)
    if picker.error is not None and picker.filled < standard.frames:
        raise ClipError(damaged(clip.source, picker.last_time, picker.error))
    if picker.filled < standard.frames:
        if short == "error" or picker.filled == 0:
            raise ClipError(picker.too_short())
        picker.repeat_last()
    if picker.damaged_at is not None:
        raise ClipError(damaged(clip.source, picker.damaged_at, None))
    times = picker.times
    provenance = Provenance(
        frame_times=tuple(times),
        source_fps=picker.source_fps,
        source_height=picker.source_size[0],
        source_width=picker.source_size[1],
        crop=picker.crop,
        fps=standard.fps,
        repeated_frames=sum(a == b for a, b in pairwise(times)),
    )
    return DecodedClip(torch.from_numpy(picker.pixels), provenance)


def decode_unchanged(clip: Clip, standard: ClipStandard) -> DecodedClip:
    """Decode a clip whose file is known, unless it has changed since.

    Raises:
        ClipError: The file changed, or cannot be decoded.
    """
    if clip.digest is not None and file_digest(clip.source) != clip.digest:
        raise ClipError(f"{clip.source}: the file has changed; run `motive index` again")
    return decode_clip(clip, standard)


def _pick_frames(clip: Clip, standard: ClipStandard) -> _Picker:
    """Open the clip and pick its frames, by seeking to the span if the container can do that."""
    if clip.start > 0:
        with open_video(clip.source) as (container, stream):
            picker = _Picker(clip, standard, container, stream)
            if picker.run(seek=True):
                return picker
    with open_video(clip.source) as (container, stream):
        picker = _Picker(clip, standard, container, stream)
        picker.run(seek=False)
    return picker


class _Converter:
    """Makes RGB arrays of frames.

    One for all frames of a clip: what `VideoFrame.to_ndarray` sets up anew for each frame takes
    several times longer than converting a small one.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """The frame as uint8 "h w 3", as stored (not turned)."""
        threads = 1 if frame.width * frame.height < _WORTH_THREADS else 0
        return self._reformatter.reformat(frame, format="rgb24", threads=threads).to_ndarray()


class _Picker:
    """Walks the source once and copies the frame shown at each target time into `pixels`."""

    def __init__(
        self, clip: Clip, standard: ClipStandard, container: InputContainer, stream: VideoStream
    ) -> None:
        self.clip = clip
        self.standard = standard
        self.container = container
        self.stream = stream
        self.targets = clip.start + np.arange(standard.frames) / standard.fps
        self.source_fps = average_fps(stream)
        self.aspect = pixel_aspect(stream)
        self.declared = declared_duration(container, stream)
        self.slack = _timestamp_slack(stream, self.source_fps, standard.fps)
        self.converter = _Converter()
        self.pixels = np.empty((standard.frames, standard.height, standard.width, 3), np.uint8)
        self.times: list[float] = []
        self.error: av.FFmpegError | None = None  # the decoder gave up here
        self.damaged_at: float | None = None  # a used frame is damaged, or builds on one
        self.last_time = clip.start  # of the last source frame seen
        self.span_end = 0.0  # when the last frame of the span stops lasting
        self.span_frames = 0  # source frames inside the span
        self.source_size = (0, 0)  # height, width
        self.crop = (0.0, 0.0, 0.0, 0.0)

    @property
    def filled(self) -> int:
        """Output frames that have their picture."""
        return len(self.times)

    def run(self, *, seek: bool) -> bool:
        """Pick frames until every target has one or the span ends; False when a seek failed."""
        end = math.inf if self.clip.end is None else self.clip.end
        shown: TimedFrame | None = None
        try:
            for now in timed_frames(self.container, self.stream, self.clip.start if seek else None):
                if seek and shown is None and now.time > self.clip.start + self.slack:
                    return False
                if now.time >= end - self.slack:
                    break
                if shown is not None:
                    self._emit_before(now.time - self.slack, shown)
                if self.filled == self.standard.frames:
                    return True
                shown = now
                self.last_time = now.time
                self.span_frames += now.time >= self.clip.start - self.slack
        except av.FFmpegError as error:
            self.error = error
        if shown is None:
            return not seek
        lasts = min(shown.duration, end - shown.time)
        self.span_end = shown.time + lasts
        # A frame stands for at least one output interval (see the top of this file).
        self._emit_before(shown.time + max(lasts, 1 / self.standard.fps) - self.slack, shown)
        return True

    def repeat_last(self) -> None:
        """Fill what is missing with the last frame."""
        filled = self.filled
        self.pixels[filled:] = self.pixels[filled - 1]
        self.times += [self.times[-1]] * (self.standard.frames - filled)

    def too_short(self) -> str:
        """What the span holds, what is needed, and what to do."""
        source, start, standard = self.clip.source, self.clip.start, self.standard
        if self.span_end == 0.0 and self.span_frames == 0 and self.filled == 0:
            return f"{source}: holds no video frame; download or export it again"
        if self.filled == 0:
            return (
                f"{source}: the span starts at {start:g} s, but the video ends at "
                f"{self.span_end:.2f} s; correct the start time"
            )
        hint = ""
        if self.clip.end is None and self.declared and self.declared > self.span_end + 0.5:
            hint = f" (its header promises {self.declared:.2f} s: truncated?)"
        fits = 4 * ((self.filled - 1) // 4) + 1  # 4k+1: what Wan's causal VAE takes
        advice = f"use --frames {fits} or a longer clip" if fits > 1 else "use a longer clip"
        return (
            f"{source}: too short: {self.span_end - start:.2f} s ({self.span_frames} frames) from "
            f"{start:g} s on{hint}, but {standard.frames} frames at {standard.fps:g} fps need "
            f"{standard.frames / standard.fps:.2f} s; {advice}"
        )

    def _emit_before(self, limit: float, shown: TimedFrame) -> None:
        """Give the shown frame to every open target before `limit` (seconds)."""
        first = self.filled
        last = int(np.searchsorted(self.targets, limit, side="left"))
        if last <= first:
            return
        if self.damaged_at is None:
            self.damaged_at = shown.damaged_at
        self.pixels[first:last] = self._standardise(shown.frame)
        self.times += [shown.time] * (last - first)

    def _standardise(self, frame: av.VideoFrame) -> np.ndarray:
        """One frame as uint8 "h w 3" of the standard's size."""
        matrix = display_matrix(frame)
        image = oriented(self.converter.rgb(frame), matrix)
        aspect = 1 / self.aspect if is_turned(matrix) else self.aspect
        image_size = (image.shape[0], image.shape[1])
        size = (self.standard.height, self.standard.width)
        fit = fit_to_cover(image_size, aspect, size)
        if self.filled == 0:
            self.source_size, self.crop = image_size, fit.crop
        return resize_and_crop(image, fit, size)


@dataclass(frozen=True)
class TimedFrame:
    """A decoded frame; times in seconds from the first frame.

    `damaged_at` is the time of the last damaged frame since the key frame, or None: the decoder
    hides holes by guessing, and all that follows builds on the guess until the next key frame.
    """

    time: float
    duration: float
    frame: av.VideoFrame
    damaged_at: float | None


def timed_frames(
    container: InputContainer, stream: VideoStream, start: float | None
) -> Iterator[TimedFrame]:
    """Frames in the order of their times, from the key frame before `start` (None: from the first).

    Frames whose time steps back (broken or joined files) are left out; frames without a time
    follow their predecessor at the average rate.
    """
    tick = float(stream.time_base or 0)
    fps = average_fps(stream)
    interval = 1 / fps if fps else 0.0
    frames = container.decode(stream)
    first = next(frames, None)  # its time is zero; what the header says is often wrong (AVI)
    if first is None:
        return
    origin = first.pts
    if start is None or origin is None or not tick:
        frames = chain([first], frames)
    else:
        # A failing seek is no error: the picker sees where decoding really begins.
        with suppress(av.FFmpegError):
            container.seek(origin + int(start / tick), stream=stream)
        frames = container.decode(stream)
    last, damaged_at = -math.inf, None
    for frame in frames:
        if frame.pts is None or origin is None or not tick:
            time = 0.0 if last == -math.inf else last + (interval or 1 / 25)
        else:
            time = (frame.pts - origin) * tick
        if time <= last:
            continue
        if not interval and last > -math.inf:
            interval = time - last
        last = time
        if frame.is_corrupt:
            damaged_at = time
        elif frame.key_frame:
            damaged_at = None
        yield TimedFrame(time, (frame.duration or 0) * tick or interval, frame, damaged_at)


def check_span(clip: Clip) -> None:
    """Raise a `ClipError` unless 0 <= start < end, all finite."""
    raw = clip.extra.get(UNREADABLE_SPAN)
    if raw is not None:
        raise ClipError(f"{clip.source}: cannot read the times {raw}; write seconds or h:m:s")
    end = math.inf if clip.end is None else clip.end
    if not (math.isfinite(clip.start) and clip.start >= 0):
        raise ClipError(f"{clip.source}: start {clip.start} s; must be 0 or later")
    if math.isnan(end) or end <= clip.start:
        raise ClipError(f"{clip.source}: end {end:g} s is not after start {clip.start:g} s")


def _timestamp_slack(stream: VideoStream, source_fps: float, fps: float) -> float:
    """How much later than its target a frame may be: one tick, if ticks only round times."""
    tick = float(stream.time_base or 0)
    interval = min(1 / fps, 1 / source_fps if source_fps else math.inf)
    return tick if _EPSILON < tick < interval / 4 else _EPSILON

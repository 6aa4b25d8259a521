"""One pass over a video for all measures, a few frames at a time.

Invariant: whatever is wrong with a video or a measure becomes a reason in the result; one measure
that cannot run never costs another its number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

from motive.clips.decode import timed_frames
from motive.clips.geometry import display_matrix, oriented
from motive.clips.source import average_fps, damaged, declared_duration, open_video
from motive.errors import ClipError, MotiveError
from motive.evaluation.metrics.protocol import Measure, Opened, Readings, Tally

_CHUNK = 8  # frames given to the measures at a time
_WHOLE = 0.9  # share of the promised duration that must be there


@dataclass(frozen=True)
class VideoFacts:
    """What a video turned out to be, having seen all of it.

    Attributes:
        frames: Frames decoded.
        fps: Average rate that the file states; 0 if it states none.
        seconds: From the first frame to the end of the last.
        height: Pixels, as displayed.
        width: Pixels.
        kind: Suffix in lower case, such as ".mp4".
    """

    frames: int
    fps: float
    seconds: float
    height: int
    width: int
    kind: str


@dataclass(frozen=True)
class Watched:
    """What one pass found.

    Attributes:
        facts: None if the video cannot be judged.
        readings: Metric -> value, or why this video has none.
        failures: Metric -> why it could not be measured, which is not the video's fault (weights
            that do not load): to be tried again.
        error: Why the video cannot be judged at all.
    """

    facts: VideoFacts | None
    readings: Readings = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    error: str | None = None


class Watcher:
    """Shows videos to measures; a measure that fails once is not asked again.

    Args:
        measures: What to compute.
    """

    def __init__(self, measures: Sequence[Measure]) -> None:
        self.measures = measures
        self._broken: dict[int, str] = {}

    def watch(self, path: str, motion: str | None, keys: Sequence[str]) -> Watched:
        """Measure one video.

        Args:
            path: The file.
            motion: Label of the motion that was asked for, if it is known.
            keys: Metrics wanted.

        Returns:
            A result for every key that a measure knows, whatever happens.
        """
        wanted = set(keys)
        asked = [i for i, m in enumerate(self.measures) if wanted & set(m.keys)]
        try:
            facts, readings = self._pass(path, motion, asked)
        except ClipError as error:
            return Watched(None, error=str(error))
        failures = {
            key: self._broken[i]
            for i in asked
            if i in self._broken
            for key in self.measures[i].keys
        }
        return Watched(facts, {k: v for k, v in readings.items() if k not in failures}, failures)

    def _pass(
        self, path: str, motion: str | None, asked: Sequence[int]
    ) -> tuple[VideoFacts, Readings]:
        tallies: dict[int, Tally] = {}
        readings: Readings = {}
        reader = _Reader(path)
        for chunk in reader.chunks():
            if not tallies:
                height, width = chunk.shape[1:3]
                opened = Opened(path, reader.fps, height, width, motion)
                tallies = {
                    i: self.measures[i].begin(opened) for i in asked if i not in self._broken
                }
            for i in list(tallies):
                try:
                    tallies[i].add(chunk)
                except MotiveError as error:
                    self._broken[i] = str(error)
                    del tallies[i]
        for i, tally in tallies.items():
            try:
                readings |= tally.finish()
            except MotiveError as error:
                self._broken[i] = str(error)
        return reader.facts(), readings


class _Reader:
    """All frames of a video in the order of their times, and what they add up to."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fps = 0.0
        self.size = (0, 0)
        self.count = 0
        self.end = 0.0
        self.promised: float | None = None

    def chunks(self) -> Iterator[np.ndarray]:
        """uint8 "k h w 3"; raises `ClipError` where the video is damaged or changes size."""
        with open_video(self.path) as (container, stream):
            self.fps = average_fps(stream)
            self.promised = declared_duration(container, stream)
            waiting: list[np.ndarray] = []
            try:
                for timed in timed_frames(container, stream, None):
                    if timed.damaged_at is not None:
                        raise ClipError(damaged(self.path, timed.damaged_at, None))
                    waiting.append(self._picture(timed.frame))
                    self.end = timed.time + timed.duration
                    if len(waiting) == _CHUNK:
                        yield np.stack(waiting)
                        waiting = []
            except av.FFmpegError as error:
                raise ClipError(damaged(self.path, self.end, error)) from None
            if waiting:
                yield np.stack(waiting)
        self._check_whole()

    def facts(self) -> VideoFacts:
        """Once all chunks were read."""
        kind = Path(self.path).suffix.lower()
        return VideoFacts(self.count, self.fps, self.end, *self.size, kind)

    def _picture(self, frame: av.VideoFrame) -> np.ndarray:
        image = oriented(frame.to_ndarray(format="rgb24"), display_matrix(frame))
        size = (image.shape[0], image.shape[1])
        if self.count and size != self.size:
            raise ClipError(
                f"{self.path}: its frames change size after {self.end:.2f} s; export it again"
            )
        self.size, self.count = size, self.count + 1
        return image

    def _check_whole(self) -> None:
        if self.count == 0:
            raise ClipError(f"{self.path}: holds no video frame; download or export it again")
        if self.promised and self.end < _WHOLE * self.promised and self.count > 1:
            raise ClipError(
                f"{self.path}: ends at {self.end:.2f} s although its header promises "
                f"{self.promised:.2f} s: truncated; download or export it again"
            )

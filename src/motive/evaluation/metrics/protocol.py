"""What a metric is, and what measures it.

Invariant: a video is decoded once for all measures, a few frames at a time; a measure keeps what
its formula needs and no frames that it has seen, so memory does not grow with the video.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

Kind = Literal["share", "mean"]
Group = Literal["vbench", "built-in", "motion", "official"]
#: A number, or one line that says why there is none.
Reading = float | str
Readings = dict[str, Reading]


@dataclass(frozen=True)
class Metric:
    """One column of the table.

    Attributes:
        key: Name in files and on the command line.
        title: Heading.
        group: "vbench": its six dimensions with their own networks; "built-in": no weights needed;
            "motion": the MotionZoo classifier; "official": what the `vbench` package says.
        kind: "share" for a yes or no per video, "mean" for a number.
        better: +1 if higher is better, -1 if lower is, 0 if neither.
        percent: Shown times 100, as papers print it.
        about: One sentence with the formula's source.
    """

    key: str
    title: str
    group: Group
    kind: Kind
    better: Literal[-1, 0, 1]
    percent: bool
    about: str


@dataclass(frozen=True)
class Opened:
    """A video as a measure meets it.

    Attributes:
        path: The file.
        fps: Frames per second; 0 if the file does not say.
        height: Pixels, as displayed.
        width: Pixels.
        motion: Label of the motion that was asked for, if it is known.
    """

    path: str
    fps: float
    height: int
    width: int
    motion: str | None = None


class Tally(Protocol):
    """Collects one video."""

    def add(self, frames: np.ndarray) -> None:
        """Take the next frames, uint8 "k h w 3"; all but the last chunk of a video are as long."""

    def finish(self) -> Readings:
        """Metric key -> value, or why there is none."""


class Measure(Protocol):
    """Computes some metrics from frames."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The metrics."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that changes the numbers, JSON values; stored beside them."""

    def begin(self, video: Opened) -> Tally:
        """A fresh tally for one video."""

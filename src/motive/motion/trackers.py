"""Trackers: how far every pixel of a clip moves, and which trackers there are.

Invariant: a tracker is a pure function of the frames and its settings, so that weights can be
cached and compared; everything that changes its numbers stands in `settings`.

Displacements are (dx, dy) in pixels of the given frames, x to the right and y down.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch

from motive.clips import Clip, Provenance
from motive.errors import MissingExtraError, UsageError
from motive.motion import cotracker
from motive.motion.codec import CodecTracker
from motive.motion.cotracker import CoTracker
from motive.motion.opencv_flow import DISTracker, FarnebackTracker
from motive.motion.raft import RAFTTracker

Kind = Literal["consecutive", "anchor"]


class Tracker(Protocol):
    """Dense displacement of every pixel of a clip."""

    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that changes the numbers, for the fingerprint: JSON values only."""

    def consecutive(self, frames: torch.Tensor) -> torch.Tensor:
        """Displacement from each frame to the next, in that frame's own coordinates.

        The last frame has no next: it gets minus its displacement to the frame before.

        Args:
            frames: uint8 "f h w 3", RGB.

        Returns:
            float32 "f h w 2", (dx, dy) in pixels; zeros for a single frame.
        """

    def anchor(self, frames: torch.Tensor) -> torch.Tensor:
        """Displacement from frame 0 to every frame, in frame 0's coordinates (cumulative).

        Args:
            frames: uint8 "f h w 3", RGB.

        Returns:
            float32 "f h w 2", (dx, dy) in pixels; zeros for frame 0.
        """


@runtime_checkable
class ReliableTracker(Protocol):
    """A tracker that also knows how far each displacement can be trusted."""

    def with_reliability(
        self, frames: torch.Tensor, displacement: Kind
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Displacement and its reliability, from one pass.

        Args:
            frames: uint8 "f h w 3", RGB.
            displacement: Which of the tracker's two displacements.

        Returns:
            Displacement as `consecutive` or `anchor` give it, and visibility x confidence,
            float32 "f h w" in [0, 1], in the same coordinates.
        """


@runtime_checkable
class FileTracker(Protocol):
    """A tracker that reads the video file; decoded frames are no use to it."""

    def consecutive_in_file(
        self, clip: Clip, provenance: Provenance, size: tuple[int, int]
    ) -> torch.Tensor:
        """As `Tracker.consecutive`, for the frames that `provenance` names.

        Args:
            clip: The file.
            provenance: Which source frames the output shows, from `decode_clip`.
            size: (height, width) of the output in pixels.
        """


@dataclass(frozen=True)
class TrackerCard:
    """What one should know before choosing a tracker.

    Attributes:
        name: As in `get_tracker`.
        build: Makes the tracker from its own options.
        about: One line.
        weights: Licence of its weights and where they come from; empty if it has none.
        modules: Importable packages that MOTIVE does not install.
        get: How to get them.
        fetched: Says whether code or weights that are downloaded on first use are there already.
    """

    name: str
    build: Callable[..., Any]
    about: str
    weights: str = ""
    modules: tuple[str, ...] = ()
    get: str = ""
    fetched: Callable[[], bool] | None = None

    def missing(self) -> tuple[str, ...]:
        """Those of `modules` that are not installed."""
        return tuple(name for name in self.modules if importlib.util.find_spec(name) is None)

    def state(self) -> tuple[bool, str]:
        """Whether the tracker can run here, and one line with its licence and what is missing."""
        text = self.about
        if self.weights:
            text += f"; weights {self.weights}"
        if self.missing():
            return False, f"{text}; {', '.join(self.missing())} missing: {self.get}"
        if self.fetched is not None and not self.fetched():
            return False, f"{text}; not here yet: {self.get}"
        return True, text


def get_tracker(name: str, **options: Any) -> Any:
    """The tracker of this name: a `Tracker`, or a `FileTracker`.

    Args:
        name: One of `TRACKERS`.
        options: The tracker's own settings.

    Raises:
        UsageError: An unknown name, or options that this tracker does not have.
        MissingExtraError: A package that the tracker needs is not installed.
    """
    if name not in TRACKERS:
        raise UsageError(f"tracker={name!r}: must be one of {', '.join(TRACKERS)}")
    card = TRACKERS[name]
    if card.missing():
        raise MissingExtraError(
            f"tracker={name!r}: {', '.join(card.missing())} is not installed; {card.get}, or "
            "choose another tracker (`motive doctor` lists them)"
        )
    try:
        return card.build(**options)
    except TypeError as error:
        raise UsageError(f"tracker={name!r}: {error}") from None


def _alltracker(**options: Any) -> Any:
    """Built here so that nothing of it is imported for users of other trackers."""
    from motive.motion.alltracker import AllTracker

    return AllTracker(**options)


def _alltracker_fetched() -> bool:
    from motive.motion.alltracker import loading

    return loading.fetched()


_CARDS = (
    TrackerCard("dis", DISTracker, "OpenCV Dense Inverse Search flow; CPU, the default"),
    TrackerCard("farneback", FarnebackTracker, "OpenCV Farneback flow; CPU"),
    TrackerCard(
        "codec", CodecTracker, "motion vectors of the encoder (H.264, MPEG-4); nearly free, coarse"
    ),
    TrackerCard(
        "alltracker",
        _alltracker,
        "AllTracker, the paper's: dense tracks with visibility and confidence",
        weights="MIT",
        get="weights=PATH of alltracker.pth or alltracker_tiny.pth, or the hub's "
        "aharley/alltracker on first use (66 MB)",
        fetched=_alltracker_fetched,
    ),
    TrackerCard(
        "raft",
        RAFTTracker,
        "torchvision RAFT flow",
        weights="BSD-3-Clause, downloaded by torchvision",
        modules=("torchvision",),
        get="install the torchvision that belongs to your torch",
    ),
    TrackerCard(
        "cotracker3",
        CoTracker,
        "CoTracker3 point tracks on a grid",
        weights="CC-BY-NC-4.0 (no commercial use)",
        get="torch.hub fetches code and weights on first use (needs the internet)",
        fetched=cotracker.fetched,
    ),
)

TRACKERS: dict[str, TrackerCard] = {card.name: card for card in _CARDS}

"""AllTracker behind the interface of all trackers.

Architecture and checkpoints after AllTracker (Harley et al. 2025, MIT). Invariant: a clip's numbers
depend on its frames and on `settings` alone; the network is opened once per process and shared.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch

from motive.errors import UsageError
from motive.motion.alltracker.loading import (
    HUB_ID,
    checkpoint_digest,
    find_checkpoint,
    load_alltracker,
)
from motive.motion.alltracker.model import AllTrackerNet, Variant
from motive.motion.alltracker.windows import TrackOptions, Tracks, track, track_pairs

_LOG = logging.getLogger(__name__)
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class AllTracker:
    """The paper's tracker: dense tracks with visibility and confidence, from trained weights.

    `anchor` is what the network was made for. `consecutive` runs it on pairs of neighbouring
    frames, which it was trained for as well (on optical flow). That takes 60 % of the time of the
    windows, in which every frame is seen twice; so differences of anchored tracks, which besides
    would have to be moved into each frame's coordinates, are no cheaper way to it.

    Memory is bounded by `correlation_gib` plus 2 to 4 kB per pixel of one frame (1.5 GB at
    480 x 832 with 0.5 GiB), plus 16 bytes per pixel of the whole clip for the result.
    """

    name = "alltracker"

    def __init__(
        self,
        weights: str | Path = HUB_ID,
        *,
        variant: Variant | None = None,
        device: str = "auto",
        dtype: str = "float32",
        iterations: int = 4,
        min_side: int = 128,
        correlation_gib: float = 2.0,
    ) -> None:
        """Find the checkpoint (the network is opened when the first clip is tracked).

        Args:
            weights: Checkpoint file, folder with the released files, or hub id.
            variant: "full" or "tiny": which file to take from a folder or hub id; for a file it
                is recognised, and checked if given.
            device: "auto" (CUDA if there is one, else CPU) or any torch device.
            dtype: What the convolutions run in: "float32" or "bfloat16" (flow and correlation
                stay float32). bfloat16 is for GPUs: a CPU without native support takes 20 times
                as long. On CUDA, float32 convolutions use TF32 unless
                `torch.backends.cudnn.allow_tf32` is off.
            iterations: Refinement steps; the checkpoints are made for 4, fewer are faster.
            min_side: Shorter side in pixels below which frames are enlarged by a whole factor.
            correlation_gib: What correlations may take of memory. Below what a window needs they
                are computed in pieces, with the same numbers.

        Raises:
            ModelError: There is no such checkpoint.
            UsageError: An unknown variant, device or dtype, or a number out of range.
        """
        if dtype not in _DTYPES:
            raise UsageError(f"dtype={dtype!r}: must be one of {', '.join(_DTYPES)}")
        for option, value in (("iterations", iterations), ("min_side", min_side)):
            if value < 1:
                raise UsageError(f"{option}={value}: must be at least 1")
        if not correlation_gib > 0:
            raise UsageError(f"correlation_gib={correlation_gib}: must be positive")
        self.device = _device(device)
        self.path = find_checkpoint(weights, variant)
        self.variant = variant
        self.dtype = dtype
        self.options = TrackOptions(
            iterations=iterations,
            min_side=min_side,
            dtype=_DTYPES[dtype],
            correlation_bytes=int(correlation_gib * 2**30),
        )

    @property
    def settings(self) -> dict[str, Any]:
        """Name, digest of the checkpoint, precision, iterations and smallest side."""
        return {
            "name": self.name,
            "checkpoint": checkpoint_digest(self.path),
            "dtype": self.dtype,
            "iterations": self.options.iterations,
            "min_side": self.options.min_side,
        }

    def consecutive(self, frames: torch.Tensor) -> torch.Tensor:
        """Displacement to the next frame; see `Tracker.consecutive`."""
        return self.track_consecutive(frames).flow

    def anchor(self, frames: torch.Tensor) -> torch.Tensor:
        """Displacement from frame 0; see `Tracker.anchor`."""
        return self.track(frames).flow

    def with_reliability(
        self, frames: torch.Tensor, displacement: Literal["consecutive", "anchor"]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Displacement and visibility x confidence; see `ReliableTracker.with_reliability`."""
        anchored = displacement == "anchor"
        tracks = self.track(frames) if anchored else self.track_consecutive(frames)
        return tracks.flow, tracks.visibility * tracks.confidence

    def track(self, frames: torch.Tensor, query: int = 0) -> Tracks:
        """Tracks of every pixel of one frame through the whole clip, with visibility.

        Args:
            frames: uint8 "f h w 3", RGB.
            query: The frame whose pixels are followed, forward and backward from it.

        Returns:
            In the query frame's coordinates; its own flow is 0, its visibility and confidence 1.

        Raises:
            UsageError: Frames of another type, or a query outside the clip.
        """
        _check_frames(frames)
        if not 0 <= query < len(frames):
            raise UsageError(f"query={query}: the clip has frames 0 to {len(frames) - 1}")
        return track(self._net(), frames, query, self.options)

    def track_consecutive(self, frames: torch.Tensor) -> Tracks:
        """Tracks from each frame to the next, with visibility there.

        The last frame gets minus its flow to the frame before, and its visibility in that one.

        Args:
            frames: uint8 "f h w 3", RGB.

        Raises:
            UsageError: Frames of another type.
        """
        _check_frames(frames)
        last = len(frames) - 1
        if last == 0:
            return track(self._net(), frames, 0, self.options)
        pairs = [*((f, f + 1) for f in range(last)), (last, last - 1)]
        tracks = track_pairs(self._net(), frames, pairs, self.options)
        tracks.flow[last].neg_()
        return tracks

    def _net(self) -> AllTrackerNet:
        stat = self.path.stat()
        return _open(self.path, self.variant, self.device, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=2)
def _open(
    path: Path, variant: Variant | None, device: torch.device, size: int, modified: int
) -> AllTrackerNet:
    """The network on its device; size and modification time only key the memo."""
    net = load_alltracker(path, variant)
    _LOG.info("%s: AllTracker %s on %s", path, net.variant, device)
    return net.to(device)


def _check_frames(frames: torch.Tensor) -> None:
    if (
        frames.dtype != torch.uint8
        or frames.ndim != 4
        or frames.shape[3] != 3
        or not frames.numel()
    ):
        raise UsageError(f"frames {frames.dtype} {tuple(frames.shape)}: must be uint8 'f h w 3'")


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        reason = str(error).splitlines()[0]
        raise UsageError(f"device={name!r}: cannot be used ({reason})") from None

"""Tracking through a clip of any length: sliding windows, any query frame, pairs of frames.

Procedure after AllTracker (Harley et al. 2025, MIT): windows of 16 frames, each 8 further on; a
window starts from what the one before found for the frames they share, and the last of these for
the new ones. The first estimate of a frame stands. Two frames are one step without a window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from motive.motion.alltracker.canvas import Canvas
from motive.motion.alltracker.model import WINDOW, AllTrackerNet


@dataclass(frozen=True)
class TrackOptions:
    """How the network is run.

    Attributes:
        iterations: Refinement steps per window; the checkpoints are trained and tested with 4.
        min_side: Shorter side in pixels below which frames are enlarged; see `Canvas`.
        dtype: What the convolutions run in: float32 or bfloat16.
        correlation_bytes: What correlations may take at any time. It changes speed, not numbers.
        window: Frames per window, even; the checkpoints are trained with 16.
    """

    iterations: int = 4
    min_side: int = 128
    dtype: torch.dtype = torch.float32
    correlation_bytes: int = 1 << 31
    window: int = WINDOW

    @property
    def refine_arguments(self) -> dict[str, Any]:
        """What `AllTrackerNet.refine` takes of these."""
        return {
            "iterations": self.iterations,
            "dtype": self.dtype,
            "correlation_bytes": self.correlation_bytes,
        }


@dataclass(frozen=True)
class Tracks:
    """Where pixels go, one map per frame.

    Attributes:
        flow: float32 "f h w 2", (dx, dy) in pixels.
        visibility: float32 "f h w" in [0, 1]: how likely the pixel is seen there.
        confidence: float32 "f h w" in [0, 1]: how likely the place is right (within 12 px in the
            original's training).
    """

    flow: torch.Tensor
    visibility: torch.Tensor
    confidence: torch.Tensor


@torch.no_grad()
def track(net: AllTrackerNet, frames: torch.Tensor, query: int, options: TrackOptions) -> Tracks:
    """Tracks of every pixel of one frame through the whole clip, forward and backward from it.

    Args:
        net: The network.
        frames: uint8 "f h w 3", RGB.
        query: The frame whose pixels are followed, 0 <= query < f.
        options: How to run.

    Returns:
        One map per frame, in the query frame's coordinates. The query frame's own flow is 0 and
        its visibility and confidence are 1, by definition and not by the network.
    """
    count, height, width, _ = frames.shape
    canvas = Canvas.of(height, width, options.min_side)
    tracks = _resting(count, canvas)
    for segment, order in ((frames[query:], 1), (frames[: query + 1].flip(0), -1)):
        for found, flow, visconf in track_forward(net, segment, canvas, options):
            _write(tracks, [query + order * f for f in found], canvas, flow, visconf)
    tracks.flow[query], tracks.visibility[query], tracks.confidence[query] = 0.0, 1.0, 1.0
    return tracks


def track_forward(
    net: AllTrackerNet, frames: torch.Tensor, canvas: Canvas, options: TrackOptions
) -> Iterator[tuple[Sequence[int], torch.Tensor, torch.Tensor]]:
    """What the network says of the tracks from frame 0, window by window in order of time.

    Args:
        net: The network.
        frames: uint8 "f h w 3".
        canvas: For frames of this size.
        options: How to run.

    Yields:
        The frames that this window is the first to reach, and their flow and visconf on the
        canvas, both "n 2 H W". Two frames give frame 1 alone, one frame gives nothing.
    """
    if len(frames) < 2:
        return
    run = options.refine_arguments
    anchor = _encode(net, frames, [0], canvas, options)
    if len(frames) == 2:
        found = net.refine(anchor, _encode(net, frames, [1], canvas, options)[None], **run)
        yield [1], found.flow[0], found.visconf[0]
        return
    half = options.window // 2
    rest = _encode(net, frames, range(1, options.window), canvas, options)
    features = torch.cat([anchor, rest])
    found = net.refine(anchor, features[None], **run)
    reached = min(options.window, len(frames))
    yield range(reached), found.flow[0, :reached], found.visconf[0, :reached]
    for start in window_starts(len(frames), options.window)[1:]:
        new = range(start + half, start + options.window)
        features = torch.cat([features[half:], _encode(net, frames, new, canvas, options)])
        begin = (_carry_on(found.coarse_flow), _carry_on(found.coarse_visconf))
        found = net.refine(anchor, features[None], begin, **run)
        reached = min(options.window, len(frames) - start)
        yield (
            range(start + half, start + reached),
            found.flow[0, half:reached],
            found.visconf[0, half:reached],
        )


def window_starts(count: int, window: int) -> list[int]:
    """First frames of the windows over a clip: half a window apart until the last frame is in."""
    return list(range(0, max(1, count - window // 2), window // 2))


@torch.no_grad()
def track_pairs(
    net: AllTrackerNet,
    frames: torch.Tensor,
    pairs: Sequence[tuple[int, int]],
    options: TrackOptions,
) -> Tracks:
    """Tracks from one frame to another, for many pairs of frames.

    Args:
        net: The network.
        frames: uint8 "f h w 3", RGB.
        pairs: (from, to), indices of frames.
        options: How to run; as many pairs as a window has frames are refined at once.

    Returns:
        One map per pair, in the coordinates of its first frame.
    """
    _, height, width, _ = frames.shape
    canvas = Canvas.of(height, width, options.min_side)
    tracks = _resting(len(pairs), canvas)
    for first in range(0, len(pairs), options.window):
        batch = pairs[first : first + options.window]
        used = sorted({f for pair in batch for f in pair})
        features = dict(zip(used, _encode(net, frames, used, canvas, options), strict=True))
        anchors, targets = (torch.stack([features[pair[i]] for pair in batch]) for i in (0, 1))
        found = net.refine(anchors, targets[:, None], **options.refine_arguments)
        places = list(range(first, first + len(batch)))
        _write(tracks, places, canvas, found.flow[:, 0], found.visconf[:, 0])
    return tracks


def _encode(
    net: AllTrackerNet,
    frames: torch.Tensor,
    wanted: Sequence[int],
    canvas: Canvas,
    options: TrackOptions,
) -> torch.Tensor:
    """Features "n c h w" of the frames with these indices; past the end the last is repeated."""
    last = len(frames) - 1
    inside = sorted({min(f, last) for f in wanted})
    features = net.encode(canvas.place(frames[inside], net.device), options.dtype)
    return features[[inside.index(min(f, last)) for f in wanted]]


def _carry_on(coarse: torch.Tensor) -> torch.Tensor:
    """The next window's start "b s 2 h w": the second half of this one, then its last frame."""
    half = coarse.shape[1] // 2
    return torch.cat([coarse[:, half:], coarse[:, -1:].expand(-1, half, -1, -1, -1)], dim=1)


def _resting(count: int, canvas: Canvas) -> Tracks:
    """Tracks of a picture that stands still."""
    size = (count, *canvas.size)
    return Tracks(torch.zeros(*size, 2), torch.ones(size), torch.ones(size))


def _write(
    tracks: Tracks,
    places: list[int],
    canvas: Canvas,
    flow: torch.Tensor,
    visconf: torch.Tensor,
) -> None:
    """Put maps "n 2 H W" of the canvas at these places of the tracks."""
    tracks.flow[places] = (canvas.take(flow) / canvas.factor).permute(0, 2, 3, 1).cpu()
    seen = canvas.take(visconf).cpu()
    tracks.visibility[places], tracks.confidence[places] = seen[:, 0], seen[:, 1]

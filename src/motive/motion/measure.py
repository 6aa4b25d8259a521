"""From a clip's pixels to the magnitude that its weights are made of, and the facts beside it.

Invariant: with the paper's options nothing but the tracker's displacement enters the magnitude;
each other option adds one step, in this order: shots one by one, camera removed, evidence,
reliability, placement, noise floor. Frames are finished one by one (a few side by side), so memory
stays at one flow field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch

from motive.clips import Clip, Provenance
from motive.errors import UsageError
from motive.motion.camera import CameraMotion, fit_camera
from motive.motion.config import MotionConfig
from motive.motion.evidence import Image, evidence_picture, motion_evidence
from motive.motion.facts import (
    FactsOfFrames,
    FrameMagnitude,
    FrameObjects,
    MagnitudeFacts,
    MotionFacts,
    classify_camera,
    frame_magnitude,
    frame_objects,
)
from motive.motion.placement import place_in_frame
from motive.motion.resolution import enlarge, enlarge_flow, shrink_frames
from motive.motion.shots import find_cuts, picture_area
from motive.motion.side_by_side import side_by_side
from motive.motion.trackers import FileTracker

_BEHIND = 0.1  # px; how much a track that follows the camera counts against one that does not
_UNSEEN = 1e-3  # how much a track counts that the tracker does not trust at all


@dataclass(frozen=True)
class Magnitude:
    """How far the pixels of one clip move.

    Attributes:
        magnitude: float32 "f h w", pixels, as the config asks for: the M of paper eq. 13.
        facts: What all motion is like, whatever the config asks for.
    """

    magnitude: torch.Tensor
    facts: MagnitudeFacts


@dataclass(frozen=True)
class Motion(Magnitude):
    """Measured motion of one clip, camera and objects kept apart.

    Attributes:
        facts: What the clip's motion is like, whatever the config asks for.
    """

    facts: MotionFacts


def measure_motion(
    pixels: torch.Tensor,
    config: MotionConfig,
    *,
    clip: Clip | None = None,
    provenance: Provenance | None = None,
) -> Motion:
    """Track a clip, separate camera and objects, and say how far every pixel moves.

    Args:
        pixels: uint8 "f h w 3", RGB.
        config: How to measure.
        clip: Where the pixels come from; only a tracker that reads files needs it.
        provenance: The same: what `decode_clip` says about the pixels.

    Raises:
        UsageError: Unknown tracker or options, or a tracker that reads files has none to read.
        ClipError: A tracker that reads files cannot read this one.
    """
    tracked = _Tracked.of(pixels, config, clip, provenance)
    pairs = [_pair(tracked.shots, f, tracked.anchored) for f in range(len(pixels))]
    home = [pair.home for pair in pairs]
    flow, area = tracked.flow, picture_area(pixels)
    camera = fit_camera(flow, pixels, home=home, model=config.camera_model, area=area)
    steps = _steps(camera, tracked.shots) if tracked.anchored else camera
    frames = _Frames(config, area, pairs, flow, tracked.trust, camera, steps, _pictures(pixels))
    collected = FactsOfFrames()
    magnitude = torch.empty(flow.shape[:3])
    for f, (found, moved, objects) in enumerate(side_by_side(frames.finished, len(pixels))):
        magnitude[f] = found
        if f in tracked.counted:
            collected.add(moved, objects)
    kind, camera_px = classify_camera(steps, tracked.counted)
    return Motion(magnitude, collected.facts(kind, camera_px, tracked.cuts))


def measure_magnitude(
    pixels: torch.Tensor,
    config: MotionConfig,
    *,
    clip: Clip | None = None,
    provenance: Provenance | None = None,
) -> Magnitude:
    """How far every pixel moves as the config sees it, without asking more than that needs.

    The magnitude is that of `measure_motion`, bit for bit. Where it depends on displacement alone,
    as by default, the camera is not fitted, and that is most of the work on small clips.

    Args:
        pixels: uint8 "f h w 3", RGB.
        config: How to measure.
        clip: See `measure_motion`.
        provenance: The same.

    Raises:
        UsageError: See `measure_motion`.
        ClipError: The same.
    """
    if config.asks_camera:
        return measure_motion(pixels, config, clip=clip, provenance=provenance)
    tracked = _Tracked.of(pixels, config, clip, provenance)
    collected = FactsOfFrames()
    magnitude = torch.empty(tracked.flow.shape[:3])
    for f in range(len(pixels)):
        raw = motion_magnitude(tracked.flow[f])
        if f in tracked.counted:
            collected.add(frame_magnitude(raw))
        trust = None if tracked.trust is None else tracked.trust[f]
        magnitude[f] = _above(_trusted(raw, trust), config.noise_floor)
    return Magnitude(magnitude, collected.of_magnitude(tracked.cuts))


def motion_magnitude(displacement: torch.Tensor) -> torch.Tensor:
    """M_f(y, x) = ‖(dx, dy)‖₂ (paper eq. 12).

    Args:
        displacement: float "... 2", in pixels.

    Returns:
        float "...", in pixels.
    """
    return torch.linalg.vector_norm(displacement, dim=-1)


@dataclass(frozen=True)
class _Tracked:
    """A clip's displacement, and where it means something.

    Attributes:
        cuts: First frames of new shots.
        shots: (first frame, end) of each shot that was tracked by itself.
        flow: "f h w 2", pixels.
        trust: How reliable it is, "f h w", if that was asked for.
        anchored: It counts from the first frame of the shot.
        counted: Frames that facts are made of.
    """

    cuts: tuple[int, ...]
    shots: list[tuple[int, int]]
    flow: torch.Tensor
    trust: torch.Tensor | None
    anchored: bool
    counted: Sequence[int]

    @classmethod
    def of(
        cls,
        pixels: torch.Tensor,
        config: MotionConfig,
        clip: Clip | None,
        provenance: Provenance | None,
    ) -> _Tracked:
        cuts = find_cuts(pixels)
        shots = _shots(len(pixels), cuts if config.split_cuts else ())
        flow, trust = _displacement(pixels, shots, config, clip, provenance)
        anchored = config.displacement != "consecutive"
        counted = _meaningful(len(pixels), () if config.split_cuts else cuts, anchored)
        return cls(cuts, shots, flow, trust, anchored, counted)


def _trusted(magnitude: torch.Tensor, trust: torch.Tensor | None) -> torch.Tensor:
    return magnitude if trust is None else magnitude * trust


def _above(magnitude: torch.Tensor, floor: float) -> torch.Tensor:
    return torch.where(magnitude < floor, 0.0, magnitude) if floor else magnitude


def _shots(count: int, cuts: Sequence[int]) -> list[tuple[int, int]]:
    """(first frame, end) of each shot."""
    return list(pairwise([0, *cuts, count]))


def _displacement(
    pixels: torch.Tensor,
    shots: Sequence[tuple[int, int]],
    config: MotionConfig,
    clip: Clip | None,
    provenance: Provenance | None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Flow "f h w 2", each shot a clip of its own, and its reliability "f h w" if asked for."""
    tracker: Any = config.build_tracker()
    kind = "consecutive" if config.displacement == "consecutive" else "anchor"
    size = (pixels.shape[1], pixels.shape[2])
    if isinstance(tracker, FileTracker):
        if clip is None or provenance is None:
            raise UsageError(
                f"tracker={config.tracker!r}: reads motion from the video file, and these frames "
                "come without one; choose another tracker"
            )
        flow = tracker.consecutive_in_file(clip, provenance, size)
        for _, end in shots[:-1]:
            flow[end - 1] = flow[end - 2] if end > 1 else 0.0
        return flow, None
    if config.track_side is not None:
        pixels = shrink_frames(pixels, config.track_side)
    if config.reliability:
        parts = [tracker.with_reliability(pixels[a:b], kind) for a, b in shots]
        flow, trust = (torch.cat(found) for found in zip(*parts, strict=True))
        return _of_size(flow, trust, size)
    track = tracker.consecutive if kind == "consecutive" else tracker.anchor
    found = [track(pixels[first:end]) for first, end in shots]
    return _of_size(found[0] if len(found) == 1 else torch.cat(found), None, size)


def _of_size(
    flow: torch.Tensor, trust: torch.Tensor | None, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What was tracked at a lower resolution, at that of the clip."""
    if (flow.shape[1], flow.shape[2]) == size:
        return flow, trust
    return enlarge_flow(flow, size), None if trust is None else enlarge(trust, size)


class _Pair(NamedTuple):
    """Between which two frames a displacement was measured.

    Attributes:
        home: In whose coordinates it stands.
        target: The other one.
        backwards: The displacement is minus the way from home to target.
    """

    home: int
    target: int
    backwards: bool


def _pair(shots: Sequence[tuple[int, int]], frame: int, anchored: bool) -> _Pair:
    """Between which two frames the displacement of a frame was measured."""
    first, end = next(shot for shot in shots if shot[0] <= frame < shot[1])
    if anchored:
        return _Pair(first, frame, False)
    if frame + 1 < end:
        return _Pair(frame, frame + 1, False)
    return _Pair(frame, max(frame - 1, first), True)


def _pictures(pixels: torch.Tensor) -> list[Image]:
    """The frames as `motion_evidence` looks at them."""
    return list(side_by_side(lambda f: evidence_picture(pixels[f]), len(pixels)))


@dataclass(frozen=True)
class _Frames:
    """All that is known about a clip when its frames are finished, each by itself."""

    config: MotionConfig
    area: torch.Tensor
    pairs: Sequence[_Pair]
    flow: torch.Tensor
    trust: torch.Tensor | None
    camera: CameraMotion
    steps: CameraMotion
    pictures: Sequence[Image]

    def finished(self, f: int) -> tuple[torch.Tensor, FrameMagnitude, FrameObjects]:
        """The magnitude of a frame, "h w", and its facts."""
        config, flow = self.config, self.flow[f]
        by_camera = self.camera.flow(f)
        residual, raw = _residual(flow, by_camera, self.area), motion_magnitude(flow)
        left = (residual[..., 0].square() + residual[..., 1].square()).sqrt_()
        evidence = self._evidence(f, by_camera)
        objects = frame_objects(residual, left, evidence, self.steps.mean_magnitude(f))
        found = raw if config.weight_by == "raw" else left
        if config.asks_evidence:
            found = found * (evidence if config.weight_by == "residual" else self._evidence(f))
        trust = None if self.trust is None else self.trust[f]
        found = _trusted(found, trust)
        if config.displacement == "anchor":
            # Where two tracks end one hides the other: the tracker knows which, or else what moves
            # against the camera is taken to be in front.
            seen = left + _BEHIND if trust is None else trust + _UNSEEN
            found = place_in_frame(found[..., None], flow, seen)[0][..., 0]
        return _above(found, config.noise_floor), frame_magnitude(raw), objects

    def _evidence(self, f: int, baseline: torch.Tensor | None = None) -> torch.Tensor:
        """Evidence for the flow of a frame against a baseline; see `motion_evidence`."""
        home, target, backwards = self.pairs[f]
        flow = self.flow[f]
        if backwards:
            flow, baseline = -flow, None if baseline is None else -baseline
        return motion_evidence(self.pictures[home], self.pictures[target], flow, baseline)


def _meaningful(count: int, cuts: Sequence[int], anchored: bool) -> range | list[int]:
    """Frames whose displacement does not cross a cut."""
    if not cuts:
        return range(count)
    if anchored:
        return range(cuts[0])
    return [f for f in range(count) if f + 1 not in cuts]


def _steps(camera: CameraMotion, shots: Sequence[tuple[int, int]]) -> CameraMotion:
    """Steps from frame to frame of a camera whose motion counts from each shot's first frame."""
    matrices = camera.matrices.copy()
    for first, end in shots:
        for f in range(first, end - 1):
            matrices[f] = camera.matrices[f + 1] @ np.linalg.inv(camera.matrices[f])
        matrices[end - 1] = matrices[end - 2] if end - first > 1 else np.eye(3)
    return CameraMotion(matrices, camera.support, camera.size)


def _residual(flow: torch.Tensor, camera: torch.Tensor, area: torch.Tensor) -> torch.Tensor:
    """Motion against the camera, "h w 2".

    Zero outside the picture's area, and where the camera takes a pixel out of the picture: nothing
    is seen there that the flow could have been measured on.
    """
    height, width, _ = flow.shape
    half = (width - 1) / 2, (height - 1) / 2
    x = torch.arange(width) - half[0] + camera[..., 0]
    y = torch.arange(height)[:, None] - half[1] + camera[..., 1]
    unknown = (x.abs() > half[0]) | (y.abs() > half[1]) | ~area
    residual = flow - camera
    residual[unknown] = 0.0
    return residual

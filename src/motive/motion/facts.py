"""What a curator wants to know about a clip's motion: camera, objects, and what is suspicious.

Invariant: facts describe the clip, whatever the weights are made of; options such as the noise
floor or the normalisation do not change them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from motive.motion.camera import Array, CameraMotion

CameraKind = Literal["static", "pan", "zoom", "rotation", "shake"]

STATIC_MAX_PX = 0.05  # px; nothing at all moves
# px; identical frames after H.264 at CRF 10 to 30 reach a mean of 0.0045 (and a maximum of 2, which
# is why the maximum alone cannot tell); a disc on 1 % of the picture moving 1 px/frame gives 0.01.
STATIC_MEAN_PX = 0.005
MOVING_PX = 0.5  # px per frame; above the noise of every tracker
CAMERA_PX = 0.1  # px per frame, mean over the picture
_CAMERA_DOUBT = 0.5  # of the camera's motion: parallax and blur leave that much of it unexplained
_PROVEN = 0.6  # evidence; what is merely uncovered has 1/2
_TURNING = 2.5  # a shift of the centre goes with every turn about another point
_SMALL_AREA = 0.005  # of all pixels: less is no object
_SHAKE = 0.5  # of the way that a camera goes: a camera that gets less far shakes
DIRECTIONS = ("right", "up-right", "up", "up-left", "left", "down-left", "down", "down-right")


@dataclass(frozen=True, kw_only=True)
class MagnitudeFacts:
    """Facts of all motion in one clip. Frames that a cut makes meaningless do not count.

    Magnitudes are in pixels of the standardised clip: per frame for consecutive displacement,
    since frame 0 for anchored displacement.

    Attributes:
        mean_magnitude: Mean over frames and pixels of all motion.
        max_magnitude: Largest over frames and pixels.
        moving_fraction: Share of pixels that move by more than 0.5 px, in [0, 1].
        uniformity: How evenly motion fills the picture, in [0, 1]; see `motion_uniformity`.
        static: No more moves than compression noise (largest below 0.05 px, or mean below
            0.005 px).
        cuts: First frames of new shots inside the clip.
    """

    mean_magnitude: float
    max_magnitude: float
    moving_fraction: float
    uniformity: float
    static: bool
    cuts: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MotionFacts(MagnitudeFacts):
    """Facts of one clip with camera and objects kept apart.

    Attributes:
        camera: What the camera does: "static", "pan", "zoom", "rotation" (a turn about the line
            of sight, or about what it looks at) or "shake".
        camera_magnitude: Mean motion that the camera gives the picture, in pixels per frame.
        camera_share: Share of all squared motion that may be the camera's, in [0, 1].
        object_magnitude: Mean motion against the camera, where something moves.
        moving_area: Share of pixels that move against the camera, in [0, 1]: by more than 0.5 px
            and half the camera's own motion, and the pictures prove it (see `motion_evidence`).
        directions: Shares of the motion against the camera by direction: right, up-right, up,
            up-left, left, down-left, down, down-right. They sum to 1, or are all 0.
        camera_only: The camera moves and nothing else does.
        micro_motion: The camera stands still and something moves, but less than 0.5 px or on
            less than 0.5 % of the picture.
    """

    camera: CameraKind
    camera_magnitude: float
    camera_share: float
    object_magnitude: float
    moving_area: float
    directions: tuple[float, ...]
    camera_only: bool
    micro_motion: bool


@dataclass(frozen=True)
class FrameMagnitude:
    """What all motion of one frame adds to the facts of its clip; see `frame_magnitude`."""

    pixels: int
    mean: float
    square: float
    largest: float
    moving: int


@dataclass(frozen=True)
class FrameObjects:
    """What the motion against the camera adds; see `frame_objects`."""

    objects: int
    object_sum: float
    residual_square: float
    directions: Array


def frame_magnitude(raw: torch.Tensor) -> FrameMagnitude:
    """Count the motion of one frame, given its length "h w" in pixels."""
    motion = raw.numpy()
    return FrameMagnitude(
        pixels=motion.size,
        mean=float(motion.mean(dtype=np.float64)),
        square=float(np.square(motion).mean(dtype=np.float64)),
        largest=float(motion.max()),
        moving=int(np.count_nonzero(motion > MOVING_PX)),
    )


def frame_objects(
    residual: torch.Tensor, left: torch.Tensor, evidence: torch.Tensor, camera_px: float
) -> FrameObjects:
    """Count what moves against the camera in one frame.

    Args:
        residual: Motion against the camera, "h w 2", pixels.
        left: Length of the residual, "h w".
        evidence: For the residual, "h w" in [0, 1]; see `motion_evidence`.
        camera_px: Mean motion by the camera in this frame.
    """
    lengths, proven = left.numpy(), (left * evidence).numpy()
    object_mask = (lengths > MOVING_PX + _CAMERA_DOUBT * camera_px) & (evidence.numpy() > _PROVEN)
    moved = residual.numpy()[object_mask].astype(np.float64)
    eighth = np.round(np.arctan2(-moved[:, 1], moved[:, 0]) / (math.pi / 4)).astype(int) % 8
    return FrameObjects(
        objects=len(moved),
        object_sum=float(lengths[object_mask].sum(dtype=np.float64)),
        residual_square=float(np.square(proven).mean(dtype=np.float64)),
        directions=np.asarray(np.bincount(eighth, np.hypot(*moved.T), minlength=8), np.float64),
    )


@dataclass
class FactsOfFrames:
    """Adds up the facts of a clip frame by frame, so that no second copy of its flow is held."""

    pixels: int = 0
    largest: float = 0.0
    moving: int = 0
    objects: int = 0
    object_sum: float = 0.0
    residual_square: float = 0.0
    means: list[float] = field(default_factory=list)
    squares: list[float] = field(default_factory=list)
    directions: Array = field(default_factory=lambda: np.zeros(8))

    def add(self, frame: FrameMagnitude, objects: FrameObjects | None = None) -> None:
        """Count one frame, and what moves against the camera in it if that is known."""
        self.pixels += frame.pixels
        self.largest = max(self.largest, frame.largest)
        self.moving += frame.moving
        self.means.append(frame.mean)
        self.squares.append(frame.square)
        if objects is not None:
            self.objects += objects.objects
            self.object_sum += objects.object_sum
            self.residual_square += objects.residual_square
            self.directions += objects.directions

    def of_magnitude(self, cuts: tuple[int, ...]) -> MagnitudeFacts:
        """The facts of all motion in the frames counted."""
        mean = float(np.mean(self.means)) if self.means else 0.0
        return MagnitudeFacts(
            mean_magnitude=mean,
            max_magnitude=self.largest,
            moving_fraction=self.moving / max(self.pixels, 1),
            uniformity=_uniformity(self.means, self.squares),
            static=self.largest < STATIC_MAX_PX or mean < STATIC_MEAN_PX,
            cuts=cuts,
        )

    def facts(self, camera: CameraKind, camera_px: float, cuts: tuple[int, ...]) -> MotionFacts:
        """All facts, of frames that were counted with what moves against the camera."""
        of_magnitude = self.of_magnitude(cuts)
        energy = float(np.sum(self.squares))
        area = self.objects / max(self.pixels, 1)
        total = float(self.directions.sum())
        little = area < _SMALL_AREA
        return MotionFacts(
            **vars(of_magnitude),
            camera=camera,
            camera_magnitude=camera_px,
            camera_share=max(0.0, 1 - self.residual_square / energy) if energy > 0 else 0.0,
            object_magnitude=self.object_sum / self.objects if self.objects else 0.0,
            moving_area=area,
            directions=tuple((self.directions / total).tolist() if total else [0.0] * 8),
            camera_only=camera != "static" and little,
            micro_motion=camera == "static" and not of_magnitude.static and little,
        )


def motion_uniformity(magnitude: torch.Tensor) -> float:
    """How evenly motion fills the picture: the participation ratio of the magnitude, in [0, 1].

    Per frame (mean M)² / mean(M²): 1 when every pixel moves alike (a pan), p when a share p of the
    pixels moves alike and the rest stands still. Frames count by how much they move. It is taken
    from M, not from W, because min-max stretches the small differences within a pan. 0 when
    nothing moves at all. The paper finds clips in which only the camera moves by the uniformity of
    W, without a formula; this is that test made concrete.

    Args:
        magnitude: float "f h w".
    """
    values = magnitude.double().flatten(1)
    return _uniformity(values.mean(1).tolist(), values.square().mean(1).tolist())


def _uniformity(means: Sequence[float], squares: Sequence[float]) -> float:
    mean, square = np.asarray(means, float), np.asarray(squares, float)
    total = mean.sum()
    if total == 0:
        return 0.0
    ratio = mean**2 / np.maximum(square, np.finfo(float).tiny)
    return min(1.0, float((ratio * mean).sum() / total))


def classify_camera(camera: CameraMotion, frames: Sequence[int]) -> tuple[CameraKind, float]:
    """What the camera does over the given frames, and how far it moves the picture per frame.

    Each step is split at the picture's centre into a shift, a growth, a turn and a shear, all
    measured in pixels at the root mean square distance from the centre. A camera that goes
    somewhere is named after the largest sum, turns and shears (which come from a camera that moves
    around what it looks at) counting 2.5 times. One that gets less than half as far as the way it
    goes is shaking.

    Args:
        camera: Steps of the camera from frame to frame.
        frames: Which of its frames count.

    Returns:
        Its kind, and the mean motion in pixels per frame.
    """
    if not len(frames):
        return "static", 0.0
    height, width = camera.size
    radius = math.sqrt((height**2 + width**2) / 12)
    m = camera.matrices[list(frames)]
    shift = m[:, :2, 2] / m[:, 2:, 2]
    slope = (m[:, :2, :2] - shift[:, :, None] * m[:, 2:, :2]) / m[:, 2:, 2:] - np.eye(2)
    growth = radius * (slope[:, 0, 0] + slope[:, 1, 1]) / 2
    turn = radius * (slope[:, 1, 0] - slope[:, 0, 1]) / 2
    shear = (
        radius
        * np.stack([slope[:, 0, 0] - slope[:, 1, 1], slope[:, 0, 1] + slope[:, 1, 0]], axis=1)
        / 2
    )
    parts = np.concatenate([shift, growth[:, None], turn[:, None], shear], axis=1)  # (f, 6)
    magnitude = float(np.sqrt(np.square(parts).sum(1)).mean())
    if magnitude < CAMERA_PX:
        return "static", magnitude
    net, way = parts.sum(0), np.sqrt(np.square(parts).sum(1)).sum()
    if np.sqrt(np.square(net).sum()) < _SHAKE * way:
        return "shake", magnitude
    sizes: dict[CameraKind, float] = {
        "pan": float(np.hypot(net[0], net[1])),
        "zoom": abs(float(net[2])),
        "rotation": _TURNING * float(np.sqrt(np.square(net[3:]).sum())),
    }
    return max(sizes, key=lambda kind: sizes[kind]), magnitude

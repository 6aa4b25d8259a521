"""The ten motions: each builder lays its own movement over the common drift of the clip.

Invariant: a builder takes travel, place, size, pose and props from the factors, which ignore the
motion; what it adds is the motion and nothing else.

Paths are relative to the body's mean place on the floor, x to the right, y away, z up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from motive.zoo import physics
from motive.zoo.factors import Factors
from motive.zoo.physics import Array
from motive.zoo.shapes import Surface, deform, fragments, solid

RADIUS = 0.5  # scene units; the camera's distance sets how large the body appears
_METAL = (0.30, 0.31, 0.34)
_ROD = 0.95  # from the pivot to the centre of the body
_TOPSPIN = 2.0  # a rolling body turns this many times faster than without slip
_UPRIGHT = np.array([0.0, 0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Deformation:
    """Axial load of a soft body; see `shapes.deform`.

    Attributes:
        axis: Loaded axis of the part's frame.
        ratios: Length over length at rest, "f".
        bulges: Excess of the middle section, "f".
    """

    axis: int
    ratios: Array
    bulges: Array


@dataclass(frozen=True)
class Part:
    """One surface and its pose in every frame.

    Attributes:
        surface: Mesh in the part's own frame, at rest.
        positions: Places, "f 3".
        turns: Quaternions (x, y, z, w), "f 4".
        texture: Atlas image "h w 3" uint8, or None for the plain `colour`.
        colour: sRGB in [0, 1], used where there is no texture.
        deformation: Load of a soft body, None for a rigid one.
        is_body: Whether it is the moving body or a fragment of it.
        name: What it is: "body", "rod" or "distractor".
    """

    surface: Surface
    positions: Array
    turns: Array
    texture: NDArray[np.uint8] | None = None
    colour: tuple[float, float, float] = _METAL
    deformation: Deformation | None = None
    is_body: bool = False
    name: str = "body"


def simulate(
    motion: str,
    factors: Factors,
    times: Array,
    texture: NDArray[np.uint8],
    rng: np.random.Generator,
) -> list[Part]:
    """Simulate the body and its rod.

    Args:
        motion: One of `MOTIONS`.
        factors: Appearance and layout of the clip.
        times: Frame times from 0, in seconds, "f" with f > 1.
        texture: Atlas image of the body.
        rng: The clip's generator, for fragments.

    Returns:
        The parts with their poses on every frame; x and y are relative to the mean of the drift.
    """
    stage = _Stage(factors, times, rng, texture)
    _BUILDERS[motion](stage)
    if factors.rod != "none" and motion != "swing":
        _add_rod(stage, stage.centres(), swinging=None)
    return stage.parts


@dataclass
class _Stage:
    """Shared state of the motion builders."""

    factors: Factors
    times: Array
    rng: np.random.Generator
    texture: NDArray[np.uint8]
    parts: list[Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.surface = _scaled(solid(self.factors.shape), RADIUS)
        # Directions on the floor are counted from the camera's sideways.
        self.view = np.radians(self.factors.azimuth)
        self.heading = self.view + np.radians(self.factors.heading)
        self.pose = self._pose()

    def _pose(self) -> Array:
        """How the body lies at the start; a quaternion "4"."""
        own = _turn(2, np.radians(self.factors.turn))
        if self.factors.shape == "ball":
            return own
        if self.factors.lying:
            pose = physics.compose(_turn(0, np.pi / 2), own)
            return physics.compose(_turn(2, self.heading), pose)
        quarter = np.round(self.factors.turn / 90.0) * np.pi / 2
        return _turn(2, self.heading + quarter + np.radians(self.factors.askew))

    @property
    def sign(self) -> float:
        return 1.0 if self.factors.direction == "right" else -1.0

    @property
    def distance(self) -> Array:
        """Way along the heading, from 0, in scene units."""
        frame = 2.0 * RADIUS / self.factors.apparent
        speed: float = self.factors.travel * frame / max(float(self.times[-1]), 1.0)
        return speed * self.times

    def drift(self) -> Array:
        """The common travel "f 3", centred on the middle of the clip, on the floor."""
        out = np.zeros((self.times.size, 3))
        along = self.distance - self.distance[-1] / 2
        out[:, 0], out[:, 1] = along * np.cos(self.heading), along * np.sin(self.heading)
        return out

    def path(self, height: Array | float, across: Array | float = 0.0) -> Array:
        """The drift at a height, with an excursion across the view."""
        out = self.drift()
        out[:, 0] += across * np.cos(self.view)
        out[:, 1] += across * np.sin(self.view)
        out[:, 2] += height
        return out

    def support(self, turns: Array) -> Array:
        """Height of the centre of a body that touches the floor, "f" for turns "f 4"."""
        if self.factors.shape == "ball":
            return np.full(len(turns), RADIUS)
        return -physics.turn_points(turns, self.surface.vertices)[..., 2].min(axis=1)

    @property
    def base(self) -> float:
        return float(self.support(self.pose[None])[0])

    def centres(self) -> Array:
        """Mean place of the body, "f 3"."""
        mean: Array = np.mean([p.positions for p in self.parts if p.is_body], axis=0)
        return mean

    def add_body(self, positions: Array, turns: Array | None = None) -> None:
        turns = np.broadcast_to(self.pose if turns is None else turns, (self.times.size, 4))
        self.parts.append(Part(self.surface, positions, turns, self.texture, is_body=True))


def _turn(axis: int, angle: float) -> Array:
    turn: Array = physics.axis_turn(axis, np.array([angle]))[0]
    return turn


def _about(axis: int, angle: Array, view: float) -> Array:
    """Turn by `angle` "f" about a coordinate axis that itself is turned by `view` about z."""
    return physics.compose(
        _turn(2, view), physics.compose(physics.axis_turn(axis, angle), _turn(2, -view))
    )


def _scaled(surface: Surface, size: float) -> Surface:
    return Surface(surface.vertices * size, surface.normals, surface.uvs, surface.triangles)


def _bounce(stage: _Stage) -> None:
    a, b, c = stage.factors.variant[:3]
    # Thrown so that the first impact falls early and the rebound is inside a clip of one second.
    impact, when = 5.2 + 0.7 * a, 0.16 + 0.22 * b
    height = impact * when - 0.5 * physics.GRAVITY * when**2
    fall = physics.bouncing_height(
        stage.times, height, impact - physics.GRAVITY * when, 0.80 + 0.12 * c
    )
    stage.add_body(stage.path(stage.base + fall))


def _free_fall(stage: _Stage) -> None:
    a, b = stage.factors.variant[:2]
    released = np.maximum(stage.times - 0.10 - 0.30 * a, 0.0)
    height = physics.bouncing_height(released, 1.25 + 0.3 * b, 0.0, 0.0)
    stage.add_body(stage.path(stage.base + height))


def _roll(stage: _Stage) -> None:
    lift = 0.82 * RADIUS if stage.factors.shape == "cube" else float(stage.base)
    # A cube advances by an edge for every quarter turn, a round body by its circumference.
    way = 8.0 * lift if stage.factors.shape == "cube" else 2.0 * np.pi * lift
    angle = _TOPSPIN * stage.distance / way * 2.0 * np.pi
    turns = physics.compose(_about(1, angle, stage.heading), stage.pose)
    stage.add_body(stage.path(stage.support(turns)), turns)


def _slide(stage: _Stage) -> None:
    stage.add_body(stage.path(stage.base))


def _spin(stage: _Stage) -> None:
    a, b = stage.factors.variant[:2]
    rate = 2.0 * np.pi * (0.85 + 0.3 * a) * (1.0 if b < 0.5 else -1.0)
    turns = physics.compose(physics.axis_turn(2, rate * stage.times), stage.pose)
    stage.add_body(stage.path(stage.base + stage.factors.lift), turns)


def _float(stage: _Stage) -> None:
    a, b, c = stage.factors.variant[:3]
    speed = (0.75 + 0.35 * a) / max(1.0, float(stage.times[-1]))
    rise = physics.rising_height(stage.times, speed, 0.08)
    phase = 2.0 * np.pi * ((1.0 + 0.3 * c) * stage.times + b)
    tilt = _about(1, np.radians(16.0) * np.cos(phase), stage.view)
    height = stage.base + 0.1 + stage.factors.lift + rise
    stage.add_body(
        stage.path(height, across=0.2 * np.sin(phase)), physics.compose(tilt, stage.pose)
    )


def _swing(stage: _Stage) -> None:
    a, b = stage.factors.variant[:2]
    amplitude, turning = np.radians(44.0 + 12.0 * a), 0.15 + 0.5 * b
    # Symmetric in time about a turning point, which lies inside a clip of one second.
    away, back = np.unique(np.abs(stage.times - turning), return_inverse=True)
    angle = stage.sign * physics.pendulum_angle(away, _ROD, amplitude, 0.0)[back]
    turns = physics.compose(_about(1, -angle, stage.view), stage.pose)
    pivot = stage.base + 0.1 + stage.factors.lift + _ROD
    path = stage.path(pivot - _ROD * np.cos(angle), across=_ROD * np.sin(angle))
    stage.add_body(path, turns)
    if stage.factors.rod != "none":
        _add_rod(stage, path, swinging=angle)


def _add_rod(stage: _Stage, centres: Array, swinging: Array | None) -> None:
    """Add the rod of a pendulum, or one that only looks so in one frame.

    It runs close behind the body, at an angle of the same law, so a frame does not tell which.
    """
    g = stage.factors.variant[5]
    if swinging is None:
        still = np.radians(50.0) * np.cos(2.0 * np.pi * g)
        frame = int(stage.factors.variant[4] * stage.times.size)
        centres = np.broadcast_to(centres[frame], centres.shape).copy()
        if stage.factors.rod == "drifting":
            centres += stage.drift() - stage.drift()[frame]
        swinging = np.full(stage.times.size, still)
    half = 0.5 * (_ROD - 0.35 * RADIUS)
    reach = _ROD - half  # from the body's centre to the middle of the rod
    middle = centres.copy()
    behind = 0.9 * RADIUS
    middle[:, 0] -= reach * np.sin(swinging) * np.cos(stage.view) + behind * np.sin(stage.view)
    middle[:, 1] -= reach * np.sin(swinging) * np.sin(stage.view) - behind * np.cos(stage.view)
    middle[:, 2] += reach * np.cos(swinging)
    turns = physics.compose(
        _about(1, -swinging, stage.view), np.broadcast_to(_UPRIGHT, (stage.times.size, 4))
    )
    box = solid("cube", 1)
    thin = box.vertices / 0.82 * np.array([0.035, 0.035, half])
    surface = Surface(thin, box.normals, box.uvs, box.triangles)
    stage.parts.append(Part(surface, middle, turns, name="rod"))


def _explode(stage: _Stage) -> None:
    a, b, c = stage.factors.variant[:3]
    jitter = stage.rng.uniform(-0.12, 0.12, size=(3, 2))
    third = np.array([-1.0, -1.0 / 3.0, 1.0 / 3.0, 1.0])
    cuts = [third + np.array([0.0, *jitter[axis], 0.0]) for axis in range(3)]
    if c < 0.5:
        cuts[2] = np.array([-1.0, jitter[2, 0], 1.0])
    pieces = fragments(stage.factors.shape, (cuts[0], cuts[1], cuts[2]))
    spread = physics.turn_points(stage.pose[None], np.array([centre for _, centre in pieces]))[0]
    speeds = (3.0 + 0.9 * b) * stage.rng.uniform(0.8, 1.3, size=(len(pieces), 1))
    velocities = speeds * spread + stage.rng.normal(0.0, 0.5, size=spread.shape)
    velocities -= velocities.mean(axis=0)
    depth = np.array([-np.sin(stage.view), np.cos(stage.view), 0.0])
    velocities -= 0.5 * (velocities @ depth)[:, None] * depth  # few pieces into the lens
    velocities[:, 2] += 2.4
    burst = 0.08 + 0.16 * a
    origins = spread * RADIUS + np.array([0.0, 0.0, stage.base + stage.factors.lift])
    paths = physics.burst_paths(stage.times, burst, origins, velocities, 0.25 * RADIUS)
    after = np.maximum(stage.times - burst, 0.0)
    for number, (surface, _) in enumerate(pieces):
        axis = int(stage.rng.integers(3))
        tumble = physics.axis_turn(axis, stage.rng.uniform(-9.0, 9.0) * after)
        stage.parts.append(
            Part(
                _scaled(surface, RADIUS),
                paths[:, number] + stage.drift(),
                physics.compose(tumble, stage.pose),
                stage.texture,
                is_body=True,
            )
        )


def _compress(stage: _Stage) -> None:
    a, b = stage.factors.variant[:2]
    progress = physics.settle(stage.times, 0.06 + 0.1 * a, 0.5 + 0.15 * b)
    _add_soft(stage, 1.0 - 0.57 * progress, 0.30 * progress)


def _stretch(stage: _Stage) -> None:
    a, b = stage.factors.variant[:2]
    progress = physics.settle(stage.times, 0.06 + 0.1 * a, 0.5 + 0.15 * b)
    _add_soft(stage, 1.0 + 1.0 * progress, -0.22 * progress)


def _add_soft(stage: _Stage, ratios: Array, bulges: Array) -> None:
    """Add the body under a load that is vertical (0.75) or across the view (0.25)."""
    c, d = stage.factors.variant[2:4]
    axis = 2 if c < 0.75 else 0
    yaw = stage.view + np.radians(20.0) * (2.0 * d - 1.0)
    # The load acts along an axis of the part's frame, so the start pose goes into the mesh.
    posed = physics.compose(_turn(2, -yaw), stage.pose)[None]
    surface = Surface(
        physics.turn_points(posed, stage.surface.vertices)[0],
        physics.turn_points(posed, stage.surface.normals)[0],
        stage.surface.uvs,
        stage.surface.triangles,
    )
    lowest = [
        -float(deform(surface, axis, float(r), float(b)).vertices[:, 2].min())
        for r, b in zip(ratios, bulges, strict=True)
    ]
    path = stage.path(np.array(lowest) + stage.factors.lift)
    turns = np.broadcast_to(_turn(2, yaw), (stage.times.size, 4))
    load = Deformation(axis, ratios, bulges)
    stage.parts.append(Part(surface, path, turns, stage.texture, deformation=load, is_body=True))


_BUILDERS: dict[str, Callable[[_Stage], None]] = {
    "compress": _compress,
    "bounce": _bounce,
    "roll": _roll,
    "explode": _explode,
    "float": _float,
    "free fall": _free_fall,
    "slide": _slide,
    "spin": _spin,
    "stretch": _stretch,
    "swing": _swing,
}

MOTIONS: tuple[str, ...] = tuple(_BUILDERS)

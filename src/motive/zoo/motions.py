"""The ten motions: each builder turns factors into moving parts.

Invariant: a builder reads place, size, speed and direction from the factors and draws nothing that
another motion's factors depend on; props (rods, plates, jaws) are plain grey.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from motive.zoo import physics
from motive.zoo.physics import Array
from motive.zoo.shapes import Surface, deform, fragments, half_height, solid

SPEEDS: dict[str, float] = {"slow": 0.75, "medium": 1.0, "fast": 1.3}
_METAL = (0.42, 0.44, 0.47)


@dataclass(frozen=True)
class Factors:
    """Appearance and layout of a clip; lengths in scene units, angles in degrees.

    Attributes:
        shape: Solid, one of `SHAPES`.
        colour: Main colour.
        accent: Second colour of the pattern.
        pattern: Surface pattern.
        floor: Colour name of the floor.
        background: Colour name of the wall.
        size: Radius of the body.
        x: Sideways place of the body; the frame is about 3 units wide.
        depth: Distance behind the middle of the stage.
        speed: "slow", "medium" or "fast"; what it scales depends on the motion.
        direction: "left" or "right".
        yaw: Turn of the body about the vertical at the start.
        light_x: Sideways slope of the light.
        light_depth: Backward slope of the light.
        warmth: Colour of the light, -1 cool to 1 warm.
        camera: "static", "pan left" or "pan right".
        aim_x: Sideways offset of the camera's aim.
        aim_z: Vertical offset of the camera's aim.
        variant: Four numbers in [0, 1) that vary a motion within itself.
    """

    shape: str
    colour: str
    accent: str
    pattern: str
    floor: str
    background: str
    size: float
    x: float
    depth: float
    speed: str
    direction: str
    yaw: float
    light_x: float
    light_depth: float
    warmth: float
    camera: str
    aim_x: float
    aim_z: float
    variant: tuple[float, float, float, float]


@dataclass(frozen=True)
class Part:
    """One rigid surface and its pose in every frame.

    Attributes:
        surface: Mesh in the part's own frame.
        texture: Atlas image "h w 3" uint8, or None for the plain `colour`.
        colour: sRGB in [0, 1], used where there is no texture.
        positions: Places, "f 3".
        turns: Quaternions (x, y, z, w), "f 4".
        visible: Whether the part is in the frame at all, "f".
    """

    surface: Surface
    positions: Array
    turns: Array
    texture: NDArray[np.uint8] | None = None
    colour: tuple[float, float, float] = _METAL
    visible: NDArray[np.bool_] | None = None


def simulate(
    motion: str,
    factors: Factors,
    times: Array,
    texture: NDArray[np.uint8],
    rng: np.random.Generator,
) -> list[Part]:
    """Simulate a motion.

    Args:
        motion: One of `MOTIONS`.
        factors: Appearance and layout of the clip.
        times: Frame times from 0, in seconds, "f" with f > 1.
        texture: Atlas image of the body.
        rng: The clip's generator, for fragments.

    Returns:
        The parts with their poses on every frame.
    """
    surface = _scaled(solid(factors.shape), factors.size)
    stage = _Stage(factors, times, rng, texture, surface)
    _BUILDERS[motion](stage)
    return stage.parts


@dataclass
class _Stage:
    """Shared state of the motion builders."""

    factors: Factors
    times: Array
    rng: np.random.Generator
    texture: NDArray[np.uint8]
    surface: Surface
    parts: list[Part] = field(default_factory=list)

    @property
    def size(self) -> float:
        return self.factors.size

    @property
    def base(self) -> float:
        """Height of the centre of a body that stands on the floor."""
        return half_height(self.factors.shape) * self.factors.size

    @property
    def pace(self) -> float:
        return SPEEDS[self.factors.speed]

    @property
    def unhurried(self) -> float:
        """Slows travelling bodies in clips over one second, so that they stay in the frame."""
        return min(1.0, 1.0 / float(self.times[-1]))

    @property
    def sign(self) -> float:
        return 1.0 if self.factors.direction == "right" else -1.0

    @property
    def yaw(self) -> Array:
        turn: Array = physics.axis_turn(2, np.array([np.radians(self.factors.yaw)]))[0]
        return turn

    def still(self, position: tuple[float, float, float]) -> Array:
        return np.tile(np.asarray(position, dtype=float), (self.times.size, 1))

    def place(self, x: Array | float, z: Array | float, depth: Array | float = 0.0) -> Array:
        """Path "f 3" from its coordinates; `depth` counts from the body's own depth."""
        out = np.empty((self.times.size, 3))
        out[:, 0], out[:, 1], out[:, 2] = x, self.factors.depth + depth, z
        return out

    def add_body(self, positions: Array, turns: Array) -> None:
        turns = np.broadcast_to(turns, (self.times.size, 4))
        self.parts.append(Part(self.surface, positions, turns, self.texture))

    def add_prop(
        self, half: tuple[float, float, float], positions: Array, turns: Array | None = None
    ) -> None:
        """Add a plain grey box (plate, rod, clamp) with half extents `half`."""
        box = solid("cube", 1)
        scaled = Surface(
            box.vertices / 0.82 * np.asarray(half), box.normals, box.uvs, box.triangles
        )
        upright = np.tile([0.0, 0.0, 0.0, 1.0], (self.times.size, 1))
        self.parts.append(Part(scaled, positions, upright if turns is None else turns))


def _scaled(surface: Surface, size: float) -> Surface:
    return Surface(surface.vertices * size, surface.normals, surface.uvs, surface.triangles)


def _bounce(stage: _Stage) -> None:
    a, b, c, d = stage.factors.variant
    # Thrown up or down a little, so that the impact falls on any frame.
    downward = 1.6 * (stage.pace - 0.75) + 3.0 * (d - 0.5)
    height = physics.bouncing_height(stage.times, 0.9 + 0.7 * a, downward, 0.74 + 0.14 * b)
    travel = stage.sign * (0.15 + 0.5 * c) * stage.pace * stage.unhurried * stage.times
    x = 0.8 * stage.factors.x + travel - travel[-1] / 2
    stage.add_body(stage.place(x, stage.base + height), stage.yaw)


def _free_fall(stage: _Stage) -> None:
    a, b, _, _ = stage.factors.variant
    released = np.maximum(stage.times - 0.3 * a, 0.0)
    start = 1.75 + 0.75 * b - stage.base * 0.5
    height = physics.bouncing_height(released, start, 0.8 * (stage.pace - 0.75), 0.0)
    stage.add_body(stage.place(stage.factors.x, stage.base + height), stage.yaw)


def _roll(stage: _Stage) -> None:
    a, b, _, _ = stage.factors.variant
    distance = physics.braked_distance(stage.times, 1.75 * stage.pace * stage.unhurried, 0.5 * a)
    heading = np.radians(20.0 * (2.0 * b - 1.0))
    along = stage.sign * (distance - distance[-1] / 2)
    radius = stage.size * (1.0 if stage.factors.shape == "ball" else 0.85)
    # The body's own axis is laid along the depth; rolling turns it without slip.
    lay = physics.axis_turn(0, np.array([np.pi / 2]))[0]
    spin = physics.axis_turn(1, stage.sign * distance / radius)
    turn = physics.axis_turn(2, np.array([heading]))[0]
    turns = physics.compose(turn, physics.compose(spin, lay))
    path = stage.place(
        0.35 * stage.factors.x + along * np.cos(heading), radius, along * np.sin(heading)
    )
    stage.add_body(path, turns)


def _slide(stage: _Stage) -> None:
    a, b, _, _ = stage.factors.variant
    speed = 1.75 * stage.pace * stage.unhurried
    distance = physics.braked_distance(stage.times, speed, speed * (0.3 + 0.7 * a))
    heading = np.radians(20.0 * (2.0 * b - 1.0))
    along = stage.sign * (distance - distance[-1] / 2)
    path = stage.place(
        0.35 * stage.factors.x + along * np.cos(heading), stage.base, along * np.sin(heading)
    )
    stage.add_body(path, stage.yaw)


def _spin(stage: _Stage) -> None:
    a, b, _, _ = stage.factors.variant
    rate = 2.0 * np.pi * (0.6 + 0.2 * a) * stage.pace
    drag = 0.25 * b + 1e-6
    angle = stage.sign * rate * (1.0 - np.exp(-drag * stage.times)) / drag
    turns = physics.axis_turn(2, np.radians(stage.factors.yaw) + angle)
    stage.add_body(stage.place(stage.factors.x, stage.base), turns)


def _float(stage: _Stage) -> None:
    a, b, c, d = stage.factors.variant
    rise = physics.rising_height(stage.times, (0.7 + 0.4 * a) * stage.pace * stage.unhurried, 0.12)
    phase = 2.0 * np.pi * (0.9 * stage.times + b)
    sway = 0.10 * np.sin(phase) + stage.sign * (0.05 + 0.25 * c) * stage.times
    x = 0.8 * stage.factors.x + sway
    tilt = physics.axis_turn(1, np.radians(9.0) * np.cos(phase))
    room = max(2.25 - rise[-1] - stage.base - 0.15, 0.0)
    z = stage.base + 0.15 + room * d + rise + 0.03 * np.sin(2.0 * phase)
    stage.add_body(stage.place(x, z), physics.compose(tilt, stage.yaw))


def _swing(stage: _Stage) -> None:
    a, b, c, _ = stage.factors.variant
    length = 1.25 + 0.3 * a
    pivot_z = length + stage.base + 0.15 + 0.3 * b
    amplitude = np.radians({"slow": 36.0, "medium": 44.0, "fast": 52.0}[stage.factors.speed])
    # Anywhere from the turning point to a quarter of the arc, by conservation of energy.
    start = -stage.sign * amplitude * (1.0 - 0.3 * c)
    speed = np.sqrt(2.0 * physics.GRAVITY / length * (np.cos(start) - np.cos(amplitude)))
    angle = physics.pendulum_angle(stage.times, length, start, stage.sign * speed)
    pivot_x = 0.5 * stage.factors.x
    tilt = physics.axis_turn(1, -angle)
    x = pivot_x + length * np.sin(angle)
    z = pivot_z - length * np.cos(angle)
    stage.add_body(stage.place(x, z), physics.compose(tilt, stage.yaw))
    rod = length - stage.base
    middle = stage.place(pivot_x + rod / 2 * np.sin(angle), pivot_z - rod / 2 * np.cos(angle))
    stage.add_prop((0.028, 0.028, rod / 2), middle, tilt)
    stage.add_prop((0.09, 0.09, 0.09), stage.place(pivot_x, pivot_z))


def _explode(stage: _Stage) -> None:
    a, b, c, _ = stage.factors.variant
    shape, size = stage.factors.shape, stage.size
    jitter = stage.rng.uniform(-0.12, 0.12, size=(3, 2))
    third = np.array([-1.0, -1.0 / 3.0, 1.0 / 3.0, 1.0])
    cuts = [third + np.array([0.0, *jitter[axis], 0.0]) for axis in range(3)]
    if stage.rng.random() < 0.5:
        cuts[2] = np.array([-1.0, jitter[2, 0], 1.0])
    pieces = fragments(shape, (cuts[0], cuts[1], cuts[2]))
    centres = np.array([centre for _, centre in pieces]) * size
    burst = 0.1 + 0.14 * a
    z = stage.base + 0.8 * b
    middle = np.array([0.7 * stage.factors.x, stage.factors.depth, z])
    spread = centres / size
    kick = (2.6 + 0.9 * c) * stage.pace
    velocities = kick * spread * stage.rng.uniform(0.8, 1.3, size=(len(pieces), 1))
    velocities += stage.rng.normal(0.0, 0.6, size=velocities.shape)
    velocities *= np.array([1.0, 0.5, 1.0])  # few pieces into the lens
    velocities[:, 2] += 2.6
    velocities[:, 0] += 0.2 * stage.sign
    yaw = np.radians(stage.factors.yaw)
    turned = _turn_z(centres, yaw) + middle
    paths = physics.burst_paths(stage.times, burst, turned, _turn_z(velocities, yaw), 0.25 * size)
    after = np.maximum(stage.times - burst, 0.0)
    for number, (surface, _) in enumerate(pieces):
        axis = int(stage.rng.integers(3))
        tumble = physics.axis_turn(axis, stage.rng.uniform(-9.0, 9.0) * after)
        turns = physics.compose(tumble, stage.yaw)
        stage.parts.append(Part(_scaled(surface, size), paths[:, number], turns, stage.texture))


def _turn_z(points: Array, angle: float) -> Array:
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _compress(stage: _Stage) -> None:
    a, b, c, _ = stage.factors.variant
    progress = physics.settle(stage.times, 0.05 + 0.1 * a, 0.62 / stage.pace)
    ratios = 1.0 - progress * (0.48 + 0.14 * b)
    heights = stage.base * ratios
    path = stage.place(stage.factors.x, heights)
    _add_deforming(stage, path, axis=2, ratios=ratios, bulges=0.30 * progress)
    if c < 0.7:  # the rest is squashed by an unseen force
        top = 2.0 * heights + 0.07
        stage.add_prop((0.62, 0.5, 0.07), stage.place(stage.factors.x, top))
        stage.add_prop((0.09, 0.09, 1.6), stage.place(stage.factors.x, top + 1.6))


def _stretch(stage: _Stage) -> None:
    a, b, c, d = stage.factors.variant
    progress = physics.settle(stage.times, 0.05 + 0.1 * a, 0.65 / stage.pace)
    ratios = 1.0 + progress * (0.85 + 0.45 * b)
    upright = d < 0.35
    bulges = -0.22 * progress
    if upright:
        path = stage.place(stage.factors.x, stage.base * ratios)
        _add_deforming(stage, path, axis=2, ratios=ratios, bulges=bulges)
        if c < 0.7:
            top = 2.0 * stage.base * ratios + 0.06
            stage.add_prop((0.2, 0.2, 0.06), stage.place(stage.factors.x, top))
            stage.add_prop((0.05, 0.05, 1.2), stage.place(stage.factors.x, top + 1.2))
        return
    x = 0.45 * stage.factors.x
    height = stage.base + 0.7 * stage.rng.random()
    reach = stage.base
    _add_deforming(stage, stage.place(x, height), axis=0, ratios=ratios, bulges=bulges)
    for side in (-1.0, 1.0):  # two jaws hold it in the air and draw apart
        edge = x + side * (reach * ratios + 0.06)
        stage.add_prop((0.06, 0.16, 0.16), stage.place(edge, height))
        stage.add_prop((1.0, 0.045, 0.045), stage.place(edge + side * 1.0, height))


def _add_deforming(stage: _Stage, path: Array, *, axis: int, ratios: Array, bulges: Array) -> None:
    """Add the body as one surface per frame, each visible in its own frame."""
    angle = stage.factors.yaw * (1.0 if axis == 2 else 0.3)
    turn = physics.axis_turn(2, np.array([np.radians(angle)]))
    turns = np.broadcast_to(turn, (stage.times.size, 4))
    for frame in range(stage.times.size):
        surface = deform(stage.surface, axis, float(ratios[frame]), float(bulges[frame]))
        shown = np.arange(stage.times.size) == frame
        stage.parts.append(Part(surface, path, turns, stage.texture, visible=shown))


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

"""What a MotionZoo clip shows: factors drawn independently of the motion, then its moving parts.

Invariant: `draw_factors` consumes the same random numbers whatever the motion is, so colour,
pattern, place, size, speed, direction, light and camera say nothing about the label. Only the
solid depends on it, and only where physics does: a cube does not roll, a ball does not slide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motive.zoo import physics
from motive.zoo.motions import SPEEDS, Factors, Part, simulate
from motive.zoo.physics import Array
from motive.zoo.shading import ACCENTS, COLOURS, FLOORS, PATTERNS, WALLS, bake_texture
from motive.zoo.shapes import SHAPES

_POSSIBLE_SHAPES = {"roll": ("ball", "cylinder"), "slide": ("cube", "cylinder")}
_CAMERA_DISTANCE = 5.6


@dataclass(frozen=True)
class Scene:
    """Everything the renderer needs for one clip.

    Attributes:
        parts: Moving and standing parts, without floor and wall.
        floor: sRGB of the floor.
        wall: sRGB of the wall.
        light: Direction in which the light travels, "3".
        light_colour: Linear RGB radiance, "3".
        camera: Camera poses (x, y, z, qx, qy, qz, qw), "f 7".
    """

    parts: list[Part]
    floor: tuple[float, float, float]
    wall: tuple[float, float, float]
    light: Array
    light_colour: Array
    camera: Array


def draw_factors(rng: np.random.Generator, motion: str) -> Factors:
    """Draw a clip's factors; all but the solid ignore `motion` (see the module's invariant)."""
    solids = _POSSIBLE_SHAPES.get(motion, SHAPES)
    pan = rng.random()
    return Factors(
        shape=solids[int(rng.random() * len(solids))],
        colour=str(rng.choice(list(COLOURS))),
        accent=str(rng.choice(list(ACCENTS))),
        pattern=str(rng.choice(PATTERNS)),
        floor=str(rng.choice(list(FLOORS))),
        background=str(rng.choice(list(WALLS))),
        size=float(rng.uniform(0.40, 0.52)),
        x=float(rng.uniform(-0.65, 0.65)),
        depth=float(rng.uniform(-0.3, 0.6)),
        speed=str(rng.choice(list(SPEEDS))),
        direction=str(rng.choice(["left", "right"])),
        yaw=float(rng.uniform(-40.0, 40.0)),
        light_x=float(rng.uniform(-0.8, 0.8)),
        light_depth=float(rng.uniform(0.3, 0.85)),
        warmth=float(rng.uniform(-1.0, 1.0)),
        camera="static" if pan < 0.85 else ("pan left" if pan < 0.925 else "pan right"),
        aim_x=float(rng.uniform(-0.2, 0.2)),
        aim_z=float(rng.uniform(-0.1, 0.1)),
        variant=(rng.random(), rng.random(), rng.random(), rng.random()),
    )


def build_scene(
    motion: str, factors: Factors, rng: np.random.Generator, *, frames: int, fps: float
) -> Scene:
    """Simulate a motion.

    Args:
        motion: One of `MOTIONS`.
        factors: What `draw_factors` gave for the clip.
        rng: The clip's generator, for fragments.
        frames: Number of frames.
        fps: Frames per second.

    Returns:
        The scene with poses on every frame.
    """
    times = np.arange(frames) / fps
    texture = bake_texture(factors.shape, factors.pattern, factors.colour, factors.accent)
    light = np.array([factors.light_x, factors.light_depth, -1.0])
    warm = factors.warmth
    return Scene(
        parts=simulate(motion, factors, times, texture, rng),
        floor=FLOORS[factors.floor],
        wall=WALLS[factors.background],
        light=light / np.linalg.norm(light),
        light_colour=np.array([1.0 + 0.06 * warm, 1.0, 1.0 - 0.08 * warm]) * 0.85,
        camera=_camera(factors, times),
    )


def _camera(factors: Factors, times: Array) -> Array:
    """A camera in front of the stage; a pan turns it by 5 degrees a second."""
    pan = {"static": 0.0, "pan left": 1.0, "pan right": -1.0}[factors.camera]
    yaw = np.radians(pan * 5.0) * (times - times.mean())
    tilt = np.full_like(times, np.radians(90.0 - 3.6))
    out = np.empty((times.size, 7))
    out[:, :3] = (factors.aim_x, -_CAMERA_DISTANCE, 1.5 + factors.aim_z)
    out[:, 3:] = physics.compose(physics.axis_turn(2, yaw), physics.axis_turn(0, tilt))
    return out

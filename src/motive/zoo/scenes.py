"""What a MotionZoo clip shows: the body, the things around it, light and camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from motive.zoo import physics
from motive.zoo.camera import Camera, aimed_camera
from motive.zoo.factors import Factors
from motive.zoo.motions import RADIUS, Deformation, Part, simulate
from motive.zoo.physics import Array
from motive.zoo.shading import COLOURS, FLOORS, WALLS, Rgb, bake_texture
from motive.zoo.shapes import Surface, solid


@dataclass(frozen=True)
class Scene:
    """Everything the renderer needs for one clip.

    Attributes:
        parts: Moving and standing parts, without floor and wall.
        floor: sRGB of the floor.
        wall: sRGB of the wall.
        light: Direction in which the light travels, "3".
        light_colour: Linear RGB radiance, "3".
        camera: The camera in every frame.
    """

    parts: list[Part]
    floor: Rgb
    wall: Rgb
    light: Array
    light_colour: Array
    camera: Camera

    def body_centres(self) -> Array:
        """Mean place of the body, over its fragments if it has burst, "f 3"."""
        return body_centres(self.parts)


def body_centres(parts: list[Part]) -> Array:
    """Mean place of the body among `parts`, "f 3"."""
    mean: Array = np.mean([part.positions for part in parts if part.is_body], axis=0)
    return mean


def build_scene(
    motion: str,
    factors: Factors,
    rng: np.random.Generator,
    *,
    frames: int,
    fps: float,
    frozen: bool = False,
) -> Scene:
    """Simulate a clip.

    Args:
        motion: One of `MOTIONS`.
        factors: What `draw_factors` gave for the clip.
        rng: The clip's generator, for fragments.
        frames: Number of frames.
        fps: Frames per second.
        frozen: Keep everything but the camera as it is in the first frame.

    Returns:
        The scene with poses on every frame.
    """
    times = np.arange(frames) / fps
    texture = bake_texture(factors.shape, factors.pattern, factors.colour, factors.accent)
    parts = simulate(motion, factors, times, texture, rng) + _distractors(factors, times)
    if frozen:
        parts = [_first_frame(part) for part in parts]
    light = np.array([factors.light_x, factors.light_depth, -1.0])
    warm = factors.warmth
    return Scene(
        parts=parts,
        floor=FLOORS[factors.floor],
        wall=WALLS[factors.background],
        light=light / np.linalg.norm(light),
        light_colour=np.array([1.0 + 0.06 * warm, 1.0, 1.0 - 0.08 * warm]) * 0.85,
        camera=aimed_camera(factors, times, body_centres(parts)),
    )


def _distractors(factors: Factors, times: Array) -> list[Part]:
    """The other solids, upright on the floor behind the body."""
    frame = 2.0 * RADIUS / factors.apparent
    view = np.radians(factors.azimuth)
    right = np.array([np.cos(view), np.sin(view), 0.0])
    away = np.array([-np.sin(view), np.cos(view), 0.0])
    progress = (times - times.mean()) / max(float(times[-1]), 1.0)
    parts = []
    for thing in factors.distractors:
        rest = solid(thing.shape)
        surface = Surface(rest.vertices * thing.radius, rest.normals, rest.uvs, rest.triangles)
        along = (thing.across + thing.drift * progress)[:, None] * frame
        place = right * along + away * thing.behind
        place[:, 2] = -surface.vertices[:, 2].min()
        turns = np.broadcast_to(physics.axis_turn(2, np.array([view + 0.4])), (times.size, 4))
        parts.append(Part(surface, place, turns, colour=COLOURS[thing.colour], name="distractor"))
    return parts


def _first_frame(part: Part) -> Part:
    """The part standing as it is in the first frame."""
    load = part.deformation
    if load is not None:
        load = Deformation(
            load.axis, np.full_like(load.ratios, load.ratios[0]), load.bulges * 0 + load.bulges[0]
        )
    return replace(
        part,
        positions=np.broadcast_to(part.positions[0], part.positions.shape),
        turns=np.broadcast_to(part.turns[0], part.turns.shape),
        deformation=load,
    )

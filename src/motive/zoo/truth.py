"""Ground truth of MotionZoo clips: exact flow, visibility, object masks and camera.

Every pixel's first hit is taken back to the material point it shows, which is followed to the
other frame and projected there. Nothing here touches the clip: its rays are traced separately.

Invariant: a file is there whole or not at all, and loads without unpickling anything.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motive.errors import DatasetError
from motive.files import whole_file
from motive.zoo import physics
from motive.zoo.motions import Part
from motive.zoo.physics import Array
from motive.zoo.render import SceneRenderer, StagedScene
from motive.zoo.scenes import Scene
from motive.zoo.shapes import deform_points, restore_points

_FORMAT = 1  # of the file
_TOUCH = 0.02  # scene units by which flat triangles may miss the analytic soft body
_ARRAYS = (
    "step_flow",
    "step_visible",
    "start_flow",
    "start_visible",
    "objects",
    "object_names",
    "camera_poses",
    "intrinsics",
)


@dataclass(frozen=True)
class GroundTruth:
    """What a simulator knows about a clip of f frames of h x w px.

    Flow counts px to the right and downwards. A pixel stands for the ray through its centre.

    Attributes:
        step_flow: From frame i to i + 1, "f-1 h w 2", float32.
        step_visible: Whether the point is seen in frame i + 1 too, "f-1 h w".
        start_flow: From frame 0 to frame i + 1, "f-1 h w 2", float32.
        start_visible: Whether the point of frame 0 is seen in frame i + 1, "f-1 h w".
        objects: Object number of every pixel, "f h w" uint8: 0 floor, wall and sky, 1 the body or
            any of its fragments, from 2 on rod and distractors.
        object_names: Name of every object number.
        camera_poses: (x, y, z, qx, qy, qz, qw) from camera to world, "f 7"; the camera looks
            along its -z, +y is up, units are scene units.
        intrinsics: Pinhole matrices in px with y down and the depth axis forward, "f 3 3".
        factors: The clip's factors, as in its row of metadata.jsonl.
    """

    step_flow: NDArray[np.float32]
    step_visible: NDArray[np.bool_]
    start_flow: NDArray[np.float32]
    start_visible: NDArray[np.bool_]
    objects: NDArray[np.uint8]
    object_names: tuple[str, ...]
    camera_poses: Array
    intrinsics: Array
    factors: dict[str, Any]


def scene_truth(scene: Scene, renderer: SceneRenderer, factors: dict[str, Any]) -> GroundTruth:
    """Trace the ground truth of a scene.

    Args:
        scene: The clip's scene on f frames.
        renderer: Gives the image size.
        factors: The clip's factors, kept as they are.
    """
    staged, size = renderer.stage(scene), renderer.size
    count = len(scene.camera.poses)
    names, number_of = _objects(scene.parts)
    objects = np.empty((count, size, size), dtype=np.uint8)
    steps = np.empty((count - 1, size, size, 2), dtype=np.float32)
    starts = np.empty_like(steps)
    steps_seen = np.empty((count - 1, size, size), dtype=np.bool_)
    starts_seen = np.empty_like(steps_seen)
    first = _Seen(staged, scene, 0, size)
    now = first
    for frame in range(count):
        objects[frame] = number_of[now.parts]  # -1 and -2 read the two zeros at the end
        if frame == count - 1:
            break
        steps[frame], steps_seen[frame] = _follow(staged, scene, now, frame + 1)
        if frame == 0:
            starts[0], starts_seen[0] = steps[0], steps_seen[0]
        else:
            starts[frame], starts_seen[frame] = _follow(staged, scene, first, frame + 1)
        now = _Seen(staged, scene, frame + 1, size)
    intrinsics = np.zeros((count, 3, 3))
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = scene.camera.focal * size
    intrinsics[:, :2, 2], intrinsics[:, 2, 2] = size / 2.0, 1.0
    return GroundTruth(
        step_flow=steps,
        step_visible=steps_seen,
        start_flow=starts,
        start_visible=starts_seen,
        objects=objects,
        object_names=names,
        camera_poses=scene.camera.poses,
        intrinsics=intrinsics,
        factors=factors,
    )


def save_truth(path: str | os.PathLike[str], truth: GroundTruth) -> None:
    """Write a compressed .npz: float16 flow, the rest exact.

    Raises:
        MotiveError: The file cannot be written.
    """
    arrays: dict[str, Any] = {name: getattr(truth, name) for name in _ARRAYS}
    for name in ("step_flow", "start_flow"):
        arrays[name] = arrays[name].astype(np.float16)
    arrays["object_names"] = np.array(truth.object_names)
    arrays["factors"] = np.array(json.dumps(truth.factors))
    arrays["format"] = np.array(_FORMAT)
    with whole_file(path) as partial:
        np.savez_compressed(partial, **arrays)


def load_truth(path: str | os.PathLike[str]) -> GroundTruth:
    """Read the ground truth of a clip.

    Raises:
        DatasetError: The file is missing, damaged or of another format.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            if int(file["format"]) != _FORMAT:
                raise DatasetError(
                    f"{path}: ground truth of format {int(file['format'])}, this version reads "
                    f"format {_FORMAT}; make it again"
                )
            arrays: dict[str, Any] = {name: file[name] for name in _ARRAYS}
            factors = json.loads(str(file["factors"]))
    except FileNotFoundError:
        raise DatasetError(f"{path}: no ground truth there; make the zoo with truth") from None
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"{path}: damaged ground truth ({str(error).splitlines()[0]:.80}); delete it and make "
            "the zoo with truth again"
        ) from error
    for name in ("step_flow", "start_flow"):
        arrays[name] = arrays[name].astype(np.float32)
    arrays["object_names"] = tuple(str(name) for name in arrays["object_names"])
    return GroundTruth(**arrays, factors=factors)


def truth_path(video: Path) -> Path:
    """Where the ground truth of `clips/NAME.mp4` lies: `truth/NAME.npz` beside `clips`."""
    return video.parent.parent / "truth" / f"{video.stem}.npz"


class _Seen:
    """The material points that the pixels of a frame show."""

    def __init__(self, staged: StagedScene, scene: Scene, frame: int, size: int) -> None:
        centres = np.arange(size) + 0.5
        self.pixels: Array = np.stack(np.meshgrid(centres, centres, indexing="xy"), axis=-1)
        focal = float(scene.camera.focal[frame]) * size
        rays = np.empty((size, size, 3))
        rays[..., 0] = (self.pixels[..., 0] - size / 2) / focal
        rays[..., 1] = -(self.pixels[..., 1] - size / 2) / focal
        rays[..., 2] = -1.0
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        self.parts, distance = staged.probe(frame, rays)
        # A ray that hits nothing meets a sky too far away to show a parallax.
        distance = np.where(self.parts == -2, 1e6, distance)
        pose = scene.camera.poses[frame]
        ahead = (rays * distance[..., None]).reshape(-1, 3)
        world = physics.turn_points(pose[None, 3:], ahead)[0] + pose[:3]
        self.material = world.reshape(size, size, 3)
        for number in range(len(scene.parts)):
            mask = self.parts == number
            if mask.any():
                self.material[mask] = _to_rest(scene.parts[number], frame, self.material[mask])


def _follow(
    staged: StagedScene, scene: Scene, seen: _Seen, frame: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Flow "h w 2" of seen points to another frame, and whether they are seen there, "h w"."""
    size = len(seen.pixels)
    world = seen.material.copy()
    for number in range(len(scene.parts)):
        mask = seen.parts == number
        if mask.any():
            world[mask] = _from_rest(scene.parts[number], frame, world[mask])
    pose = scene.camera.poses[frame]
    back = pose[None, 3:] * np.array([-1.0, -1.0, -1.0, 1.0])
    local = physics.turn_points(back, world.reshape(-1, 3) - pose[:3])[0].reshape(size, size, 3)
    focal = float(scene.camera.focal[frame]) * size
    ahead = np.maximum(-local[..., 2], 1e-3)
    target = np.stack([local[..., 0], -local[..., 1]], axis=-1) * focal / ahead[..., None]
    target += size / 2.0
    distance = np.linalg.norm(local, axis=-1)
    parts, reached = staged.probe(frame, local / distance[..., None])
    inside = ((target >= 0.0) & (target <= size)).all(axis=-1) & (local[..., 2] < 0.0)
    unhidden = (parts == -2) | (reached >= distance - _TOUCH)
    return (target - seen.pixels).astype(np.float32), inside & unhidden


def _to_rest(part: Part, frame: int, world: Array) -> Array:
    """World points "n 3" of a frame as material points of the part."""
    back = part.turns[frame] * np.array([-1.0, -1.0, -1.0, 1.0])
    local = physics.turn_points(back[None], world - part.positions[frame])[0]
    load = part.deformation
    if load is None:
        return local
    return restore_points(
        local, _reach(part), load.axis, float(load.ratios[frame]), float(load.bulges[frame])
    )


def _from_rest(part: Part, frame: int, material: Array) -> Array:
    """Material points "n 3" of the part in the world of a frame."""
    load = part.deformation
    if load is not None:
        material = deform_points(
            material, _reach(part), load.axis, float(load.ratios[frame]), float(load.bulges[frame])
        )
    world: Array = physics.turn_points(part.turns[frame][None], material)[0] + part.positions[frame]
    return world


def _reach(part: Part) -> float:
    """Half length of a soft part along its loaded axis."""
    assert part.deformation is not None
    return float(np.abs(part.surface.vertices[:, part.deformation.axis]).max())


def _objects(parts: list[Part]) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """Names of the objects, and the object number of every part with two zeros at the end."""
    names = ["background", "body"]
    numbers = []
    for part in parts:
        if part.is_body:
            numbers.append(1)
            continue
        numbers.append(len(names))
        names.append(part.name)
    return tuple(names), np.array([*numbers, 0, 0], dtype=np.uint8)

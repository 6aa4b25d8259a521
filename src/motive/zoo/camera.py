"""The camera of a MotionZoo clip: aimed so that the body's mean image place is the drawn one.

Poses follow OpenGL: the camera looks along its own -z, +y is up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motive.zoo import physics
from motive.zoo.factors import Factors
from motive.zoo.motions import RADIUS
from motive.zoo.physics import Array

FIELD_OF_VIEW = float(np.radians(30.0))  # without zoom
_FRAME = 2.0 * np.tan(FIELD_OF_VIEW / 2.0)  # frame height at distance 1


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in every frame.

    Attributes:
        poses: (x, y, z, qx, qy, qz, qw) from camera to world, "f 7".
        focal: Focal length over the height of the frame, "f".
    """

    poses: Array
    focal: Array

    def project(self, points: Array) -> Array:
        """Image places "f n 2" of world points "f n 3", in frames from the centre, right and up."""
        seen = self.to_camera(points)
        return self.focal[:, None, None] * seen[..., :2] / -seen[..., 2:]

    def to_camera(self, points: Array) -> Array:
        """World points "f n 3" in the camera's own axes."""
        back = self.poses[:, 3:] * np.array([-1.0, -1.0, -1.0, 1.0])
        moved = points - self.poses[:, None, :3]
        axis, real = back[:, None, :3], back[:, None, 3:]
        once = 2.0 * np.cross(axis, moved)
        out: Array = moved + real * once + np.cross(axis, once)
        return out


def aimed_camera(factors: Factors, times: Array, centres: Array) -> Camera:
    """Choose distance and aim from the simulated path.

    Args:
        factors: The clip's factors.
        times: Frame times "f".
        centres: Mean place of the body in every frame, "f 3".

    Returns:
        A camera, moving as `factors.camera` says, in whose clip the body appears with the drawn
        size and, on average over the frames, at the drawn place.
    """
    path = _path(factors, times)
    goal = np.array([factors.place_x, factors.place_y])
    aim = np.zeros(2)
    for _ in range(8):
        camera = _camera(factors, path, centres.mean(axis=0), aim)
        aim = aim + (camera.project(centres[:, None])[:, 0].mean(axis=0) - goal) * _FRAME
    return _camera(factors, path, centres.mean(axis=0), aim)


def _path(factors: Factors, times: Array) -> Array:
    """Azimuth, aim to the right, aim upwards (radians) and log zoom around their means, "f 4"."""
    a, b, c, d = factors.camera_variant
    out = np.zeros((times.size, 4))
    progress = (times - times.mean()) / max(float(times[-1]), 1.0)
    if factors.camera == "pan":
        angle = 2.0 * np.pi * a
        way = (0.09 + 0.06 * b) * _FRAME * progress
        out[:, 1], out[:, 2] = way * np.cos(angle), way * np.sin(angle)
    elif factors.camera == "zoom":
        out[:, 3] = (1.0 if a < 0.5 else -1.0) * (0.20 + 0.12 * b) * progress
    elif factors.camera == "orbit":
        out[:, 0] = (1.0 if a < 0.5 else -1.0) * np.radians(10.0 + 5.0 * b) * progress
    elif factors.camera == "shake":
        for column, (first, second) in enumerate(((a, b), (c, d)), start=1):
            wave = np.sin(2.0 * np.pi * ((2.2 + first) * times + second))
            wave += 0.6 * np.sin(2.0 * np.pi * ((4.4 + second) * times + first))
            out[:, column] = 0.018 * _FRAME * (wave - wave.mean())
    return out


def _camera(factors: Factors, path: Array, target: Array, aim: Array) -> Camera:
    """The camera on its path with the aim turned by `aim` (right, up), in radians."""
    azimuth = np.radians(factors.azimuth) + path[:, 0]
    elevation = np.radians(factors.elevation)
    distance = 2.0 * RADIUS / (factors.apparent * _FRAME)
    poses = np.empty((len(path), 7))
    poses[:, 0] = target[0] + distance * np.sin(azimuth) * np.cos(elevation)
    poses[:, 1] = target[1] - distance * np.cos(azimuth) * np.cos(elevation)
    poses[:, 2] = target[2] + distance * np.sin(elevation)
    yaw = azimuth - path[:, 1] - aim[0]
    tilt = np.pi / 2.0 - elevation + path[:, 2] + aim[1]
    poses[:, 3:] = physics.compose(physics.axis_turn(2, yaw), physics.axis_turn(0, tilt))
    return Camera(poses, np.exp(path[:, 3]) / _FRAME)

"""Solids of MotionZoo as warped grids of the cube.

Every solid is the image of the cube [-1, 1]^3 under one volumetric map, so that whole bodies,
their fragments and their deformed states share one texture atlas (six face tiles and one tile for
the inside) and need no seams. Lengths are in units of the body's radius.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SHAPES: tuple[str, ...] = ("ball", "cube", "cylinder", "capsule")
INSIDE_TILE = 6  # atlas tile of surfaces that only a fracture exposes
ATLAS_TILES = 8  # a power of two keeps the tile borders on texel borders

_CYLINDER = (0.74, 0.88)  # radius, half length: long enough to tell how it lies
_CAPSULE = (0.68, 0.40, 0.35)  # radius, half length of the belt, half width of its source zone

# (axis, sign) of the six faces; the order is the order of the atlas tiles.
_FACES = tuple((axis, sign) for axis in range(3) for sign in (1.0, -1.0))


@dataclass(frozen=True)
class Surface:
    """A triangle mesh with smooth normals and atlas coordinates.

    Attributes:
        vertices: Positions, "n 3".
        normals: Unit normals, "n 3".
        uvs: Atlas coordinates in [0, 1], "n 2".
        triangles: Vertex indices, "m 3", counter-clockwise seen from outside.
    """

    vertices: Array
    normals: Array
    uvs: Array
    triangles: NDArray[np.int32]


def warp_cube(shape: str, points: Array) -> Array:
    """Map points of the cube [-1, 1]^3 ("n 3") into the solid `shape` of radius about 1."""
    if shape == "cube":
        return points * 0.82
    if shape == "cylinder":
        radius, half = _CYLINDER
        reach = np.abs(points[:, :2]).max(axis=1, keepdims=True)
        length = np.linalg.norm(points[:, :2], axis=1, keepdims=True)
        disc = points[:, :2] * (reach / np.maximum(length, 1e-9)) * radius
        return np.concatenate([disc, points[:, 2:] * half], axis=1)
    ball = _unit_ball(points)
    if shape == "ball":
        return ball
    # A ball drawn out: the zone around its equator becomes the belt of the capsule.
    radius, half, zone = _CAPSULE
    out = ball * radius
    out[:, 2] += half * np.clip(ball[:, 2] / zone, -1.0, 1.0)
    return out


def _unit_ball(points: Array) -> Array:
    reach = np.abs(points).max(axis=1, keepdims=True)
    length = np.linalg.norm(points, axis=1, keepdims=True)
    return points * (reach / np.maximum(length, 1e-9))


def face_points(face: int, s: Array, t: Array) -> Array:
    """Cube points of face coordinates `s`, `t` in [-1, 1] ("n") on face number `face`: "n 3"."""
    axis, sign = _FACES[face]
    first, second = [a for a in range(3) if a != axis]
    points = np.empty((s.size, 3))
    points[:, axis] = sign
    points[:, first] = s
    points[:, second] = t
    return points


@lru_cache(maxsize=16)
def solid(shape: str, resolution: int = 10) -> Surface:
    """The whole body: six patches of `resolution` x `resolution` quads."""
    return _box_surface(shape, np.array([[-1.0, 1.0]] * 3), resolution)


def fragments(shape: str, cuts: tuple[Array, Array, Array]) -> list[tuple[Surface, Array]]:
    """Break the body along cube planes.

    Args:
        shape: One of `SHAPES`.
        cuts: Sorted cut positions along x, y and z, each from -1 to 1 inclusive.

    Returns:
        Pieces as (surface with vertices relative to the piece's centre, centre "3").
    """
    pieces = []
    for i in range(len(cuts[0]) - 1):
        for j in range(len(cuts[1]) - 1):
            for k in range(len(cuts[2]) - 1):
                cell = np.array(
                    [
                        [cuts[0][i], cuts[0][i + 1]],
                        [cuts[1][j], cuts[1][j + 1]],
                        [cuts[2][k], cuts[2][k + 1]],
                    ]
                )
                surface = _box_surface(shape, cell, 3)
                centre = surface.vertices.mean(axis=0)
                moved = Surface(
                    surface.vertices - centre, surface.normals, surface.uvs, surface.triangles
                )
                pieces.append((moved, centre))
    return pieces


def deform(surface: Surface, axis: int, ratio: float, bulge: float) -> Surface:
    """Stretch or squash a body along one axis at constant volume.

    The cross-section at relative height z in [-1, 1] is scaled by `c (1 + bulge (1 - z^2))`, with
    c such that a cylinder of the same height keeps its volume: `bulge` > 0 is the barrel that
    friction at two plates makes, `bulge` < 0 the neck of a pulled bar.

    Args:
        surface: The body at rest.
        axis: Loaded axis (0, 1 or 2).
        ratio: New length over old length, > 0.
        bulge: Relative excess of the middle section over the ends.

    Returns:
        The deformed surface; atlas coordinates move with the material.
    """
    reach = np.abs(surface.vertices[:, axis]).max()
    section = _end_section(ratio, bulge)
    z = surface.vertices[:, axis] / reach
    factor = section * (1.0 + bulge * (1.0 - z**2))
    slope = section * bulge * -2.0 * z / reach
    vertices = deform_points(surface.vertices, reach, axis, ratio, bulge)
    # Normals follow the inverse transpose of the Jacobian.
    across = [a for a in range(3) if a != axis]
    normals = surface.normals / factor[:, None]
    drift = (surface.normals[:, across] * surface.vertices[:, across]).sum(axis=1)
    normals[:, axis] = (surface.normals[:, axis] - drift * slope / factor) / ratio
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    return Surface(vertices, normals, surface.uvs, surface.triangles)


def deform_points(points: Array, reach: float, axis: int, ratio: float, bulge: float) -> Array:
    """Move material points "n 3" of a body with half length `reach` along `axis`; see `deform`."""
    z = points[:, axis] / reach
    out = points * (_end_section(ratio, bulge) * (1.0 + bulge * (1.0 - z**2)))[:, None]
    out[:, axis] = points[:, axis] * ratio
    return out


def restore_points(points: Array, reach: float, axis: int, ratio: float, bulge: float) -> Array:
    """Material points "n 3" at rest of points of the deformed body: `deform_points` undone."""
    along = points[:, axis] / ratio
    z = along / reach
    out = points / (_end_section(ratio, bulge) * (1.0 + bulge * (1.0 - z**2)))[:, None]
    out[:, axis] = along
    return out


def _end_section(ratio: float, bulge: float) -> float:
    """Scale of the cross-section at both ends."""
    # mean of (1 + b (1 - z^2))^2 over [-1, 1] is 1 + 4b/3 + 8b^2/15.
    scale: float = 1.0 / np.sqrt(ratio * (1.0 + 4.0 * bulge / 3.0 + 8.0 * bulge**2 / 15.0))
    return scale


def _box_surface(shape: str, cell: Array, resolution: int) -> Surface:
    """Warped surface of the cube cell [lo, hi] per axis ("3 2")."""
    steps = np.linspace(0.0, 1.0, resolution + 1)
    a, b = (grid.ravel() for grid in np.meshgrid(steps, steps, indexing="ij"))
    quads = _quads(resolution)
    vertices, normals, uvs, triangles = [], [], [], []
    for number, (axis, sign) in enumerate(_FACES):
        first, second = [d for d in range(3) if d != axis]
        points = np.empty((a.size, 3))
        points[:, axis] = cell[axis, 1] if sign > 0 else cell[axis, 0]
        points[:, first] = cell[first, 0] + a * (cell[first, 1] - cell[first, 0])
        points[:, second] = cell[second, 0] + b * (cell[second, 1] - cell[second, 0])
        outer = abs(points[0, axis]) > 1.0 - 1e-9
        warped = warp_cube(shape, points)
        # first x second points along +axis for axis 0 and 2, along -axis for axis 1.
        outward = sign if axis != 1 else -sign
        faces = quads if outward > 0 else quads[:, ::-1]
        vertices.append(warped)
        normals.append(_patch_normals(shape, points, faces, axis, sign, outer))
        tile = number if outer else INSIDE_TILE
        uvs.append(_atlas(tile, points[:, first], points[:, second]))
        triangles.append(faces + sum(len(v) for v in vertices[:-1]))
    return Surface(
        np.concatenate(vertices),
        np.concatenate(normals),
        np.concatenate(uvs),
        np.concatenate(triangles).astype(np.int32),
    )


def _quads(resolution: int) -> NDArray[np.int64]:
    corner = np.arange((resolution + 1) ** 2).reshape(resolution + 1, resolution + 1)
    p, q = corner[:-1, :-1].ravel(), corner[1:, :-1].ravel()
    r, s = corner[1:, 1:].ravel(), corner[:-1, 1:].ravel()
    return np.concatenate([np.stack([p, q, r], 1), np.stack([p, r, s], 1)])


def _atlas(tile: int, s: Array, t: Array) -> Array:
    inset = 0.96  # keep bilinear look-ups away from the neighbouring tile
    u = (tile + 0.5 + 0.5 * inset * s) / ATLAS_TILES
    # The renderer samples the image at 1 - v.
    return np.stack([u, 1.0 - (0.5 + 0.5 * inset * t)], axis=1)


def _patch_normals(
    shape: str, points: Array, faces: NDArray[np.int64], axis: int, sign: float, outer: bool
) -> Array:
    """Analytic normals on the outer surface, area-weighted ones on fracture faces."""
    warped = warp_cube(shape, points)
    if outer and (shape == "cube" or (shape == "cylinder" and axis == 2)):
        flat = np.zeros_like(warped)
        flat[:, axis] = sign
        return flat
    if outer:
        radial = warped.copy()
        if shape == "cylinder":
            radial[:, 2] = 0.0
        if shape == "capsule":
            radius, half, zone = _CAPSULE
            radial = _unit_ball(points)
            belt = np.abs(radial[:, 2:]) < zone
            radial[:, :2] *= radius + np.where(belt, half / zone, 0.0)
            radial[:, 2] *= radius
        return radial / np.linalg.norm(radial, axis=1, keepdims=True)
    corners = warped[faces]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(warped)
    for column in range(3):
        np.add.at(total, faces[:, column], area)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)

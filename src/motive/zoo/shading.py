"""Colours and textures of MotionZoo.

Every pattern varies around the vertical axis, so that a turn of the body is always visible; no
pattern belongs to one motion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from motive.zoo.shapes import ATLAS_TILES, INSIDE_TILE, face_points, warp_cube

Rgb = tuple[float, float, float]

COLOURS: dict[str, Rgb] = {
    "red": (0.86, 0.16, 0.15),
    "orange": (0.96, 0.52, 0.10),
    "yellow": (0.97, 0.82, 0.18),
    "green": (0.18, 0.62, 0.28),
    "blue": (0.15, 0.36, 0.82),
    "purple": (0.52, 0.24, 0.70),
    "pink": (0.95, 0.45, 0.66),
}
ACCENTS: dict[str, Rgb] = {
    "white": (0.97, 0.97, 0.95),
    "black": (0.13, 0.13, 0.15),
}
FLOORS: dict[str, Rgb] = {
    "grey": (0.62, 0.63, 0.65),
    "white": (0.90, 0.90, 0.89),
    "beige": (0.85, 0.77, 0.64),
    "brown": (0.56, 0.42, 0.31),
    "green": (0.55, 0.68, 0.53),
    "blue": (0.52, 0.63, 0.76),
}
WALLS: dict[str, Rgb] = {
    "white": (0.93, 0.93, 0.92),
    "cream": (0.94, 0.88, 0.76),
    "pale blue": (0.70, 0.84, 0.95),
    "mint": (0.74, 0.90, 0.80),
    "lilac": (0.83, 0.78, 0.93),
    "slate": (0.42, 0.47, 0.54),
}
PATTERNS: tuple[str, ...] = ("striped", "checkered", "dotted", "two-tone", "swirled")

_TILE = 48  # texels along a face: twice what a body covers in a 128 px frame


def bake_texture(shape: str, pattern: str, colour: str, accent: str) -> NDArray[np.uint8]:
    """Atlas image of a patterned body.

    Args:
        shape: Solid whose surface the pattern is evaluated on.
        pattern: One of `PATTERNS`.
        colour: Main colour, key of `COLOURS`.
        accent: Second colour, key of `ACCENTS`.

    Returns:
        RGB image, "tile 8*tile 3", uint8 sRGB.
    """
    grid = (np.arange(_TILE) + 0.5) / _TILE * 2.0 - 1.0
    t, s = (g.ravel() for g in np.meshgrid(grid / 0.96, grid / 0.96, indexing="ij"))
    main = np.array(COLOURS[colour])
    second = np.array(ACCENTS[accent])
    image = np.empty((_TILE, _TILE * ATLAS_TILES, 3))
    for face in range(6):
        cube = face_points(face, s, t)
        is_main = _pattern(pattern, cube, warp_cube(shape, np.clip(cube, -1, 1)))
        tile = np.where(is_main[:, None], main, second)
        image[:, face * _TILE : (face + 1) * _TILE] = tile.reshape(_TILE, _TILE, 3)
    # A fracture shows the main colour, a little darker, as solid material would.
    image[:, INSIDE_TILE * _TILE :] = main * 0.78
    return (image * 255.0 + 0.5).astype(np.uint8)


def _pattern(name: str, cube: NDArray[np.float64], body: NDArray[np.float64]) -> NDArray[np.bool_]:
    """True where the main colour shows; `cube` and `body` are the same points, "n 3"."""
    turn = np.arctan2(body[:, 1], body[:, 0]) / (2.0 * np.pi)
    if name == "striped":
        return np.floor(turn * 8.0 + 0.5).astype(int) % 2 == 0
    if name == "swirled":
        return np.floor(turn * 6.0 + body[:, 2] * 1.1).astype(int) % 2 == 0
    if name == "checkered":
        return (np.floor(turn * 8.0) + np.floor(body[:, 2] * 1.9)).astype(int) % 2 == 0
    if name == "two-tone":
        return np.abs(turn) > 0.25  # halves split where the camera looks
    # Dots on a diagonal lattice of every cube face.
    flat = np.sort(np.abs(np.abs(np.clip(cube, -1, 1)) - 0.5), axis=1)
    return np.hypot(flat[:, 0], flat[:, 1]) > 0.30

"""Colours and textures of MotionZoo.

Every pattern is coarse and changes under a turn about any coordinate axis of the body, so that
spinning and rolling show at 20 px; no pattern belongs to one motion.
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
PATTERNS: tuple[str, ...] = ("striped", "checkered", "dotted", "two-tone")

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
    if name == "striped":  # four wide sectors around the body's axis
        turn = np.arctan2(body[:, 1], body[:, 0]) / (2.0 * np.pi)
        return np.floor(turn * 4.0 + 0.5).astype(int) % 2 == 0
    if name == "checkered":  # the eight octants
        return np.signbit(body).sum(axis=1) % 2 == 0
    if name == "two-tone":  # a leaning cut: no spin or roll keeps it, no side hides the main colour
        return body[:, 0] + 0.6 * body[:, 1] + 0.6 * body[:, 2] > -0.2
    # One large dot on every side.
    flat = np.sort(np.abs(np.clip(cube, -1.0, 1.0)), axis=1)
    return np.hypot(flat[:, 0], flat[:, 1]) > 0.52


def bake_tiles(colour: Rgb, tiles: tuple[int, int], contrast: float) -> NDArray[np.uint8]:
    """Texture of a tiled floor or a panelled wall.

    Args:
        colour: Mean sRGB colour.
        tiles: Rows and columns; one row makes vertical panels.
        contrast: Relative difference between neighbours; it lets a moving camera be seen.

    Returns:
        RGB image, "8*rows 8*columns 3", uint8 sRGB.
    """
    row, column = np.meshgrid(np.arange(tiles[0]), np.arange(tiles[1]), indexing="ij")
    shade = 1.0 - contrast * ((row + column) % 2)
    image = np.kron(shade, np.ones((8, 8)))[..., None] * np.array(colour)
    return (image * 255.0 + 0.5).astype(np.uint8)

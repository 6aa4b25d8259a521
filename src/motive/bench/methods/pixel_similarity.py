"""Pixel similarity."""

from __future__ import annotations

import cv2
import numpy as np

from motive.bench.context import Bench, Role
from motive.bench.methods.similarity import Similarity

_SIDE = 16  # pixels to which frames are shrunk before they are compared


def _small_pixels(bench: Bench, role: Role) -> np.ndarray:
    """Every clip's frames at 16x16 pixels, "n f h w 3"."""
    size, area = (_SIDE, _SIDE), cv2.INTER_AREA
    return np.stack(
        [
            np.stack([cv2.resize(frame, size, interpolation=area) for frame in clip])
            for clip in bench.pixels(role)
        ]
    )


PIXELS = Similarity(
    "pixel similarity",
    "pixels",
    "Cosine of the clips' frames at 16x16 pixels, mean clip subtracted.",
    _small_pixels,
)

"""Pixel similarity."""

import numpy as np

from motive.bench.methods.similarity import Similarity
from motive.influence import small_frames

PIXELS = Similarity(
    "pixel similarity",
    "pixels",
    "Cosine of the clips' frames at 16x16 pixels, mean clip subtracted.",
    lambda bench, role: np.stack([small_frames(clip) for clip in bench.pixels(role)]),
)

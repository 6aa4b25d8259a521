"""Scores from one vector per clip, without gradients: what attribution has to beat."""

from __future__ import annotations

import cv2
import numpy as np

from motive.influence.scores import cosine_scores, unit_rows

_SIDE = 16  # pixels to which frames are shrunk before they are compared


def vector_cosine(queries: np.ndarray, train: np.ndarray, *, centred: bool = True) -> np.ndarray:
    """Cosine of flattened vectors; centred: after the training clips' mean is taken off both.

    Without the mean, because all clips share a background brightness, which would fill the cosine.

    Args:
        queries: "q ...".
        train: "n ...".
        centred: Whether the mean is taken off.

    Returns:
        float32 "q n" in [-1, 1].
    """
    known, asked = train.astype(np.float64), queries.astype(np.float64)
    centre = known.mean(axis=0) if centred else 0.0
    return cosine_scores(unit_rows(asked - centre), unit_rows(known - centre))


def small_frames(pixels: np.ndarray) -> np.ndarray:
    """Frames at 16x16 pixels, uint8 "f h w 3" -> "f 16 16 3"."""
    size = (_SIDE, _SIDE)
    return np.stack([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in pixels])


def pooled_latents(latents: np.ndarray) -> np.ndarray:
    """Mean and deviation over space per channel and latent frame, "... c f h w" -> "... 2 c f".

    An encoder that every run has at hand: the autoencoder of its own model.
    """
    axis = (-2, -1)
    return np.stack([latents.mean(axis=axis), latents.std(axis=axis)], axis=-3)

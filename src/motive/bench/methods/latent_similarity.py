"""Embedding similarity: the VAE's latents, pooled over space and kept in time."""

from __future__ import annotations

import numpy as np

from motive.bench.context import Bench, Role
from motive.bench.methods.similarity import Similarity


def _pooled_latents(bench: Bench, role: Role) -> np.ndarray:
    """Mean and standard deviation over space of every channel and latent frame, "n 2 c f"."""
    latents = bench.latents(role)
    return np.stack([latents.mean(axis=(3, 4)), latents.std(axis=(3, 4))], axis=1)


LATENTS = Similarity(
    "embedding similarity",
    "embedding",
    "Cosine of VAE latents, each channel's mean and deviation over space per latent frame.",
    _pooled_latents,
)

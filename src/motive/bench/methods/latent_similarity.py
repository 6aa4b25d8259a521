"""Embedding similarity: the VAE's latents, pooled over space and kept in time."""

from motive.bench.methods.similarity import Similarity
from motive.influence import pooled_latents

LATENTS = Similarity(
    "embedding similarity",
    "embedding",
    "Cosine of VAE latents, each channel's mean and deviation over space per latent frame.",
    lambda bench, role: pooled_latents(bench.latents(role)),
)

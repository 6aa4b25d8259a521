"""Random inputs of the tiny Wan model."""

import torch

from motive.backbones import TextEmbedding
from motive.gradients import ClipInputs

FRAMES = 9


def make_clip(seed, grid=(3, 8, 8)):
    """Latents, caption and motion weights, drawn from a seed."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(16, *grid, generator=generator)
    text = TextEmbedding(torch.randn(7, 32, generator=generator), 512)
    weights = torch.rand(*grid, generator=generator)
    return ClipInputs(latents, text, weights, FRAMES)

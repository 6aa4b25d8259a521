"""Mochi 1: a `MochiPipeline` folder.

The family's truths:
* rectified flow that counts the other way: z = (1 − σ) h + σ ε as everywhere, but the model
  predicts h − ε and is told the timestep 1000 (1 − σ), from noise to clip;
* latents are (z − mean) / std · scaling_factor, with the numbers in the VAE's config;
* the VAE is causal: frame 0 alone, then groups of 6; 12 channels;
* captions: T5, 256 tokens, padding masked.
"""

from __future__ import annotations

from math import prod

import torch

from motive.backbones.base import TRAIN_TIMESTEPS, DiffusersBackbone
from motive.backbones.captions import embedded_with_mask
from motive.backbones.protocol import NoiseLevel, TextEmbedding
from motive.clips import ClipStandard

_TEXT_LENGTH = 256  # MochiPipeline.__call__ default max_sequence_length


class MochiBackbone(DiffusersBackbone):
    """A Mochi text-to-video folder."""

    family = "Mochi 1"
    pipelines = ("MochiPipeline",)
    default_standard = ClipStandard(frames=85, fps=30.0, height=480, width=848)
    target_name = "reversed velocity (latents - noise)"

    def read_configuration(self) -> None:
        """Factors of the VAE, the patch and the latents' statistics."""
        vae, transformer = self.vae_config, self.transformer_config
        self.channels = int(vae["latent_channels"])
        self.space, self.time = prod(vae["spatial_expansions"]), prod(vae["temporal_expansions"])
        size = int(transformer["patch_size"])
        self.patch = (1, size, size)
        self.scaling = float(vae.get("scaling_factor", 1.0))
        mean, std = vae.get("latents_mean"), vae.get("latents_std")
        self._mean = torch.tensor(mean or [0.0] * self.channels).view(self.channels, 1, 1, 1)
        self._std = torch.tensor(std or [1.0] * self.channels).view(self.channels, 1, 1, 1)

    def normalise(self, latents: torch.Tensor) -> torch.Tensor:
        """(z − mean) / std · scaling factor."""
        return (latents - self._mean) / self._std * self.scaling

    def denormalise(self, latents: torch.Tensor) -> torch.Tensor:
        """The inverse."""
        return latents * self._std / self.scaling + self._mean

    @torch.no_grad()
    def encode_text(self, caption: str) -> TextEmbedding:
        """Embeddings of the caption's own tokens, each with a one for the mask: "l d+1"."""
        return embedded_with_mask(self, caption, _TEXT_LENGTH)

    def model_timestep(self, sigma: torch.Tensor) -> torch.Tensor:
        """1000 (1 − σ)."""
        return (1.0 - sigma) * TRAIN_TIMESTEPS

    def target(self, latents: torch.Tensor, noise: torch.Tensor, sigma: NoiseLevel) -> torch.Tensor:
        """H − ε, at every σ."""
        return latents - noise

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """H − ε at timestep 1000 (1 − σ)."""
        prediction: torch.Tensor = self.transformer(
            hidden_states=noisy,
            encoder_hidden_states=text[..., :-1],
            encoder_attention_mask=text[..., -1].bool(),
            timestep=self.timesteps(sigma),
            return_dict=False,
        )[0]
        return prediction

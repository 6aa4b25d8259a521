"""LTX-Video: an `LTXPipeline` folder.

The family's truths:
* rectified flow: z = (1 − σ) h + σ ε, target ε − h, model timestep 1000 σ;
* latents are packed into tokens (frame, row, column), one per position, 128 channels; they are
  normalised with buffers of the VAE's weights: (z − mean) · scaling / std;
* the VAE is causal and large: frame 0 alone, then groups of 8; 32 × 32 pixels;
* rotary positions are in seconds and pixels; 25 frames per second go in, and latent frame f lies
  at 8 f / 25 seconds, as trainers have it. (`LTXConditionPipeline` samples at (8 f − 7) / 25.)
* captions: T5, 128 tokens, padding masked. The embeddings of the padding are not kept: behind the
  mask's −10000 they weigh nothing.
"""

from __future__ import annotations

from math import prod
from typing import ClassVar

import torch

from motive.backbones.base import DiffusersBackbone
from motive.backbones.captions import embedded_with_mask
from motive.backbones.protocol import TextEmbedding
from motive.clips import ClipStandard

_TEXT_LENGTH = 128  # LTXPipeline.__call__ default max_sequence_length
_FRAME_RATE = 25.0  # the rate in the rotary positions: default of the pipeline and of the trainers


class LTXBackbone(DiffusersBackbone):
    """An LTX-Video text-to-video folder (2B, 13B)."""

    family = "LTX-Video"
    pipelines: ClassVar[tuple[str, ...]] = ("LTXPipeline", "LTXConditionPipeline")
    default_standard = ClipStandard(frames=161, fps=25.0, height=512, width=704)

    def read_configuration(self) -> None:
        """Factors of the VAE and the patch."""
        vae, transformer = self.vae_config, self.transformer_config
        self.channels = int(vae["latent_channels"])
        stages = sum(vae["spatio_temporal_scaling"])
        self.space = int(vae.get("spatial_compression_ratio") or vae["patch_size"] * 2**stages)
        self.time = int(vae.get("temporal_compression_ratio") or vae["patch_size_t"] * 2**stages)
        self.scaling = float(vae.get("scaling_factor", 1.0))
        sizes = (transformer.get(key, 1) for key in ("patch_size_t", "patch_size", "patch_size"))
        self.patch = tuple(sizes)  # type: ignore[assignment]

    def transformer_channels(self) -> int:
        """Of a packed token."""
        return self.channels * prod(self.patch)

    def normalise(self, latents: torch.Tensor) -> torch.Tensor:
        """(z − mean) · scaling / std per channel."""
        mean, std = self._statistics()
        return (latents - mean) * self.scaling / std

    def denormalise(self, latents: torch.Tensor) -> torch.Tensor:
        """The inverse."""
        mean, std = self._statistics()
        return latents * std / self.scaling + mean

    def _statistics(self) -> tuple[torch.Tensor, ...]:
        buffers = self.vae.latents_mean, self.vae.latents_std
        return tuple(buffer.float().cpu().view(-1, 1, 1, 1) for buffer in buffers)

    def decode_raw(self, raw: torch.Tensor) -> torch.Tensor:
        """At decoding timestep 0 where the decoder takes one: without added noise."""
        timed = self.vae_config.get("timestep_conditioning")
        level = torch.zeros(len(raw), device=raw.device) if timed else None
        video: torch.Tensor = self.vae.decode(raw, level).sample
        return video

    @torch.no_grad()
    def encode_text(self, caption: str) -> TextEmbedding:
        """Embeddings of the caption's own tokens, each with a one for the mask: "l d+1"."""
        return embedded_with_mask(self, caption, _TEXT_LENGTH)

    def token_timesteps(self, noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """What the transformer is told of noise: one timestep per clip."""
        return self.timesteps(sigma)

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Velocity; packed for the transformer and unpacked again."""
        from diffusers import LTXPipeline

        (depth, size, _), (frames, height, width) = self.patch, noisy.shape[2:]
        grid = frames // depth, height // size, width // size
        tokens = LTXPipeline._pack_latents(noisy, size, depth)
        output = self.transformer(
            hidden_states=tokens,
            encoder_hidden_states=text[..., :-1],
            encoder_attention_mask=text[..., -1],
            timestep=self.token_timesteps(noisy, sigma),
            num_frames=grid[0],
            height=grid[1],
            width=grid[2],
            rope_interpolation_scale=(self.time / _FRAME_RATE, self.space, self.space),
            return_dict=False,
        )[0]
        velocity: torch.Tensor = LTXPipeline._unpack_latents(output, *grid, size, depth)
        return velocity

"""HunyuanVideo: a `HunyuanVideoPipeline` folder.

The family's truths:
* rectified flow: z = (1 − σ) h + σ ε, target ε − h, model timestep 1000 σ;
* latents are the VAE's times `scaling_factor`; the VAE is causal: frame 0 alone, then groups of 4;
* the model is distilled from guidance and told its scale. Trainers tell it 1, and so do we;
* captions: Llama's hidden states behind a template, 256 tokens, padding masked; and CLIP's pooled
  embedding, which is row 0 of the caption's matrix.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from motive.backbones.base import TRAIN_TIMESTEPS, DiffusersBackbone
from motive.backbones.captions import warn_if_cut
from motive.backbones.protocol import TextEmbedding
from motive.clips import ClipStandard

_TEXT_LENGTH = 256  # HunyuanVideoPipeline.__call__ default max_sequence_length
_GUIDANCE = 1.0  # what finetrainers tells the model; the pipeline's 6 is for sampling


class HunyuanVideoBackbone(DiffusersBackbone):
    """A HunyuanVideo text-to-video folder."""

    family = "HunyuanVideo"
    pipelines: ClassVar[tuple[str, ...]] = ("HunyuanVideoPipeline",)
    components: tuple[str, ...] = (
        "transformer", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"
    )  # fmt: skip
    default_standard = ClipStandard(frames=129, fps=24.0, height=720, width=1280)

    def read_configuration(self) -> None:
        """Factors of the VAE and the patch."""
        vae, transformer = self.vae_config, self.transformer_config
        self.channels = int(vae["latent_channels"])
        self.space = int(vae.get("spatial_compression_ratio", 8))
        self.time = int(vae.get("temporal_compression_ratio", 4))
        self.scaling = float(vae["scaling_factor"])
        size = int(transformer.get("patch_size", 2))
        self.patch = (int(transformer.get("patch_size_t", 1)), size, size)
        self.pooled = int(transformer.get("pooled_projection_dim", 768))

    def normalise(self, latents: torch.Tensor) -> torch.Tensor:
        """Times the scaling factor."""
        return latents * self.scaling

    def denormalise(self, latents: torch.Tensor) -> torch.Tensor:
        """The inverse."""
        return latents / self.scaling

    @torch.no_grad()
    def encode_text(self, caption: str) -> TextEmbedding:
        """CLIP's row, then the caption's own tokens, each with a one for the mask: "1+l d+1"."""
        pipeline = self.text_pipeline
        warn_if_cut(pipeline.tokenizer, caption, _TEXT_LENGTH)
        tokens, pooled, mask = pipeline.encode_prompt(
            caption, max_sequence_length=_TEXT_LENGTH, device=self.device
        )
        own = tokens[0, mask[0].bool()].float().cpu()
        width = max(own.shape[1], self.pooled) + 1
        rows = torch.zeros(1 + len(own), width)
        rows[0, : self.pooled] = pooled[0].float().cpu()
        rows[1:, : own.shape[1]] = own
        rows[1:, -1] = 1.0
        return TextEmbedding(rows, 1 + _TEXT_LENGTH)

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Velocity at timestep 1000 σ and guidance 1."""
        width = int(self.transformer_config.get("text_embed_dim", 4096))
        guidance = noisy.new_full((len(noisy),), _GUIDANCE * TRAIN_TIMESTEPS)
        velocity: torch.Tensor = self.transformer(
            hidden_states=noisy,
            timestep=self.timesteps(sigma),
            encoder_hidden_states=text[:, 1:, :width],
            encoder_attention_mask=text[:, 1:, -1],
            pooled_projections=text[:, 0, : self.pooled],
            guidance=guidance if self.transformer_config.get("guidance_embeds", True) else None,
            return_dict=False,
        )[0]
        return velocity

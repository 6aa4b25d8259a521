"""HunyuanVideo 1.5 text-to-video: a `HunyuanVideo15Pipeline` folder.

The family's truths:
* rectified flow: z = (1 − σ) h + σ ε, target ε − h, model timestep 1000 σ;
* latents are the VAE's times `scaling_factor`; the VAE is causal and large: frame 0 alone, then
  groups of 4; 16 × 16 pixels;
* the transformer takes 65 channels: the noisy latents, the latents of given frames and their mask.
  Without an image both are zero, and so are the image's embeddings;
* captions: Qwen2.5-VL's hidden states, 1000 tokens, and ByT5's of what stands in quotes, 256;
  padding of both is masked. ByT5's rows come first in the caption's matrix.
"""

from __future__ import annotations

from typing import Any

import torch

from motive.backbones.captions import warn_if_cut
from motive.backbones.hunyuan_video import HunyuanVideoBackbone
from motive.backbones.protocol import TextEmbedding
from motive.clips import ClipStandard

_GLYPH_TOKENS, _TEXT_TOKENS, _IMAGE_TOKENS = 256, 1000, 729  # HunyuanVideo15Pipeline.__init__


class HunyuanVideo15Backbone(HunyuanVideoBackbone):
    """A HunyuanVideo 1.5 text-to-video folder."""

    family = "HunyuanVideo 1.5"
    pipelines = ("HunyuanVideo15Pipeline",)
    text_rows = _GLYPH_TOKENS + _TEXT_TOKENS
    default_standard = ClipStandard(frames=121, fps=24.0, height=480, width=848)

    def read_configuration(self) -> None:
        """Factors of the VAE, the patch, and the widths of the embeddings."""
        vae, transformer = self.vae_config, self.transformer_config
        self.channels = int(vae["latent_channels"])
        self.space = int(vae["spatial_compression_ratio"])
        self.time = int(vae["temporal_compression_ratio"])
        self.scaling = float(vae["scaling_factor"])
        size = int(transformer["patch_size"])
        self.patch = (int(transformer["patch_size_t"]), size, size)
        self._widths = int(transformer["text_embed_dim"]), int(transformer["text_embed_2_dim"])

    def transformer_channels(self) -> int:
        """Latents, those of given frames, and their mask."""
        return 2 * self.channels + 1

    def text_part(self, name: str) -> Any:
        """As of every family; the pipeline class asks the VAE for its channels."""
        return self.vae if name == "vae" else super().text_part(name)

    @torch.no_grad()
    def encode_text(self, caption: str) -> TextEmbedding:
        """ByT5's 256 rows, then the caption's own tokens, with a column for the masks: "l d+1"."""
        pipeline = self.text_pipeline
        warn_if_cut(pipeline.tokenizer, caption, _TEXT_TOKENS)
        tokens, mask, glyphs, glyph_mask = pipeline.encode_prompt(caption, device=self.device)
        own = tokens[0, mask[0].bool()].float().cpu()
        rows = torch.zeros(_GLYPH_TOKENS + len(own), max(self._widths) + 1)
        rows[:_GLYPH_TOKENS, : glyphs.shape[2]] = (glyphs[0] * glyph_mask[0, :, None]).float().cpu()
        rows[:_GLYPH_TOKENS, -1] = glyph_mask[0].float().cpu()
        rows[_GLYPH_TOKENS:, : own.shape[1]] = own
        rows[_GLYPH_TOKENS:, -1] = 1.0
        return TextEmbedding(rows, self.text_rows)

    def with_image(self, noisy: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """All channels of the transformer, the image's rows, the caption's: no image, so zeros."""
        nothing = noisy.new_zeros(len(noisy), self.channels + 1, *noisy.shape[2:])
        seen = int(self.transformer_config["image_embed_dim"])
        image = noisy.new_zeros(len(noisy), _IMAGE_TOKENS, seen)
        return torch.cat([noisy, nothing], dim=1), image, text

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Velocity at timestep 1000 σ."""
        hidden, image, text = self.with_image(noisy, text)
        glyphs, tokens = text[:, :_GLYPH_TOKENS], text[:, _GLYPH_TOKENS:]
        velocity: torch.Tensor = self.transformer(
            hidden_states=hidden,
            timestep=self.timesteps(sigma),
            encoder_hidden_states=tokens[..., : self._widths[0]],
            encoder_attention_mask=tokens[..., -1],
            encoder_hidden_states_2=glyphs[..., : self._widths[1]],
            encoder_attention_mask_2=glyphs[..., -1],
            image_embeds=image,
            return_dict=False,
        )[0]
        return velocity

"""LTX-2's video branch (2.0, 2.3, 2.5): an `LTX2Pipeline` folder.

The family's truths, beside those of LTX-Video (packed tokens, statistics in the VAE):
* the transformer computes sound as well. Clips are attributed by their pictures, so the branches
  are kept apart (`isolate_modalities`), as the trainer does when it gives no sound: the sound's
  branch gets one empty token, which the video's does not read, and its weights have no gradient;
* captions: the hidden states of all layers of Gemma, through the connectors, which are frozen.
  They put learned registers where padding was, so all 1024 rows are read;
* rotary positions are in seconds and pixels; 24 frames per second go in, the trainer's default.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from motive.backbones.captions import embedded
from motive.backbones.ltx import LTXBackbone
from motive.backbones.protocol import TextEmbedding
from motive.clips import ClipStandard

_TEXT_LENGTH = 1024  # LTX2Pipeline.__call__ default max_sequence_length
_FRAME_RATE = 24.0  # ltx-trainer, DEFAULT_FPS


class LTX2Backbone(LTXBackbone):
    """An LTX-2 folder."""

    family = "LTX-2 (video)"
    pipelines: ClassVar[tuple[str, ...]] = ("LTX2Pipeline", "LTX2ConditionPipeline")
    components = ("transformer", "vae", "text_encoder", "tokenizer", "connectors")
    default_standard = ClipStandard(frames=121, fps=24.0, height=512, width=768)

    def text_part(self, name: str) -> Any:
        """As of every family; the connectors belong to the text encoder."""
        if name == "connectors":
            return self.component(name, self.encoder_dtype)
        return super().text_part(name)

    @torch.no_grad()
    def encode_text(self, caption: str) -> TextEmbedding:
        """The video's rows from the connectors, with a column for the mask: "1024 d+1"."""
        states, mask = embedded(self, caption, _TEXT_LENGTH)
        pipeline = self.text_pipeline
        side = pipeline.tokenizer.padding_side
        rows, _, seen = pipeline.connectors(states, mask, padding_side=side)
        rows = torch.cat([rows[0].float(), seen[0, :, None].float()], dim=1).cpu()
        return TextEmbedding(rows, _TEXT_LENGTH)

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """The video's velocity; packed for the transformer and unpacked again."""
        from diffusers import LTX2Pipeline

        (depth, size, _), (frames, height, width) = self.patch, noisy.shape[2:]
        grid = frames // depth, height // size, width // size
        config, timestep = self.transformer_config, self.timesteps(sigma)
        projected = config.get("use_prompt_embeddings", True)
        silent = config["caption_channels" if projected else "audio_cross_attention_dim"]
        output = self.transformer(
            hidden_states=LTX2Pipeline._pack_latents(noisy, size, depth),
            audio_hidden_states=noisy.new_zeros(len(noisy), 1, config["audio_in_channels"]),
            encoder_hidden_states=text[..., :-1],
            audio_encoder_hidden_states=noisy.new_zeros(len(noisy), 1, silent),
            encoder_attention_mask=text[..., -1],
            timestep=self.token_timesteps(noisy, sigma),
            audio_timestep=timestep,
            sigma=timestep,
            num_frames=grid[0],
            height=grid[1],
            width=grid[2],
            fps=_FRAME_RATE,
            audio_num_frames=1,
            isolate_modalities=True,
            return_dict=False,
        )[0]
        velocity: torch.Tensor = LTX2Pipeline._unpack_latents(output, *grid, size, depth)
        return velocity

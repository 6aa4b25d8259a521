"""Cosmos-Predict 2.5 text-to-world: a `Cosmos2_5_PredictBasePipeline` folder.

The family's truths, beside those of Wan 2.1's VAE, which it uses:
* rectified flow: z = (1 − σ) h + σ ε, target ε − h; the model is told σ itself, per latent frame;
* the transformer takes a mask of frames that are given. Training draws none, one or two of them; we
  take none, the text-to-world case;
* captions: the hidden states of all layers of Qwen2.5-VL behind a template, 512 tokens, padding
  read. They are wide (100,352 numbers per token): a caption takes 205 MB in the run's cache;
* the transformer's own code resizes an empty padding mask with torchvision.

Its guardrail model checks prompts and generated videos; nothing is generated here.
"""

from __future__ import annotations

from functools import cached_property
from types import SimpleNamespace
from typing import Any

import torch

from motive.backbones.captions import warn_if_cut
from motive.backbones.protocol import TextEmbedding
from motive.backbones.wan import WanBackbone
from motive.clips import ClipStandard
from motive.errors import ModelError

_SYSTEM = "You are a helpful assistant who will provide prompts to an image generator."
_TEXT_LENGTH = 512  # Cosmos2_5_PredictBasePipeline.__call__ default max_sequence_length


class CosmosBackbone(WanBackbone):
    """A Cosmos-Predict 2.5 folder (2B, 14B)."""

    family = "Cosmos-Predict 2.5"
    pipelines = ("Cosmos2_5_PredictBasePipeline",)
    default_standard = ClipStandard(frames=93, fps=16.0, height=704, width=1280)
    sigma_source = "the paper's noise level, found on Wan 2.1 and taken over"

    def recognise(self) -> None:
        """One transformer; torchvision must be there."""
        super().recognise()
        from diffusers.models.transformers import transformer_cosmos

        if not hasattr(transformer_cosmos, "transforms"):
            raise ModelError(
                f"{self.name}: a {self.family} model needs torchvision; pip install torchvision"
            )

    def transformer_channels(self) -> int:
        """Latents and the mask of given frames."""
        return self.channels + 1

    def model_timestep(self, sigma: torch.Tensor) -> torch.Tensor:
        """Σ itself."""
        return sigma

    @torch.no_grad()
    def encode_text(self, caption: str) -> TextEmbedding:
        """All 512 rows: the model reads the padding too."""
        from diffusers import Cosmos2_5_PredictBasePipeline

        tokenizer, encoder = self._text
        # The pipeline's own method; it reads nothing but these. The pipeline cannot be made
        # without its guardrail model.
        owner: Any = SimpleNamespace(tokenizer=tokenizer, text_encoder=encoder)
        warn_if_cut(tokenizer, caption, _TEXT_LENGTH - self._template_tokens)
        tokens = Cosmos2_5_PredictBasePipeline._get_prompt_embeds(
            owner, caption, max_sequence_length=_TEXT_LENGTH, device=self.device
        )
        return TextEmbedding(tokens[0].float().cpu(), _TEXT_LENGTH)

    @cached_property
    def _template_tokens(self) -> int:
        parts = {"system": _SYSTEM, "user": ""}
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}]}
            for role, text in parts.items()
        ]
        tokenizer = self._text[0]
        return len(tokenizer(tokenizer.apply_chat_template(messages, tokenize=False)).input_ids)

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Velocity at σ, told to every latent frame; no frame is given."""
        batch, _, frames, height, width = noisy.shape
        velocity: torch.Tensor = self.transformer(
            hidden_states=noisy,
            condition_mask=noisy.new_zeros(batch, 1, frames, height, width),
            timestep=self.timesteps(sigma).view(-1, 1, 1, 1, 1).expand(-1, -1, frames, -1, -1),
            encoder_hidden_states=text,
            padding_mask=noisy.new_zeros(1, 1, height * self.space, width * self.space),
            return_dict=False,
        )[0]
        return velocity

"""HunyuanVideo 1.5 image-to-video: a `HunyuanVideo15ImageToVideoPipeline` folder.

The family's truths, beside those of text-to-video:
* the transformer's further channels are the clip's own first latent frame, followed by zeros, and a
  mask that is one on it;
* SigLIP's view of the first frame, 729 rows, which the transformer puts before the caption.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch

from motive.backbones.first_frame import say_first_frame
from motive.backbones.hunyuan_video15 import HunyuanVideo15Backbone


class HunyuanVideo15ImageBackbone(HunyuanVideo15Backbone):
    """A HunyuanVideo 1.5 image-to-video folder."""

    family = "HunyuanVideo 1.5 I2V"
    pipelines = ("HunyuanVideo15ImageToVideoPipeline",)
    components = (*HunyuanVideo15Backbone.components, "image_encoder", "feature_extractor")

    @torch.no_grad()
    def encode_video(self, pixels: torch.Tensor) -> torch.Tensor:
        """Latents, the first latent frame and zeros, and the mask: float32 "2c+1 f h w"."""
        say_first_frame(self)
        latents = super().encode_video(pixels)
        condition = torch.zeros(len(latents) + 1, *latents.shape[1:])
        condition[:-1, 0] = latents[:, 0]
        condition[-1, 0] = 1.0
        return torch.cat([latents, condition])

    @torch.no_grad()
    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor | None:
        """SigLIP's rows of the first frame, padded to the width of the text's."""
        processor, encoder = self._image
        batch = processor(images=pixels[0].cpu().numpy(), return_tensors="pt").to(self.device)
        batch["pixel_values"] = batch["pixel_values"].to(encoder.dtype)
        rows = encoder(**batch).last_hidden_state[0].float().cpu()
        return torch.nn.functional.pad(rows, (0, max(self._widths) + 1 - rows.shape[1]))

    @cached_property
    def _image(self) -> tuple[Any, Any]:
        from transformers import SiglipImageProcessor

        with self._loading("feature_extractor") as folder:
            processor = SiglipImageProcessor.from_pretrained(folder, local_files_only=True)
        return processor, self.component("image_encoder", torch.float32)

    def with_image(self, noisy: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The image's channels are there already, and its rows come first."""
        rows = text.shape[1] - self.text_rows
        seen = int(self.transformer_config["image_embed_dim"])
        return noisy, text[:, :rows, :seen], text[:, rows:]

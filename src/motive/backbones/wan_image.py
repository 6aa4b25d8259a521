"""Wan image-to-video: 2.1 I2V-14B and 2.2 I2V-A14B; a `WanImageToVideoPipeline` folder.

The family's truths, beside those of Wan text-to-video:
* the transformer takes 36 channels: the noisy latents, a mask of 4 that is one on frame 0, and the
  latents of the first frame followed by grey (pixel value 0 of [-1, 1]);
* Wan 2.1 sees the first frame through CLIP as well: the hidden states before the last, which the
  transformer puts before the caption. Wan 2.2 has no such encoder.
No image is asked for: attribution uses each clip's own first frame, as training does.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch

from motive.backbones.first_frame import say_first_frame
from motive.backbones.wan import WanBackbone
from motive.errors import ModelError


class WanImageBackbone(WanBackbone):
    """A Wan image-to-video folder."""

    family = "Wan 2.1 I2V"
    pipelines = ("WanImageToVideoPipeline",)
    sigma_source = "the paper's noise level, found on Wan 2.1 and taken over"

    def recognise(self) -> None:
        """With CLIP (2.1) or without (2.2)."""
        super().recognise()
        if self.has("image_encoder"):
            self.components = (*self.components, "image_encoder", "image_processor")
        if self.boundary is not None:
            self.family = "Wan 2.2 I2V-A14B"

    def read_configuration(self) -> None:
        """As of text-to-video; refuse a model of first and last frames, which wants two images."""
        super().read_configuration()
        if self.transformer_config.get("pos_embed_seq_len") is not None:
            raise ModelError(
                f"{self.name}: a model of first and last frames (FLF2V) is not supported; image-to-"
                "video models are given their first frame only"
            )

    def transformer_channels(self) -> int:
        """Latents, mask and the first frame's latents; of TI2V-5B that frame is among them."""
        return self.channels if self.per_token else 2 * self.channels + self.time

    @torch.no_grad()
    def encode_video(self, pixels: torch.Tensor) -> torch.Tensor:
        """Latents, then the mask and the latents of the first frame: float32 "36 f h w"."""
        latents = super().encode_video(pixels)
        if self.per_token:
            return latents
        say_first_frame(self)
        still = pixels[:1].to(self.device).permute(3, 0, 1, 2).float() / 127.5 - 1.0
        grey = still.new_zeros(3, len(pixels) - 1, *still.shape[2:])
        mask = torch.zeros(self.time, *latents.shape[1:])
        mask[:, 0] = 1.0
        return torch.cat([latents, mask, self.encode_normalised(torch.cat([still, grey], 1))])

    @torch.no_grad()
    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor | None:
        """CLIP's view of the first frame: 257 rows, padded to the width of the text's."""
        if not self.sees_image:
            return None
        processor, encoder = self._image
        batch = processor(images=pixels[0].cpu().numpy(), return_tensors="pt").to(self.device)
        batch["pixel_values"] = batch["pixel_values"].to(encoder.dtype)
        rows = encoder(**batch, output_hidden_states=True).hidden_states[-2][0].float().cpu()
        width = int(self.transformer_config["text_dim"])
        return torch.nn.functional.pad(rows, (0, width - rows.shape[1]))

    @cached_property
    def _image(self) -> tuple[Any, Any]:
        from transformers import CLIPImageProcessor

        with self._loading("image_processor") as folder:
            processor = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
        return processor, self.component("image_encoder", torch.float32)

    def conditions(self, text: torch.Tensor) -> dict[str, object]:
        """The rows of the image, then those of the caption."""
        if not self.sees_image:
            return super().conditions(text)
        rows = text.shape[1] - self._text_length
        image = text[:, :rows, : int(self.transformer_config["image_dim"])]
        return {"encoder_hidden_states": text[:, rows:], "encoder_hidden_states_image": image}

    _text_length = 512  # the transformer takes the last 512 rows for the caption's

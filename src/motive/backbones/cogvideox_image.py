"""CogVideoX image-to-video (5B, 1.5-5B): a `CogVideoXImageToVideoPipeline` folder.

The family's truths, beside those of CogVideoX text-to-video:
* the transformer takes twice the channels: the noisy latents, and those of the first frame followed
  by zeros. Trainers add a little noise to the image and drop it at times; here it is as it is;
* 1.5 divides the image's latents by the scaling factor where everything else multiplies
  (`invert_scale_latents`), and is told an offset of 2;
* 5B has learned positions, so it takes its own size only.
"""

from __future__ import annotations

from typing import Any

import torch

from motive.backbones.cogvideox import CogVideoXBackbone
from motive.backbones.first_frame import say_first_frame

_OFFSET = 2.0  # CogVideoXImageToVideoPipeline.__call__


class CogVideoXImageBackbone(CogVideoXBackbone):
    """A CogVideoX image-to-video folder."""

    family = "CogVideoX I2V"
    pipelines = ("CogVideoXImageToVideoPipeline",)

    def read_configuration(self) -> None:
        """As of text-to-video."""
        super().read_configuration()
        if self.depth > 1:
            self.family = "CogVideoX 1.5 I2V"

    def transformer_channels(self) -> int:
        """Latents and the first frame's."""
        return 2 * self.channels

    @torch.no_grad()
    def encode_video(self, pixels: torch.Tensor) -> torch.Tensor:
        """Latents, then those of the first frame and zeros: float32 "2c f h w" on the CPU."""
        say_first_frame(self)
        latents = super().encode_video(pixels)
        image = super().encode_video(pixels[:1])
        if self.vae_config.get("invert_scale_latents"):
            image = image / self.scaling**2
        rest = image.new_zeros(len(image), latents.shape[1] - 1, *image.shape[2:])
        return torch.cat([latents, torch.cat([image, rest], dim=1)])

    def more_arguments(self, noisy: torch.Tensor) -> dict[str, Any]:
        """The offset, of a model that takes one."""
        if self.transformer_config.get("ofs_embed_dim") is None:
            return {}
        return {"ofs": noisy.new_full((1,), _OFFSET)}

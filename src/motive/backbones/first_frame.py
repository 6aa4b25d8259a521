"""What image-to-video families share: a clip's own first frame is its image.

No image is asked for, as in training. Where the first latent frame itself is given (LTX), it stays
clean, its tokens are told timestep 0, and it is left out of the loss.
"""

from __future__ import annotations

import logging

import torch

from motive.backbones.base import DiffusersBackbone
from motive.backbones.protocol import NoiseLevel

_LOG = logging.getLogger(__name__)


def say_first_frame(backbone: DiffusersBackbone) -> None:
    """Say, once per model, that no image was given and what is used."""
    if not vars(backbone).setdefault("_said", False):
        vars(backbone)["_said"] = True
        _LOG.warning(
            "%s is an image-to-video model: each clip's own first frame is its image", backbone.name
        )


class GivenFirstFrame(DiffusersBackbone):
    """Goes before a family whose `forward` asks `token_timesteps`; of one frame none is given."""

    def encode_video(self, pixels: torch.Tensor) -> torch.Tensor:
        """As of the family."""
        say_first_frame(self)
        return super().encode_video(pixels)

    def mix(self, latents: torch.Tensor, noise: torch.Tensor, sigma: NoiseLevel) -> torch.Tensor:
        """Noised but for the first latent frame."""
        noisy = super().mix(latents, noise, sigma)
        if latents.shape[2] == 1:
            return noisy
        return torch.cat([latents[:, :, :1], noisy[:, :, 1:]], dim=2)

    def target(self, latents: torch.Tensor, noise: torch.Tensor, sigma: NoiseLevel) -> torch.Tensor:
        """Without the first latent frame."""
        target = super().target(latents, noise, sigma)
        return target if target.shape[2] == 1 else target[:, :, 1:]

    def token_timesteps(self, noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """Timesteps "b tokens", zero on those of the first latent frame."""
        (depth, height, width), (frames, rows, columns) = self.patch, noisy.shape[2:]
        per_frame = (rows // height) * (columns // width)
        timesteps = self.timesteps(sigma)[:, None].repeat(1, frames // depth * per_frame)
        if frames > 1:
            timesteps[:, :per_frame] = 0.0
        return timesteps

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Without the first latent frame."""
        prediction = super().forward(noisy, sigma, text)  # type: ignore[safe-super]  # a mixin: the family comes next
        return prediction if noisy.shape[2] == 1 else prediction[:, :, 1:]

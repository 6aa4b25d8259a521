"""Training wan-nano's video autoencoder, on whole clips in one differentiable pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from motive.backbones.wan_vae import decode_whole, encode_whole
from motive.zoo.nano_loop import ProgressFn, TrainProgress

if TYPE_CHECKING:
    from motive.zoo.nano_data import NanoData

_KL_WEIGHT = 1e-4
_MOTION_WEIGHT = 4.0  # extra weight of a pixel whose colour changes by 1 (of a range of 2)
_COLOUR_WEIGHT = 2.5  # of the part of an error that is not brightness
_SPAN = 5  # frames of a short training span: two latent frames
_ENCODE_BATCH = 16


class VaeLoss:
    """Reconstruction and KL loss of one step on random spans of random clips.

    Small objects cover few pixels, so each pixel is weighted by how much it changes over time, and
    the change itself is fitted too: otherwise the autoencoder spends its capacity on backgrounds.

    Attributes:
        vae: The autoencoder being trained.
        data: The clips.
        batch_size: Whole clips per step; a step on short spans takes more, for the same cost.
        frozen_encoder: Train the decoder alone: what clips are encoded to no longer changes.
    """

    def __init__(
        self, vae: Any, data: NanoData, batch_size: int, *, frozen_encoder: bool = False
    ) -> None:
        self.vae = vae
        self.data = data
        self.batch_size = batch_size
        self.frozen_encoder = frozen_encoder

    def __call__(self, generator: torch.Generator) -> torch.Tensor:
        """Loss of one step, every random choice drawn from `generator`."""
        video = self._batch(generator).to(self.vae.device)
        with torch.set_grad_enabled(not self.frozen_encoder):
            mean, log_variance = encode_whole(self.vae, video).chunk(2, dim=1)
        log_variance = log_variance.clamp(-30.0, 20.0)  # as diffusers' posterior does
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        output = decode_whole(self.vae, mean + torch.exp(0.5 * log_variance) * noise)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean()
        return reconstruction_loss(output, video) + _KL_WEIGHT * kl

    def _batch(self, generator: torch.Generator) -> torch.Tensor:
        frames = self.data.pixels.shape[1]
        # A clip's frames are much alike, so most steps see short spans of more clips; every fourth
        # sees whole clips, because the causal context at their end is met only there.
        whole = int(torch.randint(4, (), generator=generator)) == 0 or frames <= _SPAN
        count = self.batch_size if whole else self.batch_size * (frames // _SPAN + 1)
        rows = torch.randint(len(self.data), (count,), generator=generator)
        video = self.data.video(rows)
        if not whole:
            start = int(torch.randint(frames - _SPAN + 1, (), generator=generator))
            video = video[:, :, start : start + _SPAN]
        if int(torch.randint(2, (), generator=generator)):
            video = video.flip(-1)
        return video.contiguous()


def reconstruction_loss(output: torch.Tensor, video: torch.Tensor) -> torch.Tensor:
    """Squared and absolute error, weighted towards what moves, plus the error of the change.

    Args:
        output: float "b 3 f h w", decoded clips.
        video: float "b 3 f h w" in [-1, 1], the clips themselves.

    Returns:
        A scalar.
    """
    error = output - video
    # Colour varies less than brightness, so plain error learns it last: count it more.
    error = error + (_COLOUR_WEIGHT - 1.0) * (error - error.mean(dim=1, keepdim=True))
    change = (video[:, :, 1:] - video[:, :, :-1]).abs().amax(dim=1, keepdim=True)
    weight = 1.0 + _MOTION_WEIGHT * torch.maximum(
        F.pad(change, (0, 0, 0, 0, 1, 0)), F.pad(change, (0, 0, 0, 0, 0, 1))
    )
    drift = error[:, :, 1:] - error[:, :, :-1]
    return (
        2.0 * (weight * error.square()).mean()
        + 0.5 * (weight * error.abs()).mean()
        + drift.square().mean()
    )


def encode_dataset(
    vae: Any,
    data: NanoData,
    *,
    mirrored: bool = False,
    on_progress: ProgressFn | None = None,
) -> torch.Tensor:
    """Posterior means of all clips, not normalised: float32 "n 16 5 8 8"."""
    latents = []
    for start in range(0, len(data), _ENCODE_BATCH):
        video = data.video(slice(start, start + _ENCODE_BATCH))
        if mirrored:
            video = video.flip(-1)
        with torch.no_grad():
            posterior = encode_whole(vae, video.contiguous().to(vae.device))
            latents.append(posterior.chunk(2, dim=1)[0].cpu())
        if on_progress is not None:
            done = min(start + _ENCODE_BATCH, len(data))
            on_progress(TrainProgress("latents", done, len(data)))
    return torch.cat(latents)


def set_latent_statistics(vae: Any, latents: torch.Tensor) -> None:
    """Write the per-channel mean and deviation of `latents` "n 16 f h w" into the VAE's config."""
    mean = latents.mean(dim=(0, 2, 3, 4))
    std = latents.std(dim=(0, 2, 3, 4)).clamp_min(1e-4)
    vae.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())


def normalise_latents(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """(z - mean) / std with the VAE config's statistics, as Wan does; "n 16 f h w"."""
    shape = (1, -1, 1, 1, 1)
    mean = torch.tensor(vae.config.latents_mean).view(shape)
    std = torch.tensor(vae.config.latents_std).view(shape)
    return (latents - mean) / std


def reconstruction_psnr(vae: Any, data: NanoData, rows: slice) -> float:
    """Mean peak signal-to-noise ratio in dB of decoded posterior means, over some clips."""
    video = data.video(rows).to(vae.device)
    with torch.no_grad():
        mean = encode_whole(vae, video.contiguous()).chunk(2, dim=1)[0]
        error = (decode_whole(vae, mean).clamp(-1.0, 1.0) - video).square().flatten(1).mean(dim=1)
    return float((10.0 * torch.log10(4.0 / error.clamp_min(1e-10))).mean())

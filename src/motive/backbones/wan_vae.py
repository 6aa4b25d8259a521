"""Wan's autoencoder on whole clips at once.

Invariant: `encode_whole` and `decode_whole` give what `AutoencoderKLWan.encode` and `.decode` give.
The class walks a clip in chunks of four frames behind a cache, to bound memory on long videos; its
convolutions are causal, so one pass over all frames computes the same numbers several times faster
and can be differentiated as an ordinary graph. It is for clips that fit into memory.
"""

from __future__ import annotations

from typing import Any

import torch


def encode_whole(vae: Any, video: torch.Tensor) -> torch.Tensor:
    """Encode whole clips in one pass.

    Args:
        vae: A Wan autoencoder, residual (Wan 2.2) or plain (Wan 2.1).
        video: float "b 3 f h w" in [-1, 1], f = 4k+1.

    Returns:
        float "b 2z f' h' w'": mean and log-variance of the posterior, f' = k+1.
    """
    from diffusers.models.autoencoders.autoencoder_kl_wan import patchify

    encoder = vae.encoder
    x = encoder.conv_in(patchify(video, vae.config.patch_size or 1))
    for block in encoder.down_blocks:
        if hasattr(block, "avg_shortcut"):
            shortcut = block.avg_shortcut(x)
            for resnet in block.resnets:
                x = resnet(x)
            if block.downsampler is not None:
                x = _downsample(block.downsampler, x)
            x = x + shortcut
        elif hasattr(block, "resample"):
            x = _downsample(block, x)
        else:
            x = block(x)
    x = encoder.conv_out(encoder.nonlinearity(encoder.norm_out(encoder.mid_block(x))))
    return vae.quant_conv(x)


def decode_whole(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Decode whole clips in one pass, without the class's final clamp to [-1, 1].

    Args:
        vae: A Wan autoencoder, residual (Wan 2.2) or plain (Wan 2.1).
        latents: float "b z f' h' w'", not normalised.

    Returns:
        float "b 3 f h w", f = 4 (f' - 1) + 1; the gradient outside [-1, 1] is kept for training.
    """
    from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

    decoder = vae.decoder
    x = decoder.mid_block(decoder.conv_in(vae.post_quant_conv(latents)))
    for block in decoder.up_blocks:
        before = x
        for resnet in block.resnets:
            x = resnet(x)
        if hasattr(block, "avg_shortcut"):
            if block.upsampler is not None:
                x = _upsample(block.upsampler, x)
            if block.avg_shortcut is not None:
                x = x + block.avg_shortcut(before, first_chunk=True)
        elif block.upsamplers is not None:
            x = _upsample(block.upsamplers[0], x)
    x = decoder.conv_out(decoder.nonlinearity(decoder.norm_out(x)))
    return unpatchify(x, vae.config.patch_size or 1)


def _downsample(layer: Any, x: torch.Tensor) -> torch.Tensor:
    x = layer(x)  # without a cache the class halves space only
    if layer.mode == "downsample3d" and x.shape[2] > 1:
        # Frame 0 passes alone; every later output reads the frame before its pair.
        x = torch.cat([x[:, :, :1], layer.time_conv(x)], dim=2)
    return x


def _upsample(layer: Any, x: torch.Tensor) -> torch.Tensor:
    if layer.mode == "upsample3d" and x.shape[2] > 1:
        later = layer.time_conv(x[:, :, 1:])  # frame 0 stays one frame and is not read
        later = torch.stack(later.chunk(2, dim=1), dim=3).flatten(2, 3)
        x = torch.cat([x[:, :, :1], later], dim=2)
    return layer(x)

"""One published training step per family, written out literally on the family's own pipeline.

Nothing here is shared with `motive.backbones`: captions come from the pipeline's `encode_prompt`
with their padding and masks, latents from the VAE, and the transformer gets the arguments that the
trainer gives it. Two things differ from the trainers on purpose: the latents are the posterior's
mode where some trainers draw a sample, and σ and ε are given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

Step = Callable[[Any, torch.Tensor, str, torch.Tensor, float], torch.Tensor]


def _video(pixels: torch.Tensor) -> torch.Tensor:
    """Uint8 "f h w 3" -> float "1 3 f h w" in [-1, 1]."""
    return pixels.permute(3, 0, 1, 2)[None].float() / 255.0 * 2.0 - 1.0


def _by_mean_and_std(vae: Any, video: torch.Tensor) -> torch.Tensor:
    latents = vae.encode(video).latent_dist.mode()
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
    inverse_std = 1.0 / torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
    return (latents - mean) * inverse_std


def _wan_parts(
    pipeline: Any, pixels: torch.Tensor, caption: str, noise: torch.Tensor, sigma: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    latents = _by_mean_and_std(pipeline.vae, _video(pixels))
    noisy = (1.0 - sigma) * latents + sigma * noise
    context, _ = pipeline.encode_prompt(
        caption, do_classifier_free_guidance=False, max_sequence_length=512
    )
    return latents, noisy, noise - latents, context


def _expert(pipeline: Any, timestep: float) -> Any:
    """DiffSynth trains each expert within its own timesteps (min/max_timestep_boundary)."""
    boundary = pipeline.config.get("boundary_ratio")
    low = boundary is not None and timestep < boundary * 1000
    return pipeline.transformer_2 if low else pipeline.transformer


def wan(
    pipeline: Any, pixels: torch.Tensor, caption: str, noise: torch.Tensor, sigma: float
) -> torch.Tensor:
    """DiffSynth-Studio, diffsynth/diffusion/loss.py `FlowMatchSFTLoss`, without its weight."""
    _, noisy, target, context = _wan_parts(pipeline, pixels, caption, noise, sigma)
    timestep = torch.tensor([1000.0 * sigma])
    model = _expert(pipeline, 1000.0 * sigma)
    prediction = model(noisy, timestep, context, return_dict=False)[0]
    return torch.nn.functional.mse_loss(prediction.float(), target.float())


def wan_fused_image(
    pipeline: Any, pixels: torch.Tensor, caption: str, noise: torch.Tensor, sigma: float
) -> torch.Tensor:
    """The same for TI2V-5B: "first_frame_latents" replace frame 0, which then leaves the loss.

    Timesteps as diffusers' `WanImageToVideoPipeline` makes them with `expand_timesteps`: zeros for
    the tokens of frame 0, t for the others.
    """
    _, noisy, target, context = _wan_parts(pipeline, pixels, caption, noise, sigma)
    noisy[:, :, 0:1] = _by_mean_and_std(pipeline.vae, _video(pixels[:1]))
    frames, height, width = noisy.shape[2:]
    timestep = torch.cat(
        [
            torch.zeros(1, height * width // 4),
            torch.ones(frames - 1, height * width // 4) * 1000.0 * sigma,
        ]
    ).flatten()[None]
    prediction = pipeline.transformer(noisy, timestep, context, return_dict=False)[0]
    return torch.nn.functional.mse_loss(prediction[:, :, 1:], target[:, :, 1:])


def wan_image(
    pipeline: Any, pixels: torch.Tensor, caption: str, noise: torch.Tensor, sigma: float
) -> torch.Tensor:
    """The same for I2V, conditioned as diffusers' `WanImageToVideoPipeline.prepare_latents` does.

    y is a mask of the first frame, repeated four times and folded, and the latents of the first
    frame followed by zeros; it is appended to the noisy latents.
    """
    latents, noisy, target, context = _wan_parts(pipeline, pixels, caption, noise, sigma)
    video = _video(pixels)
    frames, height, width = video.shape[2], *latents.shape[3:]
    mask = torch.ones(1, frames, height, width)
    mask[:, 1:] = 0
    mask = torch.cat([mask[:, :1].repeat_interleave(4, dim=1), mask[:, 1:]], dim=1)
    mask = mask.view(1, mask.shape[1] // 4, 4, height, width).transpose(1, 2)
    still = torch.cat([video[:, :, :1], torch.zeros_like(video[:, :, 1:])], dim=2)
    y = torch.cat([mask, _by_mean_and_std(pipeline.vae, still)], dim=1)
    image = None
    if pipeline.image_encoder is not None:
        image = pipeline.encode_image(Image.fromarray(pixels[0].numpy()))
    timestep = torch.tensor([1000.0 * sigma])
    prediction = _expert(pipeline, 1000.0 * sigma)(
        torch.cat([noisy, y], dim=1), timestep, context, image, return_dict=False
    )[0]
    return torch.nn.functional.mse_loss(prediction.float(), target.float())


def cosmos(
    pipeline: Any, pixels: torch.Tensor, caption: str, noise: torch.Tensor, sigma: float
) -> torch.Tensor:
    """cosmos-predict2.5, text2world_model_rectified_flow.py `training_step`, unweighted.

    And video2world_model_rectified_flow.py `denoise` with no conditional frame. Its timesteps are
    thousandths, which its network multiplies by 0.001.
    """
    x0 = _by_mean_and_std(pipeline.vae, _video(pixels))
    xt, vt = sigma * noise + (1 - sigma) * x0, noise - x0
    embeddings, _ = pipeline.encode_prompt(caption, do_classifier_free_guidance=False)
    condition_video_mask = torch.zeros_like(x0[:, :1])
    timesteps = torch.full((1, 1, x0.shape[2], 1, 1), 1000.0 * sigma)
    vt_pred = pipeline.transformer(
        hidden_states=x0 * condition_video_mask + xt * (1 - condition_video_mask),
        timestep=timesteps * 0.001,
        encoder_hidden_states=embeddings,
        condition_mask=condition_video_mask,
        padding_mask=torch.zeros(1, 1, *pixels.shape[1:3]),
        return_dict=False,
    )[0]
    return torch.mean((vt_pred - vt) ** 2, dim=list(range(1, vt_pred.dim()))).mean()


def ltx(
    pipeline: Any, pixels: torch.Tensor, caption: str, noise: torch.Tensor, sigma: float
) -> torch.Tensor:
    """finetrainers, finetrainers/models/ltx_video/base_specification.py `forward`.

    Without its first-frame noise, which one step in ten has; timesteps are those of all tokens.
    """
    vae, transformer = pipeline.vae, pipeline.transformer
    latents = vae.encode(_video(pixels)).latent_dist.mode()
    mean, std = (x.view(1, -1, 1, 1, 1) for x in (vae.latents_mean, vae.latents_std))
    latents = (latents - mean) / std
    noisy = (1.0 - sigma) * latents + sigma * noise
    frames, height, width = latents.shape[2:]
    # Patches of size 1: a token is a position, in the order frame, row, column.
    latents, noise, noisy = (x.flatten(2).transpose(1, 2) for x in (latents, noise, noisy))
    sigmas = torch.tensor([sigma]).view(-1, 1, 1).expand(-1, noisy.shape[1], -1)
    embeddings, mask, *_ = pipeline.encode_prompt(
        caption, do_classifier_free_guidance=False, max_sequence_length=128
    )
    prediction = transformer(
        hidden_states=noisy,
        encoder_hidden_states=embeddings,
        encoder_attention_mask=mask,
        timestep=(sigmas * 1000.0).long(),
        num_frames=frames,
        height=height,
        width=width,
        # The trainer writes 32 for the VAE's spatial factor; the tiny one's is 8.
        rope_interpolation_scale=[1 / (25 / 8), 8, 8],
        return_dict=False,
    )[0]
    return (prediction.float() - (noise - latents).float()).pow(2).mean()


def ltx2(
    pipeline: Any, pixels: torch.Tensor, caption: str, noise: torch.Tensor, sigma: float
) -> torch.Tensor:
    """LTX-2, ltx-trainer's text_to_video.py `prepare_training_inputs` and `compute_loss`.

    Without sound (with_audio: false) and without its first-frame conditioning, which some steps
    have. That trainer's model has no sound branch then; here it has one that is kept apart, with
    inputs that must not matter. Timesteps are those of all tokens.
    """
    vae = pipeline.vae
    latents = vae.encode(_video(pixels)).latent_dist.mode()
    mean, std = (x.view(1, -1, 1, 1, 1) for x in (vae.latents_mean, vae.latents_std))
    latents = (latents - mean) / std
    frames, height, width = latents.shape[2:]
    video_latents = latents.flatten(2).transpose(1, 2)
    video_noise = noise.flatten(2).transpose(1, 2)
    noisy_video = (1 - sigma) * video_latents + sigma * video_noise
    video_targets = video_noise - video_latents
    states, mask, *_ = pipeline.encode_prompt(caption, do_classifier_free_guidance=False)
    video_context, audio_context, context_mask = pipeline.connectors(states, mask)
    timesteps = torch.full((1, noisy_video.shape[1]), 1000.0 * sigma)
    audio = torch.randn(1, 7, pipeline.transformer.config.audio_in_channels)
    video_pred, _ = pipeline.transformer(
        hidden_states=noisy_video,
        audio_hidden_states=audio,
        encoder_hidden_states=video_context,
        audio_encoder_hidden_states=audio_context,
        encoder_attention_mask=context_mask,
        audio_encoder_attention_mask=context_mask,
        timestep=timesteps,
        audio_timestep=torch.full((1, 7), 1000.0 * sigma),
        sigma=torch.tensor([1000.0 * sigma]),
        num_frames=frames,
        height=height,
        width=width,
        fps=24,
        audio_num_frames=7,
        isolate_modalities=True,
        return_dict=False,
    )
    return (video_pred - video_targets).pow(2).mean()


def ltx_image(
    pipeline: Any, pixels: torch.Tensor, caption: str, noise: torch.Tensor, sigma: float
) -> torch.Tensor:
    """ltx-trainer's text_to_video.py with its first-frame conditioning, for LTX-Video's network.

    Conditioning tokens are clean, have timestep 0, and are left out of the loss.
    """
    vae = pipeline.vae
    latents = vae.encode(_video(pixels)).latent_dist.mode()
    mean, std = (x.view(1, -1, 1, 1, 1) for x in (vae.latents_mean, vae.latents_std))
    latents = (latents - mean) / std
    frames, height, width = latents.shape[2:]
    video_latents, noise = (x.flatten(2).transpose(1, 2) for x in (latents, noise))
    conditioning = torch.zeros(1, video_latents.shape[1], dtype=torch.bool)
    conditioning[:, : height * width] = True
    noisy = (1 - sigma) * video_latents + sigma * noise
    noisy = torch.where(conditioning[..., None], video_latents, noisy)
    timesteps = torch.where(conditioning, 0.0, sigma) * 1000.0
    embeddings, mask, *_ = pipeline.encode_prompt(caption, do_classifier_free_guidance=False)
    common = {"num_frames": frames, "height": height, "width": width, "return_dict": False}
    if hasattr(pipeline, "connectors"):
        context, silent, mask = pipeline.connectors(embeddings, mask)
        audio = torch.randn(1, 3, pipeline.transformer.config.audio_in_channels)
        prediction = pipeline.transformer(
            noisy, audio, context, silent, timesteps, encoder_attention_mask=mask, fps=24,
            audio_timestep=torch.tensor([1000.0 * sigma]), audio_num_frames=3,
            sigma=torch.tensor([1000.0 * sigma]), isolate_modalities=True, **common,
        )[0]  # fmt: skip
    else:
        prediction = pipeline.transformer(
            noisy, embeddings, timesteps, mask, rope_interpolation_scale=[1 / (25 / 8), 8, 8],
            **common,
        )[0]  # fmt: skip
    loss_mask = (~conditioning)[..., None].float()
    loss = (prediction - (noise - video_latents)).pow(2).mul(loss_mask).mean(dim=[-2, -1])
    return (loss / loss_mask.mean(dim=[-2, -1]).clamp(min=1e-8)).mean()


def hunyuan_video(
    pipeline: Any, pixels: torch.Tensor, caption: str, noise: torch.Tensor, sigma: float
) -> torch.Tensor:
    """finetrainers, finetrainers/models/hunyuan_video/base_specification.py `forward`."""
    latents = pipeline.vae.encode(_video(pixels)).latent_dist.mode()
    latents = latents * pipeline.vae.config.scaling_factor
    noisy = (1.0 - sigma) * latents + sigma * noise
    embeddings, pooled, mask = pipeline.encode_prompt(caption, max_sequence_length=256)
    prediction = pipeline.transformer(
        hidden_states=noisy,
        timestep=(torch.tensor([sigma]) * 1000.0).long(),
        encoder_hidden_states=embeddings,
        encoder_attention_mask=mask,
        pooled_projections=pooled,
        guidance=latents.new_full((1,), 1.0) * 1000.0,
        return_dict=False,
    )[0]
    return (prediction.float() - (noise - latents).float()).pow(2).mean()


def hunyuan_video15(
    pipeline: Any,
    pixels: torch.Tensor,
    caption: str,
    noise: torch.Tensor,
    sigma: float,
    task_type: str = "t2v",
) -> torch.Tensor:
    """HunyuanVideo-1.5, train.py `prepare_batch`, `get_condition` and `train_step`."""
    latents = pipeline.vae.encode(_video(pixels)).latent_dist.mode()
    latents = latents * pipeline.vae.config.scaling_factor
    condition = torch.zeros(1, latents.shape[1] + 1, *latents.shape[2:])
    vision_states = torch.zeros(1, 729, pipeline.transformer.config.image_embed_dim)
    if task_type == "i2v":
        condition[:, :-1, :1] = latents[:, :, :1]
        condition[:, -1, 0] = 1
        vision_states = pipeline.encode_image(
            Image.fromarray(pixels[0].numpy()), 1, torch.device("cpu"), torch.float32
        )
    noisy = (1.0 - sigma) * latents + sigma * noise
    embeddings, mask, glyphs, glyph_mask = pipeline.encode_prompt(caption)
    prediction = pipeline.transformer(
        hidden_states=torch.cat([noisy, condition], dim=1),
        timestep=torch.tensor([1000.0 * sigma]),
        encoder_hidden_states=embeddings,
        encoder_attention_mask=mask,
        encoder_hidden_states_2=glyphs,
        encoder_attention_mask_2=glyph_mask,
        image_embeds=vision_states,
        return_dict=False,
    )[0]
    return torch.nn.functional.mse_loss(prediction, noise - latents)


def cogvideox(
    pipeline: Any, pixels: torch.Tensor, caption: str, noise: torch.Tensor, sigma: float
) -> torch.Tensor:
    """diffusers, examples/cogvideo/train_cogvideox_lora.py, the training loop.

    And, of an image-to-video pipeline, train_cogvideox_image_to_video_lora.py without the noise on
    the image; what that script lacks for 1.5 (inverted scale, offset) is the pipeline's.
    σ stands for the timestep whose ratio of noise to signal is σ / (1 − σ), nearest of all.
    """
    scheduler, transformer = pipeline.scheduler, pipeline.transformer
    ratios = ((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod.clamp(min=1e-12)).sqrt()
    levels = (ratios / (1 + ratios)).numpy()
    timesteps = torch.tensor([int(np.abs(levels - sigma).argmin())])
    model_input = pipeline.vae.encode(_video(pixels)).latent_dist.mode()
    model_input = (model_input * pipeline.vae.config.scaling_factor).permute(0, 2, 1, 3, 4)
    noise = noise.permute(0, 2, 1, 3, 4)
    embeddings, _ = pipeline.encode_prompt(caption, do_classifier_free_guidance=False)
    height, width = pixels.shape[1:3]
    rotary = None
    if transformer.config.use_rotary_positional_embeddings:
        rotary = pipeline._prepare_rotary_positional_embeddings(
            height, width, model_input.shape[1], torch.device("cpu")
        )
    noisy_model_input = scheduler.add_noise(model_input, noise, timesteps)
    hidden_states, more = noisy_model_input, {}
    if transformer.config.in_channels > transformer.config.out_channels:
        image = pipeline.vae.encode(_video(pixels[:1])).latent_dist.mode().permute(0, 2, 1, 3, 4)
        factor = pipeline.vae.config.scaling_factor
        image = image / factor if pipeline.vae.config.invert_scale_latents else image * factor
        padding = image.new_zeros(1, model_input.shape[1] - 1, *model_input.shape[2:])
        image_latents = torch.cat([image, padding], dim=1)
        hidden_states = torch.cat([noisy_model_input, image_latents], dim=2)
        if transformer.config.ofs_embed_dim is not None:
            more = {"ofs": torch.full((1,), 2.0)}
    model_output = transformer(
        **more,
        hidden_states=hidden_states,
        encoder_hidden_states=embeddings,
        timestep=timesteps,
        image_rotary_emb=rotary,
        return_dict=False,
    )[0]
    model_pred = scheduler.get_velocity(model_output, noisy_model_input, timesteps)
    weights = 1 / (1 - scheduler.alphas_cumprod[timesteps])
    error = weights.view(-1, 1, 1, 1, 1) * (model_pred - model_input) ** 2
    return error.reshape(1, -1).mean(dim=1).mean()


def mochi(
    pipeline: Any, pixels: torch.Tensor, caption: str, noise: torch.Tensor, sigma: float
) -> torch.Tensor:
    """genmo mochi, demos/fine_tuner/train.py; its model counts 1 − σ, in thousandths."""
    z = _by_mean_and_std(pipeline.vae, _video(pixels)) * pipeline.vae.config.scaling_factor
    z_sigma = (1.0 - sigma) * z + sigma * noise
    ut = z - noise
    embeddings, mask, *_ = pipeline.encode_prompt(caption, do_classifier_free_guidance=False)
    preds = pipeline.transformer(
        hidden_states=z_sigma,
        encoder_hidden_states=embeddings,
        encoder_attention_mask=mask,
        timestep=(1.0 - torch.tensor([sigma])) * 1000.0,
        return_dict=False,
    )[0]
    return torch.nn.functional.mse_loss(preds.float(), ut.float())


STEPS: dict[str, Step] = {
    "wan-t2v": wan,
    "wan-i2v": wan_image,
    "wan-ti2v": wan_fused_image,
    "wan-t2v-a14b": wan,
    "wan-i2v-a14b": wan_image,
    "skyreels-v2": wan,
    "cosmos-2.5": cosmos,
    "ltx": ltx,
    "ltx-i2v": ltx_image,
    "ltx-2-i2v": ltx_image,
    "ltx-2": ltx2,
    "ltx-2.3": ltx2,
    "hunyuan-video": hunyuan_video,
    "hunyuan-video-1.5": hunyuan_video15,
    "cogvideox-2b": cogvideox,
    "cogvideox-5b": cogvideox,
    "cogvideox-1.5": cogvideox,
    "cogvideox-i2v": cogvideox,
    "cogvideox-1.5-i2v": cogvideox,
    "hunyuan-video-1.5-i2v": partial(hunyuan_video15, task_type="i2v"),
    "mochi": mochi,
}

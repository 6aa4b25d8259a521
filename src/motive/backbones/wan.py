"""Wan text-to-video: 2.1 (1.3B, 14B, wan-nano), 2.2 TI2V-5B and 2.2 A14B; a `WanPipeline` folder.

The family's truths:
* rectified flow: z = (1 − σ) h + σ ε, target ε − h, model timestep 1000 σ (a float);
* latents are normalised per channel, (z − mean) / std, with the numbers in the VAE's config;
* the VAE is causal: frame 0 alone, then groups of 4 (4k+1 frames give k+1 latent frames);
* captions are cleaned, cut at 512 tokens, and zeroed past their end. A tokenizer with a smaller
  `model_max_length` (wan-nano) uses that instead;
* TI2V-5B (`expand_timesteps`) has one timestep per token. It is trained on its first frame: latent
  frame 0 is clean, its tokens have timestep 0, and its error is left out of the loss;
* A14B has two experts: timesteps from `boundary_ratio` · 1000 up belong to `transformer`, those
  below to `transformer_2`. The one that σ falls to is attributed, and named in the fingerprint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch

from motive.backbones.base import DiffusersBackbone
from motive.backbones.captions import warn_if_cut
from motive.backbones.protocol import NoiseLevel, TextEmbedding
from motive.backbones.wan_vae import decode_whole, encode_whole
from motive.clips import ClipStandard
from motive.errors import ModelError, UsageError

_TEXT_LENGTH = 512  # WanPipeline.__call__ default max_sequence_length
_TAKEN_WHOLE = 4096  # latent positions; larger clips go through the VAE in chunks, to save memory


class WanBackbone(DiffusersBackbone):
    """A Wan text-to-video folder.

    Args:
        folder: Local pipeline folder.
        sigma: Noise level of attribution, which decides between two experts; None: `sigma_fix`.
        options: See `DiffusersBackbone`.
    """

    family = "Wan 2.1 T2V"
    pipelines: ClassVar[tuple[str, ...]] = ("WanPipeline",)
    default_standard = ClipStandard(frames=81, fps=16.0, height=480, width=832)
    sigma_source = "paper: t = 751, the scheduler's index 500 of 1000 at shift 3"

    def __init__(self, folder: Path, *, sigma: float | None = None, **options: Any) -> None:
        self._level = self.sigma_fix if sigma is None else sigma
        super().__init__(folder, **options)

    def recognise(self) -> None:
        """One expert or two; timesteps per clip or per token."""
        self.per_token = bool(self.index.get("expand_timesteps"))
        self.boundary: float | None = None
        if self.per_token:
            self.family = "Wan 2.2 TI2V-5B"
            self.default_standard = ClipStandard(frames=121, fps=24.0, height=704, width=1280)
        if self.has("transformer_2"):
            self.family = self.family.replace("2.1 T2V", "2.2 T2V-A14B").replace("2.1", "2.2")
            boundary = self.index.get("boundary_ratio") or 0.875
            if not isinstance(boundary, int | float) or not 0 < boundary < 1:
                raise ModelError(f"{self.name}: boundary_ratio is {boundary!r}, not in (0, 1)")
            self.boundary = float(boundary)
            high = self._level >= self.boundary
            self.expert = "transformer" if high else "transformer_2"
            noise = "high" if high else "low"
            self.expert_text = f"{self.expert} ({noise} noise, boundary {self.boundary:g})"
        self.components = (self.expert, *self.components[1:])

    def read_configuration(self) -> None:
        """Factors, channels and the latents' statistics."""
        vae, transformer = self.vae_config, self.transformer_config
        self.channels = int(vae["z_dim"])
        self.space = int(vae.get("scale_factor_spatial") or 8)
        self.time = int(vae.get("scale_factor_temporal") or 4)
        self.patch = tuple(transformer["patch_size"])  # type: ignore[assignment]
        self._mean = torch.tensor(vae["latents_mean"]).view(self.channels, 1, 1, 1)
        self._std = torch.tensor(vae["latents_std"]).view(self.channels, 1, 1, 1)

    def normalise(self, latents: torch.Tensor) -> torch.Tensor:
        """(z − mean) / std per channel."""
        return (latents - self._mean) / self._std

    def denormalise(self, latents: torch.Tensor) -> torch.Tensor:
        """The inverse."""
        return latents * self._std + self._mean

    def encode_normalised(self, video: torch.Tensor) -> torch.Tensor:
        """In one pass if the clip is small."""
        shape = ClipStandard(video.shape[1], 1.0, *video.shape[2:])
        if math.prod(self.latent_grid(shape)) > _TAKEN_WHOLE:
            return super().encode_normalised(video)
        mode = encode_whole(self.vae, video[None]).chunk(2, dim=1)[0][0]
        return self.normalise(mode.float().cpu())

    def decode_raw(self, raw: torch.Tensor) -> torch.Tensor:
        """Several at a time, each in one pass, if the clips are small."""
        at_once = _TAKEN_WHOLE // raw[0, 0].numel()
        if not at_once:
            return super().decode_raw(raw)
        return torch.cat([decode_whole(self.vae, part) for part in raw.split(at_once)])

    def check_sampling(self) -> None:
        """Videos are made by one transformer from a text alone."""
        if self.pipelines != WanBackbone.pipelines or self.boundary is not None or self.per_token:
            super().check_sampling()

    @torch.no_grad()
    def encode_text(self, caption: str) -> TextEmbedding:
        """Caption embeddings as `WanPipeline` makes them (cleaned, cut, without the padding)."""
        from diffusers.pipelines.wan.pipeline_wan import prompt_clean

        tokenizer, encoder = self._text
        length = min(_TEXT_LENGTH, int(tokenizer.model_max_length))
        cleaned = prompt_clean(caption)
        warn_if_cut(tokenizer, cleaned, length)
        batch = tokenizer(
            [cleaned],
            padding="max_length",
            max_length=length,
            truncation=True,
            add_special_tokens=True,
            return_attention_mask=True,
            return_tensors="pt",
        )
        mask = batch.attention_mask.to(self.device)
        hidden = encoder(batch.input_ids.to(self.device), mask).last_hidden_state[0]
        return TextEmbedding(hidden[: int(mask.sum())].float().cpu(), length)

    @cached_property
    def _text(self) -> tuple[Any, Any]:
        return self.tokenizer(), self.component("text_encoder", self.encoder_dtype)

    def mix(self, latents: torch.Tensor, noise: torch.Tensor, sigma: NoiseLevel) -> torch.Tensor:
        """Z = (1 − σ) h + σ ε; of TI2V-5B the first latent frame stays clean."""
        noisy = super().mix(latents, noise, sigma)
        if self.per_token and latents.shape[2] > 1:
            return torch.cat([latents[:, :, :1], noisy[:, :, 1:]], dim=2)
        return noisy

    def target(self, latents: torch.Tensor, noise: torch.Tensor, sigma: NoiseLevel) -> torch.Tensor:
        """The velocity ε − h; of TI2V-5B without the first latent frame, which is given."""
        velocity = super().target(latents, noise, sigma)
        return velocity[:, :, 1:] if self.per_token and latents.shape[2] > 1 else velocity

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Velocity at timestep 1000 σ; of TI2V-5B without the first latent frame."""
        self.check_levels(sigma.tolist())
        timestep = self.timesteps(sigma)
        given = self.per_token and noisy.shape[2] > 1
        if self.per_token:
            _, height, width = self.patch
            tokens = (noisy.shape[3] // height) * (noisy.shape[4] // width)
            timestep = timestep[:, None].repeat(1, noisy.shape[2] * tokens)
            timestep[:, : tokens * given] = 0.0
        velocity: torch.Tensor = self.transformer(
            hidden_states=noisy, timestep=timestep, return_dict=False, **self.conditions(text)
        )[0]
        return velocity[:, :, 1:] if given else velocity

    def conditions(self, text: torch.Tensor) -> dict[str, object]:
        """The transformer's arguments that a caption's matrix "b l d" stands for."""
        return {"encoder_hidden_states": text}

    def check_levels(self, sigmas: Sequence[float]) -> None:
        """Check that noise levels belong to the attributed expert."""
        if self.boundary is None:
            return
        high = self.expert == "transformer"
        if any((sigma >= self.boundary) != high for sigma in sigmas):
            levels = ", ".join(f"{1000 * sigma:g}" for sigma in sorted(set(sigmas)))
            raise UsageError(
                f"timestep {levels}: belongs to the other expert of {self.name}, whose boundary is "
                f"{1000 * self.boundary:g}; give timesteps of one side, and index each side apart"
            )

    def fingerprint(self) -> dict[str, object]:
        """As of every model; of two experts it names the attributed one."""
        found = super().fingerprint()
        if self.expert_text is not None:
            found["expert"] = self.expert_text
        return found

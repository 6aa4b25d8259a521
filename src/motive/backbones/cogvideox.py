"""CogVideoX text-to-video (2B, 5B, 1.5-5B): a `CogVideoXPipeline` folder.

The family's truths:
* diffusion with v-prediction: z = √ᾱ h + √(1 − ᾱ) ε, target v = √ᾱ ε − √(1 − ᾱ) h. The published
  step compares clean latents with weight 1 / (1 − ᾱ), which is the same as comparing v;
* σ is that of the rectified flow with the same ratio of noise to signal,
  σ = √(1 − ᾱ) / (√ᾱ + √(1 − ᾱ)); the nearest of the scheduler's 1000 timesteps is used;
* latents are the VAE's times `scaling_factor`; the VAE is causal: frame 0 alone, then groups of 4;
* the transformer takes "b f c h w", and rotary embeddings of the grid (5B, 1.5) made outside;
* captions: T5, 226 tokens, the padding is read too;
* 1.5 has patches of 2 latent frames. Of an odd number the first is doubled for the transformer, and
  what it predicts for the copy left out, as sampling drops it. (finetrainers repeats the last.)
"""

from __future__ import annotations

from functools import cached_property
from types import SimpleNamespace
from typing import Any

import torch

from motive.backbones.base import DiffusersBackbone
from motive.backbones.captions import embedded
from motive.backbones.folder import read_json
from motive.backbones.protocol import NoiseLevel, TextEmbedding
from motive.clips import ClipStandard
from motive.errors import UsageError

_TEXT_LENGTH = 226  # CogVideoXPipeline.__call__ default max_sequence_length


class CogVideoXBackbone(DiffusersBackbone):
    """A CogVideoX text-to-video folder."""

    family = "CogVideoX"
    pipelines = ("CogVideoXPipeline",)
    components = ("transformer", "vae", "text_encoder", "tokenizer", "scheduler")
    default_standard = ClipStandard(frames=49, fps=8.0, height=480, width=720)
    target_name = "v (sqrt(abar) noise - sqrt(1 - abar) latents)"

    def read_configuration(self) -> None:
        """Factors of the VAE and the patch."""
        vae, transformer = self.vae_config, self.transformer_config
        self.channels = int(vae["latent_channels"])
        self.space = 2 ** (len(vae["block_out_channels"]) - 1)
        self.time = int(vae["temporal_compression_ratio"])
        self.scaling = float(vae["scaling_factor"])
        size = int(transformer["patch_size"])
        self.patch = (1, size, size)
        self.depth = int(transformer.get("patch_size_t") or 1)
        scheduler = read_json(self.folder / "scheduler" / "scheduler_config.json")
        if scheduler.get("prediction_type") != "v_prediction":
            raise ValueError(f"the scheduler's prediction_type {scheduler.get('prediction_type')}")
        if self.depth > 1:
            self.family = "CogVideoX 1.5"
            self.default_standard = ClipStandard(frames=81, fps=16.0, height=768, width=1360)

    def normalise(self, latents: torch.Tensor) -> torch.Tensor:
        """Times the scaling factor."""
        return latents * self.scaling

    def denormalise(self, latents: torch.Tensor) -> torch.Tensor:
        """The inverse."""
        return latents / self.scaling

    def check_standard(self, standard: ClipStandard) -> None:
        """As of every family; a model with learned positions takes its own shape only."""
        super().check_standard(standard)
        config = self.transformer_config
        if not config.get("use_learned_positional_embeddings"):
            return
        frames = int(config["sample_frames"])
        height, width = (
            int(config[name]) * self.space for name in ("sample_height", "sample_width")
        )
        if (frames, height, width) != (standard.frames, standard.height, standard.width):
            raise UsageError(
                f"{standard.frames} frames of {standard.width}x{standard.height}: {self.name} has "
                f"learned positions and takes {frames} frames of {width}x{height} only"
            )

    @torch.no_grad()
    def encode_text(self, caption: str) -> TextEmbedding:
        """All 226 rows: the model reads the padding too."""
        tokens, _ = embedded(self, caption, _TEXT_LENGTH)
        return TextEmbedding(tokens[0].float().cpu(), _TEXT_LENGTH)

    # -- diffusion ---------------------------------------------------------------------------

    @cached_property
    def _signal(self) -> torch.Tensor:
        """√ᾱ of the scheduler's timesteps, float64."""
        from diffusers import CogVideoXDDIMScheduler

        with self._loading("scheduler") as folder:
            scheduler: Any = CogVideoXDDIMScheduler.from_pretrained(folder, local_files_only=True)
        alphas: torch.Tensor = scheduler.alphas_cumprod.double()
        return alphas.sqrt()

    def model_timestep(self, sigma: torch.Tensor) -> torch.Tensor:
        """The scheduler's timestep whose ratio of noise to signal is nearest."""
        noise = (1.0 - self._signal.square()).sqrt()
        levels = noise / (noise + self._signal)
        return (levels - sigma.double().cpu()[..., None]).abs().argmin(dim=-1)

    def _scales(self, sigma: NoiseLevel, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """√ᾱ and √(1 − ᾱ) at σ, which is a number or has one entry per clip."""
        signal = self._signal[self.model_timestep(torch.as_tensor(sigma))]
        noise = (1.0 - signal.square()).sqrt()
        if signal.ndim:
            signal, noise = signal.view(-1, 1, 1, 1, 1), noise.view(-1, 1, 1, 1, 1)
        return signal.to(like), noise.to(like)

    def mix(self, latents: torch.Tensor, noise: torch.Tensor, sigma: NoiseLevel) -> torch.Tensor:
        """Z = √ᾱ h + √(1 − ᾱ) ε."""
        signal_scale, noise_scale = self._scales(sigma, latents)
        return signal_scale * latents + noise_scale * noise

    def target(self, latents: torch.Tensor, noise: torch.Tensor, sigma: NoiseLevel) -> torch.Tensor:
        """V = √ᾱ ε − √(1 − ᾱ) h."""
        signal_scale, noise_scale = self._scales(sigma, latents)
        own = slice(None, self.channels)
        return signal_scale * noise[:, own] - noise_scale * latents[:, own]

    def more_arguments(self, noisy: torch.Tensor) -> dict[str, Any]:
        """Of the transformer, beside latents, text and timestep."""
        return {}

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """V at the scheduler's timestep."""
        from diffusers import CogVideoXPipeline

        copies = -noisy.shape[2] % self.depth
        noisy = torch.cat([noisy[:, :, :1]] * copies + [noisy], dim=2)
        frames, height, width = noisy.shape[2:]
        rotary = None
        if self.transformer_config.get("use_rotary_positional_embeddings"):
            # The pipeline's own method; it reads nothing but these two attributes.
            owner = SimpleNamespace(
                vae_scale_factor_spatial=self.space, transformer=self.transformer
            )
            rotary = CogVideoXPipeline._prepare_rotary_positional_embeddings(
                owner, height * self.space, width * self.space, frames, self.device
            )
        output: torch.Tensor = self.transformer(
            hidden_states=noisy.transpose(1, 2),
            encoder_hidden_states=text,
            timestep=self.model_timestep(sigma).to(self.device),
            image_rotary_emb=rotary,
            return_dict=False,
            **self.more_arguments(noisy),
        )[0]
        return output.transpose(1, 2)[:, :, copies:]

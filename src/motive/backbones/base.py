"""What all diffusers pipeline folders share; a family's file adds its own truths.

Invariant: all that attribution handles is two tensors, whatever a family's transformer takes.
* Latents "c f h w". The first `channels` are noised and predicted; channels after them tell the
  transformer of the clip's own first frame (image-to-video) and pass through noising unchanged.
* Text "l d", the caption. A family whose transformer wants a mask adds a column that is one on real
  tokens (padding is zero, so it says "no token" by itself); one with further encoders adds rows.
So caches, batches and shards need to know nothing about families.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import torch

from motive.backbones.checkpoints import Checkpoints
from motive.backbones.components import PipelineFolder
from motive.backbones.digests import component_digest
from motive.backbones.folder import read_json, read_standard
from motive.backbones.placement import Placement, Stored, empty_model, whole
from motive.backbones.protocol import NoiseLevel, TextEmbedding
from motive.clips import ClipStandard
from motive.errors import ModelError, UsageError

TRAIN_TIMESTEPS = 1000.0


class DiffusersBackbone(PipelineFolder, ABC):
    """A diffusers pipeline folder; components load when first used.

    A family's file sets the class attributes, and overrides what it does differently: by default
    the model is a rectified flow of latents that a causal autoencoder gives.

    Attributes:
        family: For example "Wan 2.1 T2V".
        pipelines: Diffusers pipeline classes whose folders this class opens.
        components: Folders that must be there; all of them go into the fingerprint.
        default_standard: The clip shape that the model was made for.
        sigma_fix: Default noise level of attribution, in [0, 1].
        sigma_source: Where that comes from.
        target_name: What the model predicts, for people.
        name: What the caller asked for (folder, hub id, embedded name).
        folder: Local pipeline folder.
        device: Where the transformer, VAE and text encoder run.
        dtype: Transformer weights and activations; modules that the class keeps wide stay so.
        placement: Where the transformer's weights live.
        checkpoints: Fine-tuned weights that go on top of the folder's.
        standard: The clip shape of this folder: of its motive.json, or the default.
        expert: Of several transformers, the folder of the attributed one.
        expert_text: The same for people; None where there is but one.
    """

    family: str
    pipelines: ClassVar[tuple[str, ...]]
    components: tuple[str, ...] = ("transformer", "vae", "text_encoder", "tokenizer")
    default_standard: ClipStandard
    sigma_fix: float = 0.751
    sigma_source: str = "the paper's noise level, found on Wan 2.1 and taken over"
    target_name: str = "velocity (noise - latents)"
    expert: str = "transformer"
    expert_text: str | None = None

    def __init__(
        self,
        folder: Path,
        *,
        name: str | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        placement: Placement = whole,
        checkpoints: Checkpoints = Checkpoints(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(folder, name, device)
        self.dtype, self.placement, self.checkpoints = dtype, placement, checkpoints
        self.recognise()
        self.check_components(self.components)
        self._configure()
        self.check_weights(self.components)
        if self.checkpoints:
            self.checkpoints.check(self._empty(), self.pipeline_class, self.expert)
        self.standard = read_standard(self.folder, self.default_standard)

    def _configure(self) -> None:
        """Read the configurations, and refuse what cannot be that of the family."""
        self.vae_config, self.transformer_config = (
            read_json(self.folder / part / "config.json") for part in ("vae", self.expert)
        )
        try:
            self.read_configuration()
            sizes = self.channels, self.time, self.space, *self.patch
            if len(sizes) != 6 or min(sizes) < 1:
                raise ValueError(f"sizes {sizes}")
            expected = self.transformer_channels()
            given = int(self.transformer_config.get("in_channels", expected))
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise ModelError(
                f"{self.name}: the configuration of the VAE or the transformer is not that of a "
                f"{self.family} model ({type(error).__name__}: {error})"
            ) from None
        if given != expected:
            raise ModelError(
                f"{self.name}: the transformer takes {given} channels and not the {expected} of a "
                f"{self.family} model of this VAE; is {self.index['_class_name']} the folder's "
                "pipeline class?"
            )

    # -- what a family says about itself -------------------------------------------------------

    def recognise(self) -> None:
        """Set what depends on the index (family, components, expert); refuse what does not fit."""

    @abstractmethod
    def read_configuration(self) -> None:
        """Set `channels`, `time` and `space` (VAE factors), `patch` (t, h, w) and the like."""

    def transformer_channels(self) -> int:
        """Channels that the transformer takes: the latents', and those that `forward` adds."""
        return self.channels

    channels: int
    time: int
    space: int
    patch: tuple[int, int, int]

    @abstractmethod
    def normalise(self, latents: torch.Tensor) -> torch.Tensor:
        """VAE latents "c f h w" -> what the transformer was trained on."""

    @abstractmethod
    def denormalise(self, latents: torch.Tensor) -> torch.Tensor:
        """The inverse of `normalise`."""

    @abstractmethod
    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """The transformer's prediction "b c f h w" for noisy latents at σ "b", given text "b l d".

        Latents and text are on the device, in the transformer's dtype; σ is for `timesteps`.
        """

    def model_timestep(self, sigma: torch.Tensor) -> torch.Tensor:
        """The timestep that the transformer is told at σ "b"; of a rectified flow 1000 σ."""
        return sigma * TRAIN_TIMESTEPS

    def timesteps(self, sigma: torch.Tensor) -> torch.Tensor:
        """`model_timestep` on the device, float32."""
        return self.model_timestep(sigma).to(self.device, torch.float32)

    def check_levels(self, sigmas: Sequence[float]) -> None:
        """Check that this model is trained at noise levels; a rectified flow is at all of them.

        Raises:
            UsageError: It has two experts, and one of them belongs to the other.
        """

    @property
    def sees_image(self) -> bool:
        """Whether an encoder looks at the first frame: then `encode_image` gives rows."""
        return "image_encoder" in self.components

    # -- shape -------------------------------------------------------------------------------

    def check_standard(self, standard: ClipStandard) -> None:
        """Check that the VAE and the patch embedding divide the clip's length and size.

        Raises:
            UsageError: Names the nearest shape that works.
        """
        step_h, step_w = self.space * self.patch[1], self.space * self.patch[2]
        nearest = ClipStandard(
            frames=max(1, round((standard.frames - 1) / self.time)) * self.time + 1,
            fps=standard.fps,
            height=max(1, round(standard.height / step_h)) * step_h,
            width=max(1, round(standard.width / step_w)) * step_w,
        )
        if nearest != standard:
            raise UsageError(
                f"{standard.frames} frames of {standard.width}x{standard.height}: {self.name} "
                f"takes {self.time}k+1 frames and sizes divisible by {step_w}x{step_h}; the "
                f"nearest is {nearest.frames} frames of {nearest.width}x{nearest.height}"
            )

    def latent_grid(self, standard: ClipStandard) -> tuple[int, int, int]:
        """Latent (frames, height, width)."""
        frames = (standard.frames - 1) // self.time + 1
        return frames, standard.height // self.space, standard.width // self.space

    def temporal_groups(self, frames: int) -> list[list[int]]:
        """Frame 0 alone, then 4 by 4 (or 6, or 8): [[0], [1, 2, 3, 4], ...]."""
        return [[0]] + [
            list(range(first, min(first + self.time, frames)))
            for first in range(1, frames, self.time)
        ]

    # -- encoders ----------------------------------------------------------------------------

    @torch.no_grad()
    def encode_video(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised posterior mode of uint8 "f h w 3": float32 "c f h w" on the CPU."""
        video = pixels.to(self.device).permute(3, 0, 1, 2).float() / 127.5 - 1.0
        return self.encode_normalised(video)

    def encode_normalised(self, video: torch.Tensor) -> torch.Tensor:
        """Normalised posterior mode of a video "3 f h w" in [-1, 1]: float32 on the CPU."""
        mode = self.vae.encode(video[None]).latent_dist.mode()[0].float().cpu()
        return self.normalise(mode)

    @torch.no_grad()
    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Normalised latents "c f h w" -> uint8 "f h w 3" on the CPU; or several, "b c f h w"."""
        several = latents if latents.ndim == 5 else latents[None]
        raw = [self.denormalise(clip[: self.channels].cpu()) for clip in several]
        video = self.decode_raw(torch.stack(raw).to(self.device)).float().clamp(-1, 1)
        pixels = ((video.permute(0, 2, 3, 4, 1) + 1.0) * 127.5).round().to(torch.uint8).cpu()
        return pixels if latents.ndim == 5 else pixels[0]

    def decode_raw(self, raw: torch.Tensor) -> torch.Tensor:
        """VAE latents "b c f h w" -> video "b 3 f h w" in [-1, 1], on the device."""
        return torch.cat([self.vae.decode(clip[None]).sample for clip in raw])

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor | None:
        """Rows "l d" that tell of the first frame of uint8 "f h w 3", before the caption's."""
        return None

    @abstractmethod
    def encode_text(self, caption: str) -> TextEmbedding:
        """Caption -> embeddings, float32 on the CPU."""

    @cached_property
    def text_pipeline(self) -> Any:
        """The family's own pipeline with text encoders only: `encode_prompt` as published."""
        cls = self.pipeline_class
        names = [name for name in signature(cls.__init__).parameters if name in self.index]
        return cls(**{name: self.text_part(name) for name in names})

    def text_part(self, name: str) -> Any:
        """An argument of the class for `text_pipeline`: None for what texts do not need."""
        if name.startswith("tokenizer"):
            return self.tokenizer(name)
        if name.startswith("text_encoder"):
            return self.component(name, self.encoder_dtype)
        return None if isinstance(self.index[name], list) else self.index[name]

    @property
    def encoder_dtype(self) -> torch.dtype:
        """Of the text and image encoders."""
        return torch.float32 if self.device.type == "cpu" else torch.bfloat16

    def release_encoders(self) -> None:
        """Free the VAE and the encoders (on a GPU they would crowd the transformer)."""
        for part in ("vae", "_text", "text_pipeline", "_image"):
            self.__dict__.pop(part, None)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    # -- diffusion ---------------------------------------------------------------------------

    def add_noise(
        self, latents: torch.Tensor, noise: torch.Tensor, sigma: NoiseLevel
    ) -> torch.Tensor:
        """Noised latents z = (1 − σ) h + σ ε; σ for the batch, or one per clip "b".

        Channels after the model's own, which condition on the first frame, stay as they are.
        """
        if isinstance(sigma, torch.Tensor):
            sigma = sigma.to(latents).view(-1, 1, 1, 1, 1)
        own = slice(None, self.channels)
        noisy = self.mix(latents[:, own], noise[:, own], sigma)
        if latents.shape[1] == self.channels:
            return noisy
        return torch.cat([noisy, latents[:, self.channels :]], dim=1)

    def mix(self, latents: torch.Tensor, noise: torch.Tensor, sigma: NoiseLevel) -> torch.Tensor:
        """Z of the family's noising process; σ a number or "b 1 1 1 1"."""
        return (1.0 - sigma) * latents + sigma * noise

    def target(self, latents: torch.Tensor, noise: torch.Tensor, sigma: NoiseLevel) -> torch.Tensor:
        """The velocity ε − h, at every σ."""
        return noise[:, : self.channels] - latents[:, : self.channels]

    def predict(self, noisy: torch.Tensor, sigma: NoiseLevel, text: torch.Tensor) -> torch.Tensor:
        """The model's prediction "b c f h w" (float32) for noisy latents at σ, given text "b l d".

        Args:
            noisy: "b c f h w".
            sigma: In [0, 1]; one for the whole batch, or a tensor "b" with one per clip.
            text: "b l d".
        """
        if isinstance(sigma, torch.Tensor):
            level = sigma.to(torch.float32)
        else:  # on the CPU: not every device has the float64 of Python's numbers
            level = torch.full((len(noisy),), sigma, dtype=torch.float64)
        noisy, text = (tensor.to(self.device, self.dtype) for tensor in (noisy, text))
        return self.forward(noisy, level, text).float()

    @property
    def pipeline_class(self) -> Any:
        """The diffusers class that the folder's index names."""
        import diffusers

        return getattr(diffusers, self.index["_class_name"])

    def check_sampling(self) -> None:
        """Refuse to make videos, if they are made by the family's own tools and not here.

        Raises:
            ModelError: They are.
        """
        raise ModelError(
            f"{self.name}: making videos with {self.family} models is not part of this version; "
            "use the family's own pipeline"
        )

    def sampling_pipeline(self) -> Any:
        """A diffusers pipeline around this transformer and VAE; text comes as embeddings.

        Raises:
            ModelError: As `check_sampling`; or the folder's sampler cannot be loaded.
        """
        self.check_sampling()
        return self.pipeline_class(
            tokenizer=None,
            text_encoder=None,
            vae=self.vae,
            scheduler=self.scheduler(),
            transformer=self.transformer,
        )

    # -- identity and loading ----------------------------------------------------------------

    def fingerprint(self) -> dict[str, object]:
        """Family, compute dtype and a digest of every component's files and of checkpoints."""
        digests = {part: component_digest(self.folder / part) for part in self.components}
        digests |= self.checkpoints.digests()
        return {"family": self.family, "dtype": str(self.dtype).removeprefix("torch."), **digests}

    @cached_property
    def transformer(self) -> torch.nn.Module:
        """The attributed network, in evaluation mode."""
        # First use may be under inference mode; weights made there could never be trained.
        with torch.inference_mode(False), self._loading(self.expert) as folder:
            kind = self.class_of(self.expert)
            change = self._fine_tune if self.checkpoints else None
            stored = Stored(kind, folder, self.dtype, self.device, change)
            return self.placement(stored).eval()

    def parameter_count(self) -> int:
        """Parameters of the attributed network, counted without loading it."""
        return sum(parameter.numel() for parameter in self._empty().parameters())

    def _empty(self) -> torch.nn.Module:
        """The attributed network without memory."""
        kind = self.class_of(self.expert)
        with self._loading(self.expert):
            return empty_model(kind, self.transformer_config, self.dtype)

    def _fine_tune(self, model: Any) -> None:
        self.checkpoints.apply(model, self.pipeline_class, self.expert)

    @cached_property
    def vae(self) -> Any:
        """The autoencoder, float32 as in every trainer: half precision visibly shifts latents."""
        return self.component("vae", torch.float32)

"""What the rest of MOTIVE needs to know about a video diffusion model.

A family adds one file with its truths: latent normalisation, timestep convention, prediction
target, conditioning arguments. Latents are "b c f h w" everywhere, whatever the family packs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch

from motive.clips import ClipStandard

NoiseLevel: TypeAlias = float | torch.Tensor  # σ in [0, 1]: one for the batch, or one per clip "b"


class TextEmbedding(NamedTuple):
    """Caption embeddings without their zero padding.

    Attributes:
        tokens: "l d", the embeddings of the caption's own tokens.
        length: Sequence length to pad to with zeros before the transformer sees it.
    """

    tokens: torch.Tensor
    length: int

    def padded(self) -> torch.Tensor:
        """The tokens, then zeros: "length d"."""
        missing = self.length - len(self.tokens)
        return torch.nn.functional.pad(self.tokens, (0, 0, 0, missing))

    def after(self, rows: torch.Tensor | None) -> TextEmbedding:
        """The same with rows "n d" before it (see `Backbone.encode_image`)."""
        if rows is None:
            return self
        return TextEmbedding(torch.cat([rows, self.tokens]), len(rows) + self.length)


@runtime_checkable
class Backbone(Protocol):
    """A video diffusion model, seen by attribution.

    Attributes:
        name: Folder, hub id or the name of an embedded model.
        family: For example "Wan 2.1 T2V".
        folder: Local pipeline folder.
        standard: The clip shape this model was made for (a default; see `check_standard`).
        device: Where its parts are, or are put when they are needed.
        sigma_fix: Noise level of attribution, in [0, 1], if no other is asked for.
        target_name: What the model predicts, for people.
        expert_text: Of several transformers, which one is attributed, for people; or None.
    """

    name: str
    family: str
    folder: Path
    standard: ClipStandard
    device: torch.device
    sigma_fix: float
    target_name: str
    expert_text: str | None

    @property
    def transformer(self) -> torch.nn.Module:
        """The network whose parameters are attributed (text encoder and VAE are frozen)."""
        ...

    def parameter_count(self) -> int:
        """Parameters of `transformer`, counted without loading it."""
        ...

    def fingerprint(self) -> dict[str, object]:
        """Digests of every component's weights and configuration."""
        ...

    @property
    def sees_image(self) -> bool:
        """Whether an encoder looks at the first frame: then `encode_image` gives rows."""
        ...

    def check_levels(self, sigmas: Sequence[float]) -> None:
        """Raise `UsageError` if a noise level belongs to an expert that is not attributed."""
        ...

    def check_standard(self, standard: ClipStandard) -> None:
        """Raise `UsageError` naming the nearest size and length that the model can take."""
        ...

    def latent_grid(self, standard: ClipStandard) -> tuple[int, int, int]:
        """Latent (frames, height, width) of a standardised clip."""
        ...

    def temporal_groups(self, frames: int) -> list[list[int]]:
        """The pixel frames folded into each latent frame."""
        ...

    def encode_video(self, pixels: torch.Tensor) -> torch.Tensor:
        """Uint8 "f h w 3" -> normalised latents float32 "c f h w" on the CPU, deterministic.

        Of an image-to-video model, channels that tell of the first frame follow the model's own.
        """
        ...

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor | None:
        """Rows "l d" on the first frame of uint8 "f h w 3", to go before the caption's; or None."""
        ...

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Normalised latents "c f h w" -> uint8 "f h w 3" on the CPU; or several, "b c f h w"."""
        ...

    def encode_text(self, caption: str) -> TextEmbedding:
        """Caption -> embeddings, float32 on the CPU."""
        ...

    def add_noise(
        self, latents: torch.Tensor, noise: torch.Tensor, sigma: NoiseLevel
    ) -> torch.Tensor:
        """z_t of the model's own noising process; σ for the batch, or one per clip "b"."""
        ...

    def target(self, latents: torch.Tensor, noise: torch.Tensor, sigma: NoiseLevel) -> torch.Tensor:
        """What the model is trained to predict, "b c f h w", without frames that are given."""
        ...

    def predict(self, noisy: torch.Tensor, sigma: NoiseLevel, text: torch.Tensor) -> torch.Tensor:
        """The model's prediction, shaped as `target`, for noisy latents and text "b l d"."""
        ...

    def model_timestep(self, sigma: torch.Tensor) -> torch.Tensor:
        """What the model itself counts σ "b" as: of most 1000 σ."""
        ...

    @property
    def pipeline_class(self) -> Any:
        """The diffusers class that the folder's index names."""
        ...

    def check_sampling(self) -> None:
        """Raise `ModelError` if this family's videos are not made here."""
        ...

    def sampling_pipeline(self) -> Any:
        """A diffusers pipeline around this transformer and VAE; text comes as embeddings.

        Give it `prompt_embeds` made of `encode_text(...).padded()`.
        """
        ...

    def release_encoders(self) -> None:
        """Free the text encoder and the VAE; they load again when needed."""
        ...

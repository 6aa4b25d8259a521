"""What the rest of MOTIVE needs to know about a video diffusion model.

A family adds one file with its truths: latent normalisation, timestep convention, prediction
target, conditioning arguments. Latents are "b c f h w" everywhere, whatever the family packs.
"""

from __future__ import annotations

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


@runtime_checkable
class Backbone(Protocol):
    """A video diffusion model, seen by attribution.

    Attributes:
        name: Folder, hub id or the name of an embedded model.
        family: For example "Wan 2.1 T2V".
        folder: Local pipeline folder.
        standard: The clip shape this model was made for (a default; see `check_standard`).
        device: Where its parts are, or are put when they are needed.
    """

    name: str
    family: str
    folder: Path
    standard: ClipStandard
    device: torch.device

    @property
    def transformer(self) -> torch.nn.Module:
        """The network whose parameters are attributed (text encoder and VAE are frozen)."""
        ...

    def fingerprint(self) -> dict[str, object]:
        """Digests of every component's weights and configuration."""
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
        """Uint8 "f h w 3" -> normalised latents float32 "c f h w" on the CPU, deterministic."""
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
        """What the model is trained to predict, in latent layout."""
        ...

    def predict(self, noisy: torch.Tensor, sigma: NoiseLevel, text: torch.Tensor) -> torch.Tensor:
        """The model's prediction "b c f h w" for noisy latents "b c f h w" and text "b l d"."""
        ...

    def sampling_pipeline(self) -> Any:
        """A diffusers pipeline around this transformer and VAE; text comes as embeddings."""
        ...

    def release_encoders(self) -> None:
        """Free the text encoder and the VAE; they load again when needed."""
        ...

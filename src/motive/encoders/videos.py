"""One vector per clip: V-JEPA 2, or the mean over frames of an image encoder."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from motive.encoders.images import ImageEncoder
from motive.encoders.preprocessing import Preprocessing
from motive.encoders.weights import load_model, model_type, weights_digest, weights_folder
from motive.errors import ModelError

_MOST_FRAMES = 64  # V-JEPA 2 was trained on 64 frames


class VideoEncoder(Protocol):
    """A frozen encoder of whole clips."""

    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that changes the vectors, JSON values."""

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """The vector of one clip, uint8 "f h w 3" -> float32 "d"."""


class VJEPA2Encoder:
    """Mean of the encoder's tokens (the predictor is not run).

    Shorter side to side · 256 / 224 (292 for 256), centred square, ImageNet mean and deviation,
    bilinear with anti-aliasing. At most 64 frames, evenly spaced, their number made even by
    repeating the last one (tubelets hold two frames).

    Args:
        folder: Weights, see `motive.encoders.weights.weights_folder`.
        name: For tables and messages.
        device: Torch device, or "auto".
    """

    def __init__(self, folder: Path, *, name: str = "", device: str = "auto") -> None:
        if model_type(folder) != "vjepa2":
            raise ModelError(f"{name or folder}: a {model_type(folder)} model, not V-JEPA 2")
        self.folder, self.name, self.device = folder, name or folder.name, device

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that changes the vectors."""
        return {
            "family": "vjepa2",
            "weights": weights_digest(self.folder),
            "frames": _MOST_FRAMES,
            "pool": "mean of tokens",
        }

    @cached_property
    def _model(self) -> Any:
        from transformers import VJEPA2Model

        return load_model(VJEPA2Model, self.folder, self.device)

    @torch.inference_mode()
    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """The vector of one clip, uint8 "f h w 3" -> float32 "d"."""
        side = int(self._model.config.crop_size)
        prepare = Preprocessing(int(side * 256 / 224), side, antialias=True)
        device = next(self._model.parameters()).device
        chosen = pixels[torch.from_numpy(_even_frames(len(pixels)))]
        video = prepare(chosen.to(device))[None]
        tokens = self._model.get_vision_features(pixel_values_videos=video)
        return tokens[0].float().mean(dim=0).cpu()


class FrameMeanEncoder:
    """Mean over frames of an image encoder's unit features; the order of frames plays no part.

    Args:
        images: Encodes the frames.
    """

    def __init__(self, images: ImageEncoder) -> None:
        self.images, self.name = images, images.name

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that changes the vectors."""
        return {**self.images.settings, "pool": "mean of unit frame features"}

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """The vector of one clip, uint8 "f h w 3" -> float32 "d"."""
        return torch.nn.functional.normalize(self.images(pixels), dim=1).mean(dim=0)


def open_video_encoder(name: str, device: str = "auto") -> VideoEncoder:
    """V-JEPA 2, CLIP or DINO from a folder or a hub id; the weights are read when first used.

    Raises:
        ModelError: No such weights, or weights of something else.
    """
    folder = weights_folder(name)
    if model_type(folder) == "vjepa2":
        return VJEPA2Encoder(folder, name=name, device=device)
    return FrameMeanEncoder(ImageEncoder(folder, name=name, device=device))


def _even_frames(count: int) -> np.ndarray:
    """At most 64 evenly spaced frame numbers, an even number of them."""
    numbers = np.linspace(0, count - 1, min(count, _MOST_FRAMES)).round().astype(np.int64)
    return np.append(numbers, numbers[-1]) if len(numbers) % 2 else numbers

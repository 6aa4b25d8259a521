"""DINO and CLIP as functions from frames to one feature per frame."""

from __future__ import annotations

import math
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from motive.encoders.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from motive.encoders.weights import load_model, model_type, weights_digest, weights_folder
from motive.errors import ModelError

_BATCH = 16  # frames per pass
_SIDE = 224  # pixels; VBench's, for all of its encoders
_DINO = Preprocessing(_SIDE, None)
_CLIP = Preprocessing(_SIDE, _SIDE, "bicubic", mean=CLIP_MEAN, std=CLIP_STD)
_DINO_KINDS = ("vit", "dinov2")


class ImageEncoder:
    """One feature per frame: DINO's class token, or CLIP's projected image embedding.

    The preprocessing is VBench's: shorter side to 224 without anti-aliasing; DINO then sees the
    whole frame (positions are interpolated), CLIP its central square.

    Args:
        folder: Weights, see `motive.encoders.weights.weights_folder`.
        name: For tables and messages.
        device: Torch device, or "auto".
        preprocessing: Another one, for weights of another size.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "",
        device: str = "auto",
        preprocessing: Preprocessing | None = None,
    ) -> None:
        self.folder, self.name, self.device = folder, name or folder.name, device
        self.family = model_type(folder)
        if self.family not in (*_DINO_KINDS, "clip", "clip_vision_model"):
            raise ModelError(
                f"{self.name}: a {self.family} model; give DINO (vit, dinov2) or CLIP weights"
            )
        self.is_clip = self.family not in _DINO_KINDS
        self.preprocessing = preprocessing or (_CLIP if self.is_clip else _DINO)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that changes the features, JSON values."""
        return {
            "family": self.family,
            "weights": weights_digest(self.folder),
            "preprocessing": self.preprocessing.settings,
        }

    @cached_property
    def _model(self) -> Any:
        import transformers

        if self.is_clip:
            return load_model(transformers.CLIPVisionModelWithProjection, self.folder, self.device)
        if self.family == "dinov2":
            return load_model(transformers.Dinov2Model, self.folder, self.device)
        model = load_model(transformers.ViTModel, self.folder, self.device, add_pooling_layer=False)
        model.embeddings.interpolate_pos_encoding = partial(_dino_positions, model.embeddings)
        return model

    @torch.inference_mode()
    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        """Features of frames.

        Args:
            frames: uint8 "f h w 3", RGB.

        Returns:
            float32 "f d" on the CPU.
        """
        return torch.cat([self._features(part) for part in frames.split(_BATCH)])

    def _features(self, frames: torch.Tensor) -> torch.Tensor:
        device = next(self._model.parameters()).device
        images = self.preprocessing(frames.to(device))
        if self.is_clip:
            return self._model(pixel_values=images).image_embeds.float().cpu()
        options = {"interpolate_pos_encoding": True} if self.family == "vit" else {}
        hidden = self._model(pixel_values=images, **options).last_hidden_state
        return hidden[:, 0].float().cpu()


def _dino_positions(embeddings: Any, tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Positions for another picture size, as DINO's own code and not transformers' makes them.

    DINO adds 0.1 to the number of patches on each side before it divides, which moves every sample
    a little; VBench's numbers were made with that.
    """
    known = embeddings.position_embeddings
    if tokens.shape[1] == known.shape[1] and height == width:
        return known
    side = math.isqrt(known.shape[1] - 1)
    grid = known[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    scale = [(pixels // embeddings.patch_size + 0.1) / side for pixels in (height, width)]
    grid = F.interpolate(grid, scale_factor=scale, mode="bicubic")
    return torch.cat([known[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


def open_image_encoder(name: str, device: str = "auto") -> ImageEncoder:
    """DINO or CLIP from a folder or a hub id; the weights are read when first used.

    Raises:
        ModelError: No such weights, or weights of something else.
    """
    return ImageEncoder(weights_folder(name), name=name, device=device)

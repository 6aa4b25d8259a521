"""Aesthetic and imaging quality: what single frames look like."""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.nn import functional as F

from motive.clips import file_digest
from motive.encoders import resize_longer_side
from motive.errors import ClipError, MissingExtraError, ModelError
from motive.evaluation.metrics.consistency import FrameFeatures, PerFrame
from motive.evaluation.metrics.formulas import aesthetic_quality, imaging_quality
from motive.evaluation.metrics.plugins import (
    callable_identity,
    load_callable,
    names_callable,
)
from motive.evaluation.metrics.protocol import Opened

_LONGER_SIDE = 512  # VBench's "longer" mode
_BATCH = 4  # frames per pass of the imaging network


class FrameScores(Protocol):
    """One score per frame; the argument's layout is said where it is used."""

    @property
    def settings(self) -> Mapping[str, Any]: ...  # noqa: D102
    def __call__(self, values: torch.Tensor, /) -> torch.Tensor: ...  # noqa: D102


class AestheticQuality:
    """Mean over frames of w · CLIP ViT-L/14 unit embedding + b, divided by 10.

    Args:
        features: CLIP ViT-L/14.
        head: Unit embeddings "f d" -> scores "f"; the LAION head is made by `load_linear_head`.
    """

    keys = ("aesthetic_quality",)

    def __init__(self, features: FrameFeatures, head: FrameScores) -> None:
        self.features, self.head = features, head

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of the encoder and the head."""
        return {"features": dict(self.features.settings), "head": dict(self.head.settings)}

    def begin(self, video: Opened) -> PerFrame:
        """Scores frames as they come."""
        return PerFrame(
            self.keys[0],
            lambda frames: self.head(F.normalize(self.features(frames).float(), dim=1)),
            lambda scores: aesthetic_quality(scores),
        )


class ImagingQuality:
    """Mean over frames of MUSIQ's score in 0-100, divided by 100.

    Frames are shrunk until their longer side is at most 512 pixels (VBench's default mode).

    Args:
        scorer: float "n 3 h w" in [0, 1] -> scores "n".
    """

    keys = ("imaging_quality",)

    def __init__(self, scorer: FrameScores) -> None:
        self.scorer = scorer

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of the scorer."""
        return {"mode": "longer", "scorer": dict(self.scorer.settings)}

    def begin(self, video: Opened) -> PerFrame:
        """Scores frames as they come."""
        return PerFrame(self.keys[0], self._scores, lambda scores: imaging_quality(scores))

    def _scores(self, frames: torch.Tensor) -> torch.Tensor:
        parts = []
        for part in frames.split(_BATCH):
            images = resize_longer_side(part.permute(0, 3, 1, 2).float(), _LONGER_SIDE) / 255.0
            parts.append(self.scorer(images).float().reshape(len(part)).cpu())
        return torch.cat(parts)


class LinearHead:
    """s = w · f + b.

    Args:
        weight: float "d".
        bias: Number.
    """

    def __init__(self, weight: torch.Tensor, bias: float) -> None:
        self.weight, self.bias = weight.double(), bias

    @property
    def settings(self) -> Mapping[str, Any]:
        """A digest of the numbers."""
        digest = hashlib.blake2b(self.weight.numpy().tobytes(), digest_size=8)
        return {"weight": digest.hexdigest(), "bias": self.bias}

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Scores "f" of features "f d"."""
        if features.shape[1] != len(self.weight):
            raise ModelError(
                f"aesthetic head for features of {len(self.weight)} numbers, but the encoder gives "
                f"{features.shape[1]}; the head for ViT-L/14 needs CLIP ViT-L/14"
            )
        return features.double() @ self.weight + self.bias


def load_linear_head(path: str | Path) -> LinearHead:
    """LAION's `sa_0_4_vit_l_14_linear.pth` (MIT), or any state dict with "weight" and "bias".

    Raises:
        ModelError: The file is missing, unsafe, or holds something else.
    """
    state = read_state(path)
    try:
        weight, bias = state["weight"], state["bias"]
        head = LinearHead(weight.reshape(-1), float(bias.reshape(())))
    except (KeyError, AttributeError, RuntimeError, TypeError):
        raise ModelError(
            f"{path}: no linear head (a weight of 1 x d and one bias); give "
            "sa_0_4_vit_l_14_linear.pth"
        ) from None
    if not (torch.isfinite(head.weight).all() and math.isfinite(head.bias)):
        raise ModelError(f"{path}: the head holds numbers that are not finite; download it again")
    return head


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """A state dict in PyTorch's or the safetensors format; pickled code is refused.

    Raises:
        ModelError: The file is missing or no such file.
    """
    from pickle import UnpicklingError

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if Path(path).suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"{path}: file not found; check the path of the weights") from None
    except (OSError, RuntimeError, UnpicklingError, EOFError, SafetensorError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{path}: cannot be read as weights ({first:.120})") from None
    if not isinstance(found, dict):
        raise ModelError(f"{path}: no state dict; give the file that the weights came in")
    return found


class MUSIQScorer:
    """MUSIQ through what the user has: a TorchScript file, a callable, or pyiqa with its weights.

    Its published weights for PyTorch come with pyiqa, under a non-commercial licence, so nothing
    of it is part of this package.

    Args:
        source: TorchScript file; "FILE.py:FUNCTION" or "MODULE:FUNCTION"; or pyiqa's checkpoint
            `musiq_spaq_ckpt-358bb6af.pth`, for which pyiqa must be importable.
        device: Torch device.
    """

    def __init__(self, source: str, device: torch.device) -> None:
        self.source, self.device = source, device

    @property
    def settings(self) -> Mapping[str, Any]:
        """Which weights."""
        if names_callable(self.source):
            return {"musiq": callable_identity(self.source)}
        try:
            return {"musiq": file_digest(self.source).hex()[:16]}
        except ClipError:
            raise ModelError(
                f"{self.source}: file not found; give MUSIQ's weights (musiq=FILE)"
            ) from None

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Scores "n" in 0-100 of images "n 3 h w" in [0, 1]."""
        with torch.inference_mode():
            return self._network(images.to(self.device))

    @cached_property
    def _network(self) -> Callable[[torch.Tensor], torch.Tensor]:
        if names_callable(self.source):
            return load_callable(self.source)
        with suppress(RuntimeError, ValueError):  # not TorchScript: pyiqa's checkpoint, then
            return torch.jit.load(self.source, map_location=self.device).eval()
        if importlib.util.find_spec("pyiqa") is None:
            raise MissingExtraError(
                f"{self.source}: this checkpoint needs the package pyiqa (non-commercial licence); "
                "install it beside a matching torchvision, or give MUSIQ as TorchScript"
            )
        from pyiqa.archs.musiq_arch import MUSIQ  # type: ignore[import-not-found]

        return MUSIQ(pretrained_model_path=self.source).to(self.device).eval()

"""RAFT optical flow through torchvision, where torchvision is installed.

torchvision is imported when the first clip is tracked, never before: its wheels must belong to
the installed torch, and nothing else here needs it.
"""

from __future__ import annotations

import importlib
import math
import os
from typing import Any, Literal

import torch
from torch.nn import functional as F

from motive.clips import file_digest
from motive.errors import MissingExtraError, ModelError, UsageError

_MODELS = {"large": ("raft_large", "C_T_SKHT_V2"), "small": ("raft_small", "C_T_V2")}
_SMALLEST = 128  # px; RAFT's correlation pyramid needs it
_MULTIPLE = 8  # px


class RAFTTracker:
    """Recurrent all-pairs flow between two frames (weights BSD-3-Clause).

    `anchor` compares frame 0 with every frame directly; RAFT takes no starting point.
    """

    name = "raft"

    def __init__(
        self,
        model: Literal["large", "small"] = "large",
        weights: str | os.PathLike[str] | None = None,
        device: str = "cpu",
    ) -> None:
        """Choose the settings; nothing is loaded yet.

        Args:
            model: "large" (5.3 M parameters) or "small" (1.0 M).
            weights: A state dict file; by default torchvision downloads its own.
            device: Where to run; does not enter the settings.

        Raises:
            UsageError: An unknown model.
        """
        if model not in _MODELS:
            raise UsageError(f"model={model!r}: must be one of {', '.join(_MODELS)}")
        self.model, self.weights, self.device = model, weights, device
        self._network: torch.nn.Module | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Name, model, and which weights: torchvision's name, or the file's digest."""
        which = _MODELS[self.model][1]
        if self.weights is not None:
            which = file_digest(self.weights).hex()[:32]
        return {"name": self.name, "model": self.model, "weights": which}

    def consecutive(self, frames: torch.Tensor) -> torch.Tensor:
        """Displacement to the next frame; see `Tracker.consecutive`."""
        flow = torch.zeros(*frames.shape[:3], 2)
        for f in range(len(frames) - 1):
            flow[f] = self._flow(frames[f], frames[f + 1])
        if len(frames) > 1:
            flow[-1] = -self._flow(frames[-1], frames[-2])
        return flow

    def anchor(self, frames: torch.Tensor) -> torch.Tensor:
        """Displacement from frame 0; see `Tracker.anchor`."""
        flow = torch.zeros(*frames.shape[:3], 2)
        for f in range(1, len(frames)):
            flow[f] = self._flow(frames[0], frames[f])
        return flow

    @torch.inference_mode()
    def _flow(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Flow "h w 2" between two frames, uint8 "h w 3"."""
        height, width, _ = first.shape
        network = self._loaded()
        pair = torch.stack([first, second]).permute(0, 3, 1, 2).to(self.device)
        pair = pair.float() / 127.5 - 1
        factor = math.ceil(_SMALLEST / min(height, width))
        if factor > 1:
            size = (height * factor, width * factor)
            pair = F.interpolate(pair, size=size, mode="bicubic", align_corners=False).clamp(-1, 1)
        below, right = -pair.shape[2] % _MULTIPLE, -pair.shape[3] % _MULTIPLE
        pair = F.pad(pair, (0, right, 0, below), mode="replicate")
        flow = network(pair[:1], pair[1:])[-1]
        flow = flow[..., : height * factor, : width * factor]
        if factor > 1:
            flow = F.avg_pool2d(flow, factor) / factor
        return flow[0].permute(1, 2, 0).float().cpu()

    def _loaded(self) -> torch.nn.Module:
        if self._network is None:
            function, default = _MODELS[self.model]
            try:
                flows = importlib.import_module("torchvision.models.optical_flow")
            except (ImportError, RuntimeError) as error:  # a wheel for another torch: RuntimeError
                raise MissingExtraError(
                    f"tracker 'raft': torchvision cannot be imported ({_first_line(error)}); "
                    "install the torchvision that belongs to your torch, or use --tracker dis"
                ) from None
            if self.weights is None:
                network = getattr(flows, function)(weights=default)
            else:
                network = getattr(flows, function)(weights=None)
                _load_state(network, self.weights)
            self._network = network.eval().to(self.device)
        return self._network


def _load_state(network: torch.nn.Module, path: str | os.PathLike[str]) -> None:
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, ValueError, KeyError, EOFError) as error:
        raise ModelError(
            f"{path}: no RAFT weights of torchvision ({_first_line(error)}); leave the option out "
            "to download them"
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]

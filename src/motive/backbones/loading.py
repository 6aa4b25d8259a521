"""From a folder, a hub id or an embedded name to a backbone."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import torch

from motive.backbones.placement import Placement, whole
from motive.backbones.protocol import Backbone
from motive.backbones.wan import WanBackbone
from motive.errors import ModelError, UsageError

_LOG = logging.getLogger(__name__)
_FAMILIES: dict[str, Callable[..., Backbone]] = {"WanPipeline": WanBackbone}
EMBEDDED_MODELS = {  # name -> folder inside the package
    "wan-nano": "zoo/assets/wan-nano",
    "wan-nano-base": "zoo/assets/wan-nano-base",
}
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load_backbone(
    model: str | Path,
    *,
    device: str = "auto",
    dtype: str = "float32",
    placement: Placement = whole,
) -> Backbone:
    """Open a video diffusion model for attribution.

    Args:
        model: A diffusers pipeline folder, a hub id such as "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
            or "wan-nano", the small model inside this package.
        device: "auto" (CUDA if there is one, else CPU) or any torch device.
        dtype: "float32", "bfloat16" or "float16" for the transformer.
        placement: Where the transformer's weights live: `whole` on the device, `offloaded` or
            `sharded` (see `motive.backbones.placement`).

    Raises:
        ModelError: The folder is no supported pipeline, or is incomplete.
        UsageError: Unknown device or dtype.

    Example:
        >>> backbone = load_backbone("wan-nano", device="cpu")
        >>> backbone.latent_grid(backbone.standard)
        (5, 8, 8)
    """
    if dtype not in _DTYPES:
        raise UsageError(f"dtype {dtype!r}: choose one of {', '.join(_DTYPES)}")
    folder = _resolve(str(model))
    index = folder / "model_index.json"
    if not index.is_file():
        raise ModelError(
            f"{model}: no model_index.json; give the folder of a diffusers pipeline (Wan models: "
            "the repositories whose name ends in '-Diffusers')"
        )
    try:
        kind = json.loads(index.read_text("utf-8")).get("_class_name")
    except (ValueError, AttributeError):
        raise ModelError(f"{index}: not a pipeline description (malformed JSON)") from None
    if kind not in _FAMILIES:
        raise ModelError(
            f"{model}: pipeline class {kind} is not supported; supported: {', '.join(_FAMILIES)}"
        )
    return _FAMILIES[kind](
        folder,
        name=str(model),
        device=chosen_device(device),
        dtype=_DTYPES[dtype],
        placement=placement,
    )


def _resolve(model: str) -> Path:
    """Local pipeline folder of an embedded name, a path or a hub id (downloaded if need be)."""
    if model in EMBEDDED_MODELS:
        return Path(str(resources.files("motive"))) / EMBEDDED_MODELS[model]
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise ModelError(f"{model}: a file; give the folder of a diffusers pipeline")
    if not _HUB_ID.fullmatch(model):
        raise ModelError(f"{model}: no such folder, and not a hub id of the form owner/name")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    _LOG.warning("%s: no local folder; asking the hub for it (large models take a while)", model)
    try:
        return Path(
            snapshot_download(
                model,
                allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt", "tokenizer/*"],
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{model}: no such folder here, and the hub did not give it ({first})"
        ) from None


def chosen_device(device: str) -> torch.device:
    """The device that "auto" (CUDA if there is one, else CPU) or a name stands for.

    Raises:
        UsageError: No such device here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise UsageError(f"device {device!r}: use auto, cpu, cuda or cuda:0") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {device!r}: this PyTorch sees no CUDA device; use --device cpu")
    return chosen

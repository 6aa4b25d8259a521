"""From a folder, a hub id or an embedded name to a backbone."""

from __future__ import annotations

import logging
import re
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from motive.backbones.checkpoints import Checkpoints
from motive.backbones.families import PIPELINES
from motive.backbones.folder import INDEX_FILE, read_json
from motive.backbones.placement import Placement, whole
from motive.backbones.protocol import Backbone
from motive.backbones.wan import WanBackbone
from motive.errors import ModelError, UsageError

_LOG = logging.getLogger(__name__)
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
    sigma: float | None = None,
    weights: str | Path | None = None,
    lora: str | Path | None = None,
    merge_lora: bool = True,
) -> Backbone:
    """Open a video diffusion model for attribution.

    Args:
        model: A diffusers pipeline folder, a hub id such as "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
            or "wan-nano", the small model inside this package.
        device: "auto" (CUDA if there is one, else CPU) or any torch device.
        dtype: "float32", "bfloat16" or "float16" for the transformer.
        placement: Where the transformer's weights live: `whole` on the device, `offloaded` or
            `sharded` (see `motive.backbones.placement`).
        sigma: Noise level at which the model will be used, in [0, 1]; of a model with two experts
            it decides which one is opened. None: the family's default.
        weights: Fine-tuned weights of the transformer, a safetensors file or a folder of them.
        lora: A LoRA of the transformer, a safetensors file or a trainer's folder.
        merge_lora: Add the LoRA to the weights; else its factors stay parameters of their own.

    Raises:
        ModelError: The folder is no supported pipeline, or is incomplete; or there is no such
            checkpoint (whether it fits is known once the transformer is loaded).
        UsageError: Unknown device or dtype.

    Example:
        >>> backbone = load_backbone("wan-nano", device="cpu")
        >>> backbone.latent_grid(backbone.standard)
        (5, 8, 8)
    """
    if dtype not in _DTYPES:
        raise UsageError(f"dtype {dtype!r}: choose one of {', '.join(_DTYPES)}")
    folder = _resolve(str(model))
    index = folder / INDEX_FILE
    if not index.is_file():
        raise ModelError(
            f"{model}: no model_index.json; give the folder of a diffusers pipeline (Wan models: "
            "the repositories whose name ends in '-Diffusers')"
        )
    kind = read_json(index).get("_class_name")
    if not isinstance(kind, str):
        raise ModelError(
            f"{index}: names no pipeline class (_class_name is {kind!r:.60}); give the folder of a "
            "diffusers pipeline"
        )
    if kind not in PIPELINES:
        raise ModelError(
            f"{model}: pipeline class {kind} is not supported; supported: {', '.join(PIPELINES)}. "
            "To add one, see 'Adding a family' in docs/models.md"
        )
    options: dict[str, Any] = {"sigma": sigma} if issubclass(PIPELINES[kind], WanBackbone) else {}
    return PIPELINES[kind](
        folder,
        name=str(model),
        device=chosen_device(device),
        dtype=_DTYPES[dtype],
        placement=placement,
        checkpoints=Checkpoints(_path(weights), _path(lora), merge_lora),
        **options,
    )


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given).expanduser()


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

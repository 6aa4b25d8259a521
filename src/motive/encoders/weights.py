"""Opening transformers models from the user's disk or the hub, or saying in one line why not."""

from __future__ import annotations

import json
import logging
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from motive.backbones.digests import component_digest
from motive.backbones.loading import chosen_device
from motive.errors import ModelError

_LOG = logging.getLogger(__name__)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = ["config.json", "*.safetensors", "*.safetensors.index.json"]


def weights_folder(name: str) -> Path:
    """Local folder of a transformers model; a hub id is downloaded if it is not there yet.

    Args:
        name: Folder with config.json and weights, or a hub id such as "facebook/dino-vitb16".

    Raises:
        ModelError: There is no such folder, and the hub does not give it.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{name}: no config.json; give the folder of a transformers model")
        return path
    if path.exists():
        raise ModelError(f"{name}: a file; give the folder of a transformers model")
    if not _HUB_ID.fullmatch(name):
        raise ModelError(f"{name}: no such folder, and not a hub id of the form owner/name")
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    _LOG.warning("%s: no local folder; asking the hub for it", name)
    try:
        folder = Path(snapshot_download(name, allow_patterns=_FILES))
        if not any(folder.glob("*.safetensors")):  # older repositories
            folder = Path(snapshot_download(name, allow_patterns=[*_FILES, "pytorch_model.bin"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"{name}: no such folder here, and the hub did not give it ({first:.120}); download it "
            "elsewhere and give its folder"
        ) from None
    return folder


def model_type(folder: Path) -> str:
    """Architecture that a folder's config.json names ("vit", "clip", "vjepa2", ...).

    Raises:
        ModelError: The file is malformed or names none.
    """
    try:
        kind = json.loads((folder / "config.json").read_text("utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(f"{folder}: config.json names no model_type; download it again") from None
    return str(kind)


@lru_cache(maxsize=16)
def weights_digest(folder: Path) -> str:
    """16 hex digits of what decides a model's numbers; files are read once per process."""
    return component_digest(folder)


def load_model(kind: type[Any], folder: Path, device: str, **options: Any) -> Any:
    """A transformers model in evaluation mode, float32, without gradients.

    Args:
        kind: Its class.
        folder: From `weights_folder`.
        device: Torch device; "auto" takes CUDA if there is one.
        options: Further arguments of `from_pretrained`.

    Raises:
        ModelError: The folder does not hold such a model, or lacks some of its weights.
        UsageError: No such device here.
    """
    try:
        model, report = kind.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32, output_loading_info=True, **options
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"{folder}: cannot be opened as {kind.__name__} ({first:.160}); download it again"
        ) from None
    missing = sorted(report["missing_keys"])
    if missing:
        # transformers would draw them at random and go on.
        raise ModelError(
            f"{folder}: {len(missing)} weights of {kind.__name__} are missing (first: "
            f"{missing[0]}); give the weights of this architecture"
        )
    return model.to(chosen_device(device)).eval().requires_grad_(False)

"""The fine-tuned model as files that load anywhere: a diffusers pipeline folder, or adapters.

Invariant: a folder appears whole or not at all, and a pipeline folder needs nothing outside it.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from motive.backbones import Backbone
from motive.backbones.folder import STANDARD_FILE
from motive.backbones.lora import save_lora
from motive.clips import ClipStandard
from motive.files import whole_folder

_INDEX, _TRAINED, _CARD = "model_index.json", "transformer", "README.md"
_LINKED = 64 << 20  # bytes; larger files of the base share their disk blocks where that is possible


def save_pipeline(backbone: Backbone, standard: ClipStandard, target: Path, card: str) -> Path:
    """Write a pipeline: the backbone's transformer as it is now, the rest from its folder.

    Args:
        backbone: The model.
        standard: Clip shape it was trained with, recorded in `motive.json`.
        target: Folder to write; an old one is replaced.
        card: Text of its model card.

    Raises:
        MotiveError: The disk is full or the folder cannot be written.
    """
    base = backbone.folder
    index: dict[str, Any] = json.loads((base / _INDEX).read_text("utf-8"))
    parts = [name for name, value in index.items() if isinstance(value, list) and value[0]]
    with whole_folder(target) as partial:
        for name in parts:
            if name != _TRAINED:
                _copy_tree(base / name, partial / name)
        shutil.copyfile(base / _INDEX, partial / _INDEX)
        (partial / STANDARD_FILE).write_text(json.dumps(vars(standard)) + "\n", "utf-8")
        (partial / _CARD).write_text(card, "utf-8")
        model: Any = backbone.transformer
        model.save_pretrained(partial / _TRAINED, safe_serialization=True)
    return target


def save_adapters(backbone: Backbone, target: Path) -> Path:
    """Write the adapters of a transformer as `pytorch_lora_weights.safetensors` in a folder.

    Raises:
        MotiveError: The disk is full or the folder cannot be written.
    """
    with whole_folder(target) as partial:
        save_lora(backbone, partial)
    return target


def _copy_tree(source: Path, target: Path) -> None:
    """Copy a component; large files become second names of the same file, as models are read."""
    for path in sorted(source.rglob("*")):
        if path.is_dir() or path.name.startswith("."):
            continue
        real, copy = path.resolve(), target / path.relative_to(source)  # hub caches hold links
        copy.parent.mkdir(parents=True, exist_ok=True)
        if real.stat().st_size >= _LINKED:
            try:
                os.link(real, copy)
            except OSError:  # another file system, or one without links
                shutil.copyfile(real, copy)
        else:
            shutil.copyfile(real, copy)

"""What lies in a model folder: JSON files and weights, checked before any work is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from motive.clips import ClipStandard
from motive.errors import ModelError, UsageError

INDEX_FILE = "model_index.json"
STANDARD_FILE = "motive.json"  # optional, beside model_index.json: the model's clip shape


def read_standard(folder: Path, default: ClipStandard) -> ClipStandard:
    """The clip shape of a folder's motive.json, or the default.

    Raises:
        ModelError: The file is malformed.
    """
    path = folder / STANDARD_FILE
    if not path.exists():
        return default
    try:
        return ClipStandard(**read_json(path))
    except (TypeError, UsageError) as error:
        raise ModelError(f"{path}: {error}; expected frames, fps, height, width") from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of a model folder.

    Raises:
        ModelError: No such file, or no JSON object in it.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path}: file not found; is this a whole diffusers pipeline?") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path}: malformed; download the model again (cannot be read as JSON: {error})"
        ) from None
    if not isinstance(value, dict):
        raise ModelError(f"{path}: expected a JSON object")
    return value


def check_weights(folder: Path) -> None:
    """Check that a network's weight files are there and whole; only their headers are read.

    Raises:
        ModelError: One is missing, or shorter than its header says.
    """
    files = set(folder.glob("*.safetensors"))
    for index in folder.glob("*.safetensors.index.json"):
        places = read_json(index).get("weight_map")
        if not isinstance(places, dict):
            raise ModelError(f"{index}: malformed; download the model again")
        files |= {folder / str(name) for name in places.values()}
    if not files and not any(folder.glob("*.bin")):
        raise ModelError(f"{folder}: no .safetensors file in it; download the model again")
    for path in sorted(files):
        with open_weights(path):
            pass


def open_weights(path: Path) -> Any:
    """A safetensors file, opened.

    Raises:
        ModelError: It is missing or damaged.
    """
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        first = (str(error).strip().splitlines() or ["unreadable"])[0]
        raise ModelError(f"{path}: cannot be read ({first}); download the model again") from None

"""Checkpoints: everything that a training needs to continue bit for bit.

A folder `step-000120/` with `weights.safetensors`, `average.safetensors` (if there is a moving
average), `optimizer.pt` (tensors and plain values, read with `weights_only`) and `state.json`.

Invariant: a checkpoint is complete or absent. It is written beside its place, flushed to the disk
and renamed; the one before is deleted afterwards.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from motive.errors import FingerprintError, ModelError, MotiveError
from motive.files import write_error
from motive.index.fingerprint import differing_fields

_NAME = re.compile(r"step-(\d{6,})")
_WEIGHTS, _AVERAGE, _OPTIMIZER, _STATE = (
    "weights.safetensors",
    "average.safetensors",
    "optimizer.pt",
    "state.json",
)
_SHOWN = 4  # differing settings named in an error


@dataclass(frozen=True)
class Checkpoint:
    """A training between two updates.

    Attributes:
        step: Updates done.
        weights: The trained parameters by name.
        average: Their moving average, or None.
        optimizer: State of the optimiser.
        record: JSON-able: settings and curves so far.
    """

    step: int
    weights: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor] | None
    optimizer: dict[str, Any]
    record: dict[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint below `folder` and delete older ones.

    Raises:
        MotiveError: The disk is full or the folder cannot be written; the old one stays.
    """
    target = folder / f"step-{checkpoint.step:06d}"
    partial = folder / f".{target.name}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file(_detached(checkpoint.weights), partial / _WEIGHTS)
        if checkpoint.average is not None:
            save_file(_detached(checkpoint.average), partial / _AVERAGE)
        torch.save(checkpoint.optimizer, partial / _OPTIMIZER)
        (partial / _STATE).write_text(json.dumps(checkpoint.record), "utf-8")
        for file in partial.iterdir():
            _flush(file)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
        _flush(folder)
    except (OSError, SafetensorError, RuntimeError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, RuntimeError) and "PytorchStreamWriter" not in str(error):
            raise  # only torch's way of saying that a file cannot be written is meant
        cause = error if isinstance(error, OSError) else OSError(str(error))
        raise write_error(target, cause) from error
    for old in _found(folder):
        if old != target:
            shutil.rmtree(old, ignore_errors=True)
    return target


def read_checkpoint(folder: Path, settings: Mapping[str, Any]) -> Checkpoint | None:
    """The newest checkpoint below `folder`, or None if there is none.

    Args:
        folder: Where `write_checkpoint` wrote.
        settings: What the training is now made with; must be what the checkpoint was made with.

    Raises:
        FingerprintError: It was made with other settings; says which.
        MotiveError: It cannot be read.
    """
    found = _found(folder)
    if not found:
        return None
    path = found[-1]
    try:
        record = json.loads((path / _STATE).read_text("utf-8"))
        require_same_settings(path, record["settings"], settings)
        average = load_file(path / _AVERAGE) if (path / _AVERAGE).exists() else None
        return Checkpoint(
            int(record["step"]),
            load_file(path / _WEIGHTS),
            average,
            torch.load(path / _OPTIMIZER, map_location="cpu", weights_only=True),
            record,
        )
    except MotiveError:
        raise
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MotiveError(
            f"{path}: damaged checkpoint ({first:.120}); delete it to start over, or restore it"
        ) from error


def require_same_settings(where: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise a `FingerprintError` that names the settings in which two trainings differ."""
    fields = differing_fields(old, new)
    if fields:
        shown = "; ".join(f"{name} was {was} and is {now}" for name, was, now in fields[:_SHOWN])
        more = f"; and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
        raise FingerprintError(
            f"{where}: was trained with other settings: {shown}{more}; go back to them, or give "
            "another --out"
        )


def restore_weights(
    where: Path, parameters: Mapping[str, torch.Tensor], values: Mapping[str, torch.Tensor]
) -> None:
    """Copy a checkpoint's tensors into a model's.

    Raises:
        ModelError: They are of another architecture; names the first that does not fit.
    """
    for name in sorted({*parameters, *values}):
        here, there = parameters.get(name), values.get(name)
        if here is None or there is None or here.shape != there.shape:
            shapes = ["absent" if t is None else str(tuple(t.shape)) for t in (here, there)]
            raise ModelError(
                f"{where}: checkpoint of another architecture: {name} is {shapes[0]} in the model "
                f"and {shapes[1]} in the checkpoint; give the model it was made with"
            )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])


def _found(folder: Path) -> list[Path]:
    """Checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    named = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted((int(match[1]), path) for match, path in named)]


def _detached(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems cannot flush a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)

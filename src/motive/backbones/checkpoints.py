"""Fine-tuned weights on top of a folder's transformer: a safetensors checkpoint, or a LoRA.

Invariant: every tensor of a file finds its place in the transformer, by name and shape, or the file
is refused; what belongs to another component is named in a warning. Nothing is dropped silently.
Names may be diffusers' own or those of the model's first code, which diffusers' converters know.
Files are safetensors: a pickle could run code.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from motive.backbones.digests import component_digest, file_digest
from motive.backbones.folder import read_json
from motive.errors import ModelError

_LOG = logging.getLogger(__name__)
Tensors = dict[str, torch.Tensor]
# What trainers and user interfaces put before the names of a transformer's tensors.
_WRAPPERS = ("model.diffusion_model.", "diffusion_model.", "pipe.dit.", "transformer.", "module.")
_LORA_WRAPPERS = ("base_model.model.", "pipe.dit.")
_LORA_PREFIXES = ("transformer.", "transformer_2.", "diffusion_model.", "lora_unet_")
_ADAPTER = re.compile(r"\.(?=lora_|lokr_)")
_CONFIG = ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_modules", "use_rslora",
           "use_dora", "lora_bias")  # fmt: skip


@dataclass(frozen=True)
class Checkpoints:
    """What was fine-tuned after the folder was published.

    Attributes:
        weights: A safetensors file (or a folder of them) with the transformer's weights. One that
            holds some of them only leaves the others as they are, and says so.
        lora: A safetensors file, or a folder as trainers and peft save it.
        merge_lora: Add the LoRA to the weights; else its factors stay parameters of their own.
    """

    weights: Path | None = None
    lora: Path | None = None
    merge_lora: bool = True

    def __post_init__(self) -> None:
        """Check that the files are there, before any work is done."""
        for path in (self.weights, self.lora):
            if path is not None:
                _files(path)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self.weights is not None or self.lora is not None

    def digests(self) -> dict[str, str]:
        """What of them a fingerprint holds; empty if there are none."""
        found = {}
        if self.weights is not None:
            found["fine_tuned"] = _digest(self.weights)
        if self.lora is not None:
            found["lora"] = _digest(self.lora) + ("" if self.merge_lora else ", kept apart")
        return found

    def check(self, empty: Any, pipeline: Any, expert: str = "transformer") -> None:
        """Check that the files fit, and say what of them is not used, without reading weights.

        Args:
            empty: The transformer of the base folder, its parameters on "meta".
            pipeline: The diffusers pipeline class of that folder.
            expert: The transformer's component name.

        Raises:
            ModelError: A file is not of this architecture, or cannot be read.
        """
        notes: list[str] = []
        if self.weights is not None:
            notes += _fitting_weights(empty, self.weights, headers_only=True)[1]
        if self.lora is not None:
            notes += _fitting_lora(empty, self.lora, pipeline, expert)[2]
        for note in notes:
            _LOG.warning("%s", note)

    def apply(self, model: Any, pipeline: Any, expert: str = "transformer") -> None:
        """Change a diffusers transformer in place: first the weights, then the LoRA.

        Arguments and errors are those of `check`; the model has its weights.
        """
        if self.weights is not None:
            _load_weights(model, self.weights)
        if self.lora is not None:
            _load_lora(model, self.lora, pipeline, expert)
            if self.merge_lora:
                model.fuse_lora()
                model.unload_lora()


# -- weights -----------------------------------------------------------------------------------


def _load_weights(model: Any, path: Path) -> None:
    """Copy a checkpoint's tensors into a diffusers transformer, in the model's dtypes."""
    own = model.state_dict()
    with torch.no_grad():
        for name, tensor in _fitting_weights(model, path)[0].items():
            own[name].copy_(tensor)


def _fitting_weights(
    model: Any, path: Path, *, headers_only: bool = False
) -> tuple[Tensors, list[str]]:
    """A checkpoint's tensors by the model's names, and what is to be said of the others.

    Raises:
        ModelError: A tensor has no place in the model, or another shape.
    """
    own = model.state_dict()
    found, notes = _unwrapped(_read(path, headers_only=headers_only)[0], path)
    unused = getattr(type(model), "_keys_to_ignore_on_load_unexpected", None) or ()
    found = {k: v for k, v in found.items() if not any(re.search(name, k) for name in unused)}
    if not set(found) <= set(own):
        found = _converted(found, model, path)
    unknown = sorted(set(found) - set(own))
    if not found:
        raise ModelError(f"{path}: holds no tensor; save it again")
    if unknown:
        raise ModelError(
            f"{path}: {len(unknown)} of its {len(found)} tensors have no place in a "
            f"{type(model).__name__} (first: {', '.join(unknown[:1])}); is it a checkpoint of "
            "another model? A LoRA goes to --lora"
        )
    for name, tensor in found.items():
        if tensor.shape != own[name].shape:
            raise ModelError(
                f"{path}: {name} is {_shape(tensor)} and the base's {_shape(own[name])}; it is a "
                "checkpoint of another size: give the base folder that it was trained from"
            )
    if len(found) < len(own):
        notes.append(
            f"{path}: holds {len(found)} of the transformer's {len(own)} tensors; the others stay "
            "those of the base"
        )
    return found, notes


def _unwrapped(tensors: Tensors, path: Path) -> tuple[Tensors, list[str]]:
    """Without what was put before all names, and without other components' tensors."""
    for wrapper in _WRAPPERS:
        inside = {key: value for key, value in tensors.items() if key.startswith(wrapper)}
        if inside:
            others = sorted({key.split(".")[0] for key in tensors if key not in inside})
            notes = [f"{path}: {others} are not read, only the transformer is"] if others else []
            return {key.removeprefix(wrapper): value for key, value in inside.items()}, notes
    return tensors, []


def _converted(tensors: Tensors, model: Any, path: Path) -> Tensors:
    """The model's own names for those of its first code."""
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES

    known: Any = SINGLE_FILE_LOADABLE_CLASSES.get(type(model).__name__)
    if known is None:
        return tensors
    try:
        converted: Tensors = known["checkpoint_mapping_fn"](
            checkpoint=dict(tensors), config=dict(model.config)
        )
    except (KeyError, IndexError, ValueError, RuntimeError, AttributeError) as error:
        raise ModelError(
            f"{path}: not a checkpoint of a {type(model).__name__}: diffusers cannot convert its "
            f"names ({type(error).__name__}: {error})"
        ) from None
    return converted


# -- LoRA --------------------------------------------------------------------------------------


def _load_lora(model: Any, path: Path, pipeline: Any, expert: str) -> None:
    """Add a LoRA to a diffusers transformer, as adapters that are not merged."""
    tensors, settings, _ = _fitting_lora(model, path, pipeline, expert)
    try:
        model.load_lora_adapter(tensors, prefix=None, metadata=settings)
    except ImportError:
        raise ModelError(f"{path}: a LoRA needs peft; pip install peft") from None
    except (ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"{path}: not loaded ({str(error).splitlines()[0][:200]})") from error


def _fitting_lora(
    model: Any, path: Path, pipeline: Any, expert: str
) -> tuple[Tensors, dict[str, Any] | None, list[str]]:
    """A LoRA's tensors by the model's names, its settings, and what is to be said of others.

    Args:
        model: The transformer.
        path: File or folder.
        pipeline: The diffusers pipeline class, which knows other trainers' names.
        expert: Of a file that holds LoRAs for two transformers, the one that is used.

    Raises:
        ModelError: The file is no LoRA of this architecture.
    """
    tensors, settings = _lora_names(path, model)
    if any("dora_scale" in key for key in tensors):
        raise ModelError(f"{path}: a DoRA, which diffusers cannot convert; merge it into --weights")
    if not any("lora" in key or "lokr_" in key for key in tensors):
        raise ModelError(f"{path}: holds no LoRA; whole weights go to --weights")
    try:
        if hasattr(pipeline, "lora_state_dict"):
            tensors = pipeline.lora_state_dict(tensors)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{path}: not a LoRA of a {type(model).__name__}: diffusers cannot convert its names "
            f"({type(error).__name__}: {str(error).splitlines()[0][:200]})"
        ) from None
    prefix = f"{expert}." if any(k.startswith(f"{expert}.") for k in tensors) else "transformer."
    own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    others = sorted({key.split(".")[0] for key in tensors if not key.startswith(prefix)})
    notes = []
    if others and own:
        notes = [f"{path}: its parts for {', '.join(others)} are not used"]
    _check_lora(own or tensors, model, path)
    settings = {k.removeprefix(prefix): v for k, v in settings.items()} if settings else None
    return own, settings, notes


def _lora_names(path: Path, model: Any) -> tuple[Tensors, dict[str, Any] | None]:
    """Tensors under names that diffusers knows, and the LoRA's settings if they are stored."""
    tensors, header = _read(path)
    for wrapper in _LORA_WRAPPERS:
        tensors = {key.removeprefix(wrapper): value for key, value in tensors.items()}
    # Trainers that save peft's own names have the adapter's in them.
    tensors = {key.replace(".default.weight", ".weight"): v for key, v in tensors.items()}
    if not any(key.startswith(_LORA_PREFIXES) for key in tensors):
        modules = dict(model.named_modules())
        ours = any(_ADAPTER.split(key)[0] in modules for key in tensors)
        prefix = "transformer." if ours else "diffusion_model."
        tensors = {prefix + key: value for key, value in tensors.items()}
    config = path / "adapter_config.json"
    if path.is_dir() and config.is_file():  # peft's folder
        stored = read_json(config)
        return tensors, {key: stored[key] for key in _CONFIG if key in stored}
    text = header.get("lora_adapter_metadata")  # diffusers' header
    try:
        settings = json.loads(text) if text else None
    except ValueError:
        settings = text
    if not isinstance(settings, dict | None):
        raise ModelError(f"{path}: its lora_adapter_metadata is no JSON object; save it again")
    return tensors, settings


def _check_lora(tensors: Tensors, model: Any, path: Path) -> None:
    """Every adapter belongs to a layer of the model and has its shape."""
    layers = dict(model.named_modules())
    for key, tensor in tensors.items():
        layer = layers.get(_ADAPTER.split(key)[0])
        weight = getattr(layer, "weight", None)
        if weight is None or not _ADAPTER.search(key):
            raise ModelError(
                f"{path}: {key} has no place in a {type(model).__name__}; is it a LoRA of another "
                "model?"
            )
        fits = True
        if key.endswith("lora_A.weight"):
            fits = tensor.ndim > 1 and tensor.shape[1] == weight.shape[1]
            other = tensors.get(key.replace("lora_A", "lora_B"))
            if fits and (other is None or other.shape[1:2] != tensor.shape[:1]):
                raise ModelError(f"{path}: {key} has no lora_B of its rank beside it; is it whole?")
        elif key.endswith("lora_B.weight"):
            fits = tensor.ndim > 1 and tensor.shape[0] == weight.shape[0]
        if not fits:
            raise ModelError(
                f"{path}: {key} is {_shape(tensor)} and the layer {_shape(weight)}; it is a LoRA "
                "of another size: give the base folder that it was trained on"
            )


# -- files -------------------------------------------------------------------------------------


def _files(path: Path) -> list[Path]:
    """The safetensors files of a path.

    Raises:
        ModelError: There are none.
    """
    if path.is_dir():
        found = sorted(path.glob("*.safetensors"))
        if not found:
            raise ModelError(f"{path}: no .safetensors file in this folder")
        return found
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    if path.suffix != ".safetensors":
        raise ModelError(
            f"{path}: only .safetensors files are opened (a pickle could run code); convert it"
        )
    return [path]


def _read(path: Path, *, headers_only: bool = False) -> tuple[Tensors, Mapping[str, str]]:
    """All tensors, on the CPU or without memory on "meta", and the header of the last file."""
    tensors: Tensors = {}
    header: Mapping[str, str] = {}
    for file in _files(path):
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 - no dict
                    if headers_only:
                        shape = opened.get_slice(name).get_shape()
                        tensors[name] = torch.empty(shape, device="meta")
                    else:
                        tensors[name] = opened.get_tensor(name)
                header = opened.metadata() or {}
        except (SafetensorError, OSError) as error:
            first = str(error).strip().splitlines()[0]
            raise ModelError(f"{file}: cannot be read ({first}); download it again") from None
    return tensors, header


def _digest(path: Path) -> str:
    return component_digest(path) if path.is_dir() else file_digest(path)


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape))

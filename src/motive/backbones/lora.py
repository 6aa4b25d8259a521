"""Low-rank adapters beside a transformer's layers (LoRA), by peft and in diffusers' file format."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from motive.backbones.protocol import Backbone
from motive.errors import MissingExtraError, ModelError

LORA_FILE = "pytorch_lora_weights.safetensors"  # diffusers' own name
LORA_MODULES = (  # DiffSynth-Studio's q, k, v, o, ffn.0, ffn.2 by their names in diffusers
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "ffn.net.0.proj",
    "ffn.net.2",
)
_A, _B = ".lora_A.weight", ".lora_B.weight"


def add_lora(backbone: Backbone, rank: int, seed: int) -> dict[str, torch.nn.Parameter]:
    """Freeze the transformer, add adapters W + B A beside it, and return their parameters.

    Alpha is the rank, so the adapters' scale is 1. A is random, keyed by (seed, name) and so the
    same on every device; B is zero, so the model is unchanged at first (Hu et al. 2021). Adapters
    are float32, whatever the frozen weights are.

    Raises:
        MissingExtraError: peft is not installed.
        ModelError: The transformer has none of the layers that adapters are added to, or diffusers
            has no file format for its adapters.
    """
    _require_peft()
    from diffusers.training_utils import cast_training_params
    from peft import LoraConfig

    kind = backbone.pipeline_class
    if not hasattr(kind, "save_lora_weights"):
        raise ModelError(
            f"{backbone.name}: diffusers has no adapter files for {kind.__name__}; train all "
            "weights, without --lora"
        )
    model: Any = backbone.transformer.requires_grad_(False)
    if not any(name.endswith(LORA_MODULES) for name, _ in model.named_modules()):
        raise ModelError(f"{backbone.name}: no layer called {', '.join(LORA_MODULES)} to adapt")
    with torch.random.fork_rng(devices=[]):  # peft draws too; those numbers are not used
        model.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(LORA_MODULES)))
    cast_training_params(model, torch.float32)
    adapters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, parameter in adapters.items():
            if ".lora_A." in name:
                parameter.copy_(_random_factor(parameter.shape, f"{seed}/{name}"))
    return adapters


def save_lora(backbone: Backbone, folder: Path) -> None:
    """Write the adapters as diffusers and peft read them: `pytorch_lora_weights.safetensors`."""
    from peft import get_peft_model_state_dict

    model: Any = backbone.transformer
    backbone.pipeline_class.save_lora_weights(
        folder,
        transformer_lora_layers=get_peft_model_state_dict(model),
        transformer_lora_adapter_metadata=model.peft_config["default"].to_dict(),
    )


def merge_lora(backbone: Backbone) -> None:
    """Add the adapters into the weights beside them, in float32, and take them away."""
    model: Any = backbone.transformer
    dtypes = {
        name.replace(".base_layer", ""): p.dtype
        for name, p in model.named_parameters()
        if "lora_" not in name
    }
    model.float()
    model.fuse_lora()
    model.unload_lora()
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.to(dtypes[name])


def lora_digest(path: Path) -> str:
    """Digest of a file with adapters (or of that in a folder), for fingerprints.

    Raises:
        ModelError: There is no such file.
    """
    return hashlib.blake2b(_lora_file(path).read_bytes(), digest_size=8).hexdigest()


def load_lora(backbone: Backbone, pipeline: Any, path: Path) -> None:
    """Put the adapters of a file (or of a folder that holds one) into the transformer.

    Reads what diffusers reads, the formats of DiffSynth-Studio and musubi-tuner among it.

    Args:
        backbone: Whose transformer it is.
        pipeline: The backbone's `sampling_pipeline()`, which knows how to read the file.
        path: A .safetensors file, or a folder with `pytorch_lora_weights.safetensors`.

    Raises:
        MissingExtraError: peft is not installed.
        ModelError: No such file, not adapters, or adapters of another architecture.
    """
    _require_peft()
    file = _lora_file(path)
    try:
        state = pipeline.lora_state_dict(str(file), use_safetensors=True)
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{file}: cannot be read as adapters ({first:.160})") from error
    _check_fits(backbone, file, state)
    pipeline.load_lora_weights(str(file), use_safetensors=True)


def _lora_file(path: Path) -> Path:
    file = path / LORA_FILE if path.is_dir() else path
    if file.is_file():
        return file
    what = f"no {LORA_FILE} in this folder" if path.is_dir() else "no such file"
    raise ModelError(f"{path}: {what}; give the adapters that `motive finetune --lora` wrote")


def _check_fits(backbone: Backbone, file: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Every adapter must have its layer: diffusers would drop the others without a word."""
    layers = dict(backbone.transformer.named_modules())
    pairs = {key.removesuffix(_A) for key in state if key.endswith(_A)}
    if not pairs:
        raise ModelError(f"{file}: holds no adapters (LoRA) for a transformer")
    for key in sorted(pairs):
        layer: Any = layers.get(key.removeprefix("transformer."))
        weight = getattr(layer, "weight", None)
        asked = (state[key + _B].shape[0], state[key + _A].shape[1]) if key + _B in state else None
        if weight is None or asked is None or tuple(weight.shape[:2]) != asked:
            found = "no such layer" if weight is None else f"{tuple(weight.shape)}"
            raise ModelError(
                f"{file}: adapters of another architecture: {key} is for a layer of {asked}, "
                f"{backbone.name} has {found}; give the model that they were trained on"
            )


def _random_factor(shape: torch.Size, name: str) -> torch.Tensor:
    """A's start, uniform as in a linear layer (the method's own)."""
    key = hashlib.blake2b(name.encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key, "little") >> 1)
    factor = torch.empty(shape)
    return torch.nn.init.kaiming_uniform_(factor, a=math.sqrt(5), generator=generator)


def _require_peft() -> None:
    try:
        import peft  # noqa: F401
    except ImportError:
        raise MissingExtraError("LoRA adapters need the package peft; pip install peft") from None

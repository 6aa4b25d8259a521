"""Where a transformer's weights live: on one device, over several processes, or in CPU memory.

Invariant: a placement changes memory and time, never a gradient. Offloaded and sharded models are
the same modules with the same parameter names; only the tensors behind the parameters move.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from motive.backbones.folder import open_weights
from motive.errors import ModelError, UsageError

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from motive.ranks import Ranks

Change: TypeAlias = Callable[[Any], None]  # changes a loaded model in place


@dataclass(frozen=True)
class Stored:
    """A transformer that lies in a folder.

    Attributes:
        kind: A diffusers model class.
        folder: Its component folder.
        dtype: Of the weights; modules that the class keeps in float32 stay so.
        device: Where the model computes.
        change: Applied to the loaded model in CPU memory: fine-tuned weights, a LoRA.
    """

    kind: Any
    folder: Path
    dtype: torch.dtype
    device: torch.device
    change: Change | None = None

    def empty(self) -> torch.nn.Module:
        """The model without memory for its parameters; see `empty_model`."""
        config = self.kind.load_config(self.folder, local_files_only=True)
        return empty_model(self.kind, config, self.dtype)

    def loaded(self) -> torch.nn.Module:
        """The model in CPU memory, changed.

        Raises:
            ModelError: The folder lacks one of its tensors.
        """
        model, found = self.kind.from_pretrained(
            self.folder, torch_dtype=self.dtype, local_files_only=True, output_loading_info=True
        )
        if found["missing_keys"]:
            missing = min(found["missing_keys"])
            raise ModelError(f"{self.folder}: no tensor {missing} in it; download the model again")
        if self.change is not None:
            self.change(model)
        loaded: torch.nn.Module = model
        return loaded


Placement: TypeAlias = Callable[[Stored], torch.nn.Module]  # ready to compute on the device
FOLDER_ONLY = (
    "--shard reads the folder's own weights, each process its part: save the fine-tuned model as a "
    "pipeline folder and give that, without --weights and --lora"
)
_WEIGHTS = "diffusion_pytorch_model.safetensors"


def whole(stored: Stored) -> torch.nn.Module:
    """All weights on the device: what fits should be placed so."""
    return stored.loaded().to(stored.device)


def offloaded(stored: Stored) -> torch.nn.Module:
    """Weights of the layers in CPU memory, each copied to the device while it computes."""
    model = stored.loaded()
    offload_layers(model, stored.device)
    return model


def sharded(ranks: Ranks) -> Placement:
    """Every process holds its part of every parameter (FSDP2), and reads no more than that."""
    return partial(_sharded, ranks=ranks)


# -- offloading --------------------------------------------------------------------------------


def offload_layers(model: torch.nn.Module, device: torch.device) -> None:
    """Keep the weights of a model's layers in CPU memory; everything else moves to the device.

    Before a layer computes, its weights are copied to the device, and afterwards its parameters
    are the CPU tensors again. With gradient checkpointing backward computes each layer once more,
    so at no time are there more than the weights of one layer on the device; without, autograd
    keeps all copies, and nothing is saved. Gradients come into being on the device and stay there.

    Args:
        model: A diffusers model; its layers are the modules of the classes that it must not split.
        device: Where the model computes.
    """
    layers = list(_layers(model))
    inside = {id(tensor) for layer in layers for tensor in _tensors(layer)}
    for tensor in _tensors(model):
        if id(tensor) not in inside:
            tensor.data = tensor.data.to(device)
    for layer in layers:
        _Offload(layer, device)


class _Offload:
    """The hooks of one layer."""

    def __init__(self, layer: torch.nn.Module, device: torch.device) -> None:
        self.device = device
        pinned = device.type == "cuda"  # page-locked memory is copied several times faster
        self.kept = {
            tensor: tensor.data.cpu().pin_memory() if pinned else tensor.data.cpu()
            for tensor in _tensors(layer)
        }
        self.release()
        layer.register_forward_pre_hook(self.load)
        # Recomputation stops in the middle of a layer, by an exception.
        layer.register_forward_hook(self.release, always_call=True)

    def load(self, *_: object) -> None:
        for tensor, kept in self.kept.items():
            tensor.data = kept.to(self.device, non_blocking=True, copy=True)

    def release(self, *_: object) -> None:
        for tensor, kept in self.kept.items():
            tensor.data = kept


# -- sharding ----------------------------------------------------------------------------------


def _sharded(stored: Stored, *, ranks: Ranks) -> torch.nn.Module:
    if stored.change is not None:
        raise UsageError(FOLDER_ONLY)
    model = stored.empty()
    shard_layers(model, ranks.mesh)
    fill_empty(model, stored.device)
    with torch.no_grad():
        _read_shards(model, stored.folder)
    return model


def empty_model(kind: Any, config: dict[str, Any], dtype: torch.dtype) -> torch.nn.Module:
    """A model of a configuration without memory for its parameters, which are on "meta".

    Args:
        kind: A diffusers model class.
        config: Its configuration.
        dtype: Of the parameters; modules that the class keeps in float32 stay so.

    Returns:
        The model; its buffers are real.
    """
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        model: torch.nn.Module = kind.from_config(config)
    kept_wide = set(getattr(kind, "_keep_in_fp32_modules", None) or ())
    for name, parameter in model.named_parameters():
        wide = kept_wide.intersection(name.split("."))
        parameter.data = parameter.data.to(torch.float32 if wide else dtype)
    return model


def fill_empty(model: torch.nn.Module, device: torch.device) -> None:
    """Give the parameters of an `empty_model` memory on a device, uninitialised; move its buffers.

    Args:
        model: With parameters on "meta" (or sharded there) and real buffers.
        device: Where both go.
    """
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.to_empty(device=device)
    for name, buffer in buffers.items():
        model.get_buffer(name).copy_(buffer)


def shard_layers(model: torch.nn.Module, mesh: DeviceMesh) -> None:
    """FSDP2 on every layer and on the rest of the model.

    Parameters that are gathered together must have one dtype; where a layer mixes two (Wan keeps
    norms and modulation tables in float32), its modules of the other dtype become groups too.

    Args:
        model: A diffusers model, on any device or on "meta".
        mesh: One dimension; all processes compute the same clip.

    Raises:
        ModelError: One module holds parameters of two dtypes.
    """
    for layer in _layers(model):
        _shard(layer, mesh)
    _shard(model, mesh)


def _shard(module: torch.nn.Module, mesh: DeviceMesh) -> None:
    """Shard what is not sharded yet, in groups of one dtype."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    own = {p.dtype for p in module.parameters(recurse=False)}
    if len(own) > 1:
        raise ModelError(
            f"{type(module).__name__}: parameters of several dtypes in one module cannot be "
            "sharded; use --dtype float32"
        )
    dtypes = _unsharded_dtypes(module)
    kept = own or set(dtypes[:1])
    for child in module.children():
        if set(_unsharded_dtypes(child)) - kept:
            _shard(child, mesh)
    # The mean over equal gradients is exact in any dtype if the count is a power of two.
    exact = mesh.size() & (mesh.size() - 1) == 0
    policy = MixedPrecisionPolicy(reduce_dtype=None if exact else torch.float32)
    fully_shard(module, mesh=mesh, mp_policy=policy)


def _unsharded_dtypes(module: torch.nn.Module) -> list[torch.dtype]:
    from torch.distributed.tensor import DTensor

    return [p.dtype for p in module.parameters() if not isinstance(p, DTensor)]


def _read_shards(model: torch.nn.Module, folder: Path) -> None:
    """Fill each parameter with this process's rows, read from the folder's safetensors files."""
    from torch.distributed.tensor import DTensor
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    places = _files_of_tensors(folder)
    with ExitStack() as stack:
        opened: dict[str, Any] = {}
        for name, parameter in model.named_parameters():
            if not isinstance(parameter, DTensor):
                raise ModelError(f"{folder}: parameter {name} was not sharded")
            file = places.get(name)
            if file is None:
                raise ModelError(f"{folder}: no tensor {name} in it; download the model again")
            if file not in opened:
                opened[file] = stack.enter_context(open_weights(folder / file))
            stored = opened[file].get_slice(name)
            if tuple(stored.get_shape()) != tuple(parameter.shape):
                raise ModelError(
                    f"{folder / file}: {name} is {stored.get_shape()} and the configuration says "
                    f"{list(parameter.shape)}; download the model again"
                )
            shape, offset = compute_local_shape_and_global_offset(
                parameter.shape, parameter.device_mesh, parameter.placements
            )
            if 0 not in shape:
                rows = tuple(slice(o, o + n) for o, n in zip(offset, shape, strict=True))
                parameter.to_local().copy_(stored[rows])


def _files_of_tensors(folder: Path) -> dict[str, str]:
    """Tensor name -> file, for one file or several with an index."""
    index = folder / f"{_WEIGHTS}.index.json"
    if index.is_file():
        try:
            return dict(json.loads(index.read_text("utf-8"))["weight_map"])
        except (ValueError, KeyError, TypeError):
            raise ModelError(f"{index}: malformed; download the model again") from None
    if not (folder / _WEIGHTS).is_file():
        raise ModelError(f"{folder}: no {_WEIGHTS}; sharded loading reads safetensors files only")
    with open_weights(folder / _WEIGHTS) as file:
        return dict.fromkeys(file.keys(), _WEIGHTS)


# -- both --------------------------------------------------------------------------------------


def _layers(model: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """The repeated blocks of a diffusers model."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    names = names or set(getattr(model, "_repeated_blocks", None) or ())  # all that LTX says
    return (module for module in model.modules() if type(module).__name__ in names)


def _tensors(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    yield from module.parameters()
    yield from module.buffers()

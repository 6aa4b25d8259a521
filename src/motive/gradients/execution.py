"""How forward and backward are run: checkpointed, with activations offloaded, compiled.

Invariant: each is undone when its block ends, and none changes a gradient by more than rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from motive.errors import ClipError, UsageError


class TooLargeError(ClipError):
    """A clip's forward and backward pass do not fit into memory, even in the smallest way."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or on the CPU (for which torch has no class of its own)."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def can_checkpoint(model: torch.nn.Module) -> bool:
    """Whether the model knows gradient checkpointing (diffusers' models do)."""
    return hasattr(model, "enable_gradient_checkpointing")


@contextmanager
def checkpointed(model: Any) -> Iterator[None]:
    """Recompute the activations of each block in backward: less memory, a third more time.

    Raises:
        UsageError: The model has no gradient checkpointing.
    """
    if not can_checkpoint(model):
        raise UsageError(f"{type(model).__name__} has no gradient checkpointing; leave it out")
    if model.is_gradient_checkpointing:
        yield
        return
    model.enable_gradient_checkpointing()
    try:
        yield
    finally:
        model.disable_gradient_checkpointing()


@contextmanager
def offloaded_activations(model: torch.nn.Module) -> Iterator[None]:
    """Keep what forward saves for backward in CPU memory, through `torch.autograd.graph`.

    Unlike `torch.autograd.graph.save_on_cpu` this leaves weights where they are: backward needs
    them too, and copies of them would cost more memory than is won.
    """
    weights = {tensor.untyped_storage().data_ptr() for tensor in model.parameters()}

    def pack(tensor: torch.Tensor) -> tuple[torch.device, torch.Tensor]:
        if tensor.device.type == "cpu" or tensor.untyped_storage().data_ptr() in weights:
            return tensor.device, tensor
        here = torch.empty(
            tensor.shape, dtype=tensor.dtype, pin_memory=tensor.device.type == "cuda"
        )
        return tensor.device, here.copy_(tensor)

    def unpack(packed: tuple[torch.device, torch.Tensor]) -> torch.Tensor:
        device, tensor = packed
        return tensor.to(device, non_blocking=True)

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield


@contextmanager
def compiled_blocks(model: torch.nn.Module, backend: str = "inductor") -> Iterator[None]:
    """Compile the repeated blocks of a model, one by one.

    Not the model as a whole: compiled backward hands out all gradients of its graph at once, and
    the gradient of the whole model is what must never exist.

    Args:
        model: A diffusers model that names its repeated blocks.
        backend: Of `torch.compile`.

    Raises:
        UsageError: The model names no repeated blocks, or the compiler fails.
    """
    names = getattr(model, "_repeated_blocks", None) or ()
    blocks = [module for module in model.modules() if type(module).__name__ in names]
    if not blocks:
        raise UsageError(f"{type(model).__name__} has no repeated blocks to compile; leave it out")
    from torch._dynamo.exc import BackendCompilerFailed

    previous = [block._compiled_call_impl for block in blocks]
    try:
        for block in blocks:
            block.compile(backend=backend)
        yield
    except BackendCompilerFailed as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(
            f"compiling failed ({first:.100}); it needs a C++ compiler for a CPU and Triton for a "
            "GPU; leave --compile-blocks out"
        ) from error
    finally:
        for block, call in zip(blocks, previous, strict=True):
            block._compiled_call_impl = call

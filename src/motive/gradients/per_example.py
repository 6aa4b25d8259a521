"""What each clip of a batch contributes to the gradient of one layer's parameters.

Ordinary backward adds the clips up inside the layer. But the gradient of a layer's parameters is a
contraction of the layer's input with the gradient of its output, and both keep the clips apart:
for y = x Wᵀ + b it is dyᵢᵀ xᵢ and the sum of dyᵢ over positions, for every clip i.

Invariant: a layer has a rule only if its class is exactly one that is known and its options are
those the rule was derived for; a subclass may compute anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import nn
from torch.nn import functional

Gradients = Iterator[tuple[str, torch.Tensor]]  # name within the layer, "n ..."
Rule = Callable[[Any, torch.Tensor, torch.Tensor, int], Gradients]


def rule_of(layer: nn.Module) -> Rule | None:
    """The rule of a layer, called as rule(layer, input, gradient of the output, n); None: no rule.

    The first dimension of input and output is n clips, or n times something with the clips
    outermost.
    """
    if "forward" in vars(layer):  # replaced in this one object
        return None
    found = _RULES.get(f"{type(layer).__module__}.{type(layer).__qualname__}")
    return found(layer) if found else None


@dataclass(frozen=True)
class Broadcast:
    """A parameter "1 ..." that the layer's own forward adds to something with clips in front.

    Attributes:
        parameter: Its name within the layer.
        argument: Of the layer's forward: what it is added to comes from this.
        dimensions: Of the argument; with more, a place between clips and features, such as one
            timestep per token, the parameter is broadcast differently.
    """

    parameter: str
    argument: str
    dimensions: int

    def fits(self, layer: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> bool:
        """Whether a call of the layer has the argument in this form."""
        given = signature(layer.forward).bind(*arguments, **options).arguments
        return bool(given[self.argument].ndim == self.dimensions)


def broadcast_of(layer: nn.Module) -> Broadcast | None:
    """The parameter of a layer that each clip can have a copy of."""
    return _BROADCAST.get(f"{type(layer).__module__}.{type(layer).__qualname__}")


def _linear(layer: nn.Linear, x: torch.Tensor, dy: torch.Tensor, clips: int) -> Gradients:
    x, dy = _by_clip(x, clips, 1), _by_clip(dy, clips, 1)
    yield "weight", torch.bmm(dy.transpose(1, 2), x.to(dy.dtype))
    yield "bias", dy.sum(1)


def _patches(layer: Any, x: torch.Tensor, dy: torch.Tensor, clips: int) -> Gradients:
    """A convolution whose kernels lie side by side is a linear layer on patches."""
    kernel, dims = layer.kernel_size, len(layer.kernel_size)
    grid = dy.shape[2:]
    for axis, (count, size) in enumerate(zip(grid, kernel, strict=True)):
        x = x.narrow(2 + axis, 0, count * size)
    split = [number for pair in zip(grid, kernel, strict=True) for number in pair]
    x = x.reshape(len(x), x.shape[1], *split)
    places = [2 + 2 * axis for axis in range(dims)]
    inside = [3 + 2 * axis for axis in range(dims)]
    x = x.permute(0, *places, 1, *inside).reshape(clips, -1, layer.weight[0].numel())
    dy = dy.flatten(2).transpose(1, 2).reshape(clips, -1, dy.shape[1])
    weight = torch.bmm(dy.transpose(1, 2), x.to(dy.dtype))
    yield "weight", weight.view(clips, *layer.weight.shape)
    yield "bias", dy.sum(1)


def _layer_norm(layer: nn.LayerNorm, x: torch.Tensor, dy: torch.Tensor, clips: int) -> Gradients:
    kept = len(layer.normalized_shape)
    unit = functional.layer_norm(_wide(x), layer.normalized_shape, None, None, layer.eps)
    dy = _wide(dy)
    yield "weight", _by_clip(dy * unit, clips, kept).sum(1)
    yield "bias", _by_clip(dy, clips, kept).sum(1)


def _rms_norm(layer: nn.RMSNorm, x: torch.Tensor, dy: torch.Tensor, clips: int) -> Gradients:
    kept = len(layer.normalized_shape)
    unit = functional.rms_norm(_wide(x), layer.normalized_shape, None, layer.eps)
    yield "weight", _by_clip(_wide(dy) * unit, clips, kept).sum(1)


def _embedding(layer: nn.Embedding, x: torch.Tensor, dy: torch.Tensor, clips: int) -> Gradients:
    rows, width = layer.weight.shape
    clip = torch.arange(clips, device=x.device)[:, None]
    place = (x.reshape(clips, -1) + clip * rows).reshape(-1)
    gradient = dy.new_zeros(clips * rows, width)
    # Unlike index_add, index_put is deterministic on a GPU: it sorts.
    gradient.index_put_((place,), dy.reshape(-1, width), accumulate=True)
    gradient = gradient.view(clips, rows, width)
    if layer.padding_idx is not None:
        gradient[:, layer.padding_idx] = 0
    yield "weight", gradient


def _by_clip(tensor: torch.Tensor, clips: int, kept: int) -> torch.Tensor:
    """Shape "n ... last" as "n positions last", where the last `kept` dimensions stay."""
    return tensor.reshape(clips, -1, *tensor.shape[tensor.ndim - kept :])


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    """At least float32."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _always(rule: Rule) -> Callable[[Any], Rule | None]:
    return lambda layer: rule


def _of_patches(layer: Any) -> Rule | None:
    plain = layer.groups == 1 and not any(layer.padding) and set(layer.dilation) == {1}
    return _patches if plain and layer.stride == layer.kernel_size else None


def _of_embedding(layer: nn.Embedding) -> Rule | None:
    special = layer.sparse or layer.scale_grad_by_freq or layer.max_norm is not None
    return None if special else _embedding


_RULES: dict[str, Callable[[Any], Rule | None]] = {
    "torch.nn.modules.linear.Linear": _always(_linear),
    "torch.nn.modules.conv.Conv1d": _of_patches,
    "torch.nn.modules.conv.Conv2d": _of_patches,
    "torch.nn.modules.conv.Conv3d": _of_patches,
    "torch.nn.modules.normalization.LayerNorm": _always(_layer_norm),
    "torch.nn.modules.normalization.RMSNorm": _always(_rms_norm),
    "torch.nn.modules.sparse.Embedding": _of_embedding,
    "diffusers.models.normalization.FP32LayerNorm": _always(_layer_norm),
}
_WAN = "diffusers.models.transformers.transformer_wan."
_BROADCAST = {
    _WAN + "WanTransformerBlock": Broadcast("scale_shift_table", "temb", 3),
    _WAN + "WanTransformer3DModel": Broadcast("scale_shift_table", "timestep", 1),
}

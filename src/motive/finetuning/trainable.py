"""Which parameters are trained: all of the transformer's, or low-rank adapters beside its layers.

Both are seen in one way from here on: names and float32 tensors. What was not chosen is frozen.
"""

from __future__ import annotations

import torch

from motive.backbones import Backbone
from motive.backbones.lora import add_lora
from motive.errors import ModelError


def choose_parameters(
    backbone: Backbone, lora: int | None, seed: int
) -> dict[str, torch.nn.Parameter]:
    """Make parameters trainable, in place, and return them by name.

    Args:
        backbone: Its transformer is changed: `requires_grad`, and adapters are added.
        lora: Rank of the adapters; None trains all floating-point parameters.
        seed: Of the adapters' first values.

    Raises:
        MissingExtraError: Adapters without peft.
        ModelError: All are to be trained and some are not float32, in which small updates would be
            lost; or there is no layer to adapt.
    """
    if lora is not None:
        return add_lora(backbone, lora, seed)
    model = backbone.transformer.requires_grad_(False)
    chosen = {name: p for name, p in model.named_parameters() if p.dtype.is_floating_point}
    if any(p.dtype != torch.float32 for p in chosen.values()):
        raise ModelError(f"{backbone.name}: fine-tuning needs float32 weights, or --lora")
    for parameter in chosen.values():
        parameter.requires_grad_(True)
    return chosen

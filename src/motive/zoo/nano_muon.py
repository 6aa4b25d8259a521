"""Muon: momentum whose step is made orthogonal, for the hidden matrices of a network.

Per step it learns more than AdamW does, and steps are what a laptop is short of. (torch has a Muon
from 2.9 on; this one also takes convolution kernels, and iterates in float32, which CPUs prefer.)
Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # quintic that pushes singular values towards 1
_ITERATIONS = 5
# Layers that read or write data, not features, and tables: AdamW suits them better.
_NOT_HIDDEN = (
    "conv_in",
    "conv_out",
    "patch_embedding",
    "proj_out",
    "shared",
    "embed_tokens",
    "relative_attention_bias",
    "scale_shift_table",
)


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum, for matrices and convolution kernels (as out x rest).

    Args:
        params: Hidden matrices; see `hidden_matrices`.
        lr: Step size: the spectral norm of an update of a square matrix.
        momentum: Decay of the gradient's moving average.
        weight_decay: Decoupled decay.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "average" not in state:
                    state["average"] = torch.zeros_like(parameter)
                average = state["average"].lerp_(parameter.grad, 1.0 - group["momentum"])
                update = orthogonalise(parameter.grad.lerp(average, group["momentum"]).flatten(1))
                rows, columns = update.shape
                parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
                scale = max(1.0, rows / columns) ** 0.5
                parameter.add_(update.view_as(parameter), alpha=-group["lr"] * scale)


def orthogonalise(matrix: torch.Tensor) -> torch.Tensor:
    """Nearest semi-orthogonal matrix, roughly: all singular values are brought near 1.

    Args:
        matrix: float "m n".

    Returns:
        float "m n"; singular values between about 0.7 and 1.2 unless they were tiny.
    """
    a, b, c = _NEWTON_SCHULZ
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


def hidden_matrices(modules: Iterable[torch.nn.Module]) -> list[torch.nn.Parameter]:
    """The parameters that Muon should train: matrices and kernels between hidden features."""
    return [
        parameter
        for module in modules
        for name, parameter in module.named_parameters()
        if parameter.ndim > 1
        and min(parameter.shape[0], parameter[0].numel()) > 1
        and not any(part in _NOT_HIDDEN for part in name.split("."))
    ]

"""Muon: momentum whose step is made orthogonal, for the hidden matrices of a network.

Per step it learns more than AdamW does, and steps are what a laptop is short of. (torch has a Muon
from 2.9 on; this one also takes convolution kernels, and iterates in float32, which CPUs prefer.)
Matrices are cut into tiles of at most 48 x 192 and each tile is made orthogonal by itself: a
quarter of the cost of whole matrices, which would be a third of a training step.
Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # quintic that pushes singular values towards 1
_ITERATIONS = 5
_TILE = (48, 192)  # 48 is one attention head of wan-nano, 192 its width
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
            moving = [p for p in group["params"] if p.grad is not None]
            updates = [self._momentum(p, group["momentum"]) for p in moving]
            for parameter, update in zip(moving, orthogonal_updates(updates), strict=True):
                parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
                parameter.add_(update.view_as(parameter), alpha=-group["lr"])

    def _momentum(self, parameter: torch.Tensor, decay: float) -> torch.Tensor:
        state = self.state[parameter]
        if "average" not in state:
            state["average"] = torch.zeros_like(parameter)
        gradient = parameter.grad
        average = state["average"].lerp_(gradient, 1.0 - decay)
        return gradient.lerp(average, decay).flatten(1)  # type: ignore[union-attr]


class _Tiling(NamedTuple):
    """How one matrix was cut; `turned` tiles were taller than wide and are transposed."""

    shape: tuple[int, int]
    tile: tuple[int, int]
    turned: bool


def orthogonal_updates(matrices: list[torch.Tensor]) -> list[torch.Tensor]:
    """Muon's step for each matrix "m n": tile by tile orthogonal, all tiles of a size in one batch.

    Each result has the root mean square of a semi-orthogonal matrix of the whole shape, times
    sqrt(max(1, m / n)), so that learning rates mean what they mean for untiled Muon.
    """
    batches: dict[tuple[int, int], list[tuple[int, torch.Tensor]]] = {}
    tilings = []
    for number, matrix in enumerate(matrices):
        tiles, tiling = _cut(matrix)
        tilings.append(tiling)
        batches.setdefault((tiles.shape[1], tiles.shape[2]), []).append((number, tiles))
    done: dict[int, torch.Tensor] = {}
    for batch in batches.values():
        straight = orthogonalise(torch.cat([tiles for _, tiles in batch]))
        counts = [len(tiles) for _, tiles in batch]
        for (number, _), tiles in zip(batch, straight.split(counts), strict=True):
            done[number] = _joined(tiles, tilings[number])
    return [done[number] for number in range(len(matrices))]


def _cut(matrix: torch.Tensor) -> tuple[torch.Tensor, _Tiling]:
    rows, columns = matrix.shape
    high = _TILE[0] if rows % _TILE[0] == 0 else rows
    wide = _TILE[1] if columns % _TILE[1] == 0 else columns
    tiles = matrix.reshape(rows // high, high, columns // wide, wide).transpose(1, 2)
    tiles = tiles.reshape(-1, high, wide)
    turned = high > wide
    return (tiles.mT if turned else tiles), _Tiling((rows, columns), (high, wide), turned)


def _joined(tiles: torch.Tensor, tiling: _Tiling) -> torch.Tensor:
    (rows, columns), (high, wide) = tiling.shape, tiling.tile
    tiles = tiles.mT if tiling.turned else tiles
    grid = tiles.reshape(rows // high, columns // wide, high, wide).transpose(1, 2)
    # A semi-orthogonal matrix has entries of root mean square 1 / sqrt(its longer side).
    scale = (max(1.0, rows / columns) * max(high, wide) / max(rows, columns)) ** 0.5
    return grid.reshape(rows, columns) * scale


def orthogonalise(matrix: torch.Tensor) -> torch.Tensor:
    """Nearest semi-orthogonal matrix, roughly: all singular values are brought near 1.

    The iteration runs on the small Gram matrix G = X Xᵀ and multiplies X once at the end, which is
    the same polynomial of X at less cost.

    Args:
        matrix: float "... m n".

    Returns:
        float "... m n"; singular values between about 0.7 and 1.2 unless they were tiny.
    """
    a, b, c = _NEWTON_SCHULZ
    tall = matrix.shape[-2] > matrix.shape[-1]
    wide = matrix.mT if tall else matrix
    x = wide / (wide.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    gram = x @ x.mT
    identity = torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
    factor = identity
    for _ in range(_ITERATIONS):
        polynomial = a * identity + b * gram + c * gram @ gram
        factor = polynomial @ factor
        gram = polynomial @ gram @ polynomial
    x = factor @ x
    return x.mT if tall else x


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

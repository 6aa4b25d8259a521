"""The interface the gradient collector needs from a projection."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch


@runtime_checkable
class Projection(Protocol):
    """A linear map from named gradient pieces to D' numbers: finish(sum of partial(name, g)).

    Attributes:
        dim: D', the number of projected coordinates.
    """

    dim: int

    def partial(self, name: str, gradient: torch.Tensor) -> torch.Tensor:
        """Contribution of one parameter, float32 "d"; sums of contributions go to `finish`."""
        ...

    def finish(self, accumulated: torch.Tensor) -> torch.Tensor:
        """Turn the sum of all contributions (float32 "d") into the projected gradient "d"."""
        ...

    def identity(self) -> dict[str, object]:
        """Everything that decides the numbers: goes into the fingerprint."""
        ...

"""The interfaces that the gradient collector needs from a projection."""

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


@runtime_checkable
class ShardProjection(Projection, Protocol):
    """A projection that also takes parameters in pieces, as the ranks of a sharded model hold them.

    The contributions of all slices of a parameter, in any cut, add up to that of the whole.
    """

    def partial(
        self, name: str, gradient: torch.Tensor, start: int = 0, total: int | None = None
    ) -> torch.Tensor:
        """Contribution of the elements start, start + 1, ... of one flattened parameter.

        Args:
            name: Canonical parameter name.
            gradient: The slice, any shape.
            start: Place of its first element in the flattened parameter.
            total: Elements of the whole parameter; None: the slice ends it.

        Returns:
            float32 "d" (float64 for a float64 gradient), on the gradient's device.

        Raises:
            UsageError: A dtype or layout that cannot be projected, or a slice beyond the parameter;
                the message names the parameter.
        """
        ...

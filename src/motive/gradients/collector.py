"""Project each parameter's gradient when backward produces it, and free it at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from motive.errors import UsageError
from motive.projection import Projection

ALL_PARAMETERS = ".*"


class Collected(NamedTuple):
    """What one backward pass leaves behind.

    Attributes:
        projected: P g, "d" float32 on the CPU.
        squared_norm: ‖g‖² of the unprojected gradient.
        parameters: How many parameter tensors received a gradient.
    """

    projected: torch.Tensor
    squared_norm: float
    parameters: int


class GradientCollector:
    """Turns backward passes of one module into projected gradients.

    Only parameters whose name matches the regular expression are attributed; the others neither
    receive nor store gradients while the collector is active. A parameter shared by two modules
    counts once, under its first name. A parameter that a pass does not reach contributes zero.

    Args:
        module: The network to attribute.
        projection: A linear projection (see `motive.projection`).
        pattern: Regular expression searched in parameter names; default all.

    Raises:
        UsageError: The pattern is malformed or matches no parameter.

    Example:
        >>> from motive.projection import BlockedFastfood
        >>> layer = torch.nn.Linear(4, 3)
        >>> collector = GradientCollector(layer, BlockedFastfood(dim=16, block=16))
        >>> with collector.active():
        ...     found = collector.collect(lambda: layer(torch.ones(1, 4)).sum())
        >>> found.projected.shape, found.parameters, layer.weight.grad
        (torch.Size([16]), 2, None)
    """

    def __init__(
        self, module: torch.nn.Module, projection: Projection, pattern: str = ALL_PARAMETERS
    ) -> None:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise UsageError(f"parameter pattern {pattern!r}: {error}") from None
        self.module, self.projection = module, projection
        self.parameters: dict[str, torch.nn.Parameter] = {
            name: parameter
            for name, parameter in module.named_parameters()
            if compiled.search(name) and parameter.dtype.is_floating_point
        }
        if not self.parameters:
            example = next((name for name, _ in module.named_parameters()), "(none)")
            raise UsageError(
                f"parameter pattern {pattern!r} matches no parameter; names look like {example!r}"
            )
        self._accumulated: torch.Tensor | None = None
        self._squared_norm: torch.Tensor | None = None
        self._count = 0

    @property
    def size(self) -> int:
        """D, the number of attributed coordinates."""
        return sum(parameter.numel() for parameter in self.parameters.values())

    @contextmanager
    def active(self) -> Iterator[GradientCollector]:
        """Install the hooks; the module's `requires_grad` flags are restored afterwards."""
        flags = {parameter: parameter.requires_grad for parameter in self.module.parameters()}
        chosen = {id(parameter) for parameter in self.parameters.values()}
        handles = []
        try:
            for parameter in flags:
                parameter.requires_grad_(id(parameter) in chosen)
                parameter.grad = None
            for name, parameter in self.parameters.items():
                handles.append(
                    parameter.register_post_accumulate_grad_hook(self._project_and_free(name))
                )
            yield self
        finally:
            for handle in handles:
                handle.remove()
            for parameter, flag in flags.items():
                parameter.grad = None
                parameter.requires_grad_(flag)

    def collect(self, loss: Callable[[], torch.Tensor]) -> Collected:
        """Run forward and backward of a scalar loss, and return its projected gradient."""
        self._accumulated, self._squared_norm, self._count = None, None, 0
        try:
            loss().backward()  # type: ignore[no-untyped-call]
        finally:
            # An interrupted pass must not leak half a gradient into the next clip.
            for parameter in self.parameters.values():
                parameter.grad = None
        if self._accumulated is None or self._squared_norm is None:
            raise UsageError("the loss does not depend on any attributed parameter")
        return Collected(
            self.projection.finish(self._accumulated).float().cpu(),
            float(self._squared_norm),
            self._count,
        )

    def _project_and_free(self, name: str) -> Callable[[torch.Tensor], None]:
        def hook(parameter: torch.Tensor) -> None:
            gradient = parameter.grad
            if gradient is None:
                return
            parameter.grad = None
            partial = self.projection.partial(name, gradient)
            wide = gradient if gradient.dtype == torch.float64 else gradient.float()
            squared = wide.square().sum()
            if self._accumulated is None or self._squared_norm is None:
                self._accumulated, self._squared_norm = partial, squared
            else:
                self._accumulated = self._accumulated + partial.to(self._accumulated)
                self._squared_norm = self._squared_norm + squared.to(self._squared_norm)
            self._count += 1

        return hook

"""The projected gradient of every clip of a batch from one backward pass.

Backward is run on the sum of the clips' losses, with no parameter requiring a gradient: hooks keep
the input of each layer, and when backward brings the gradient of its output, each clip's gradient
of the layer's parameters is formed (see `per_example`), projected and freed.

Invariant: a model with a parameter that no rule covers, or whose clips cannot be told apart, is an
error before or while the batch runs, never another number; `disagreement` is the last resort.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from motive.errors import ClipError, UsageError
from motive.gradients.collector import GradientCollector, only_requiring_gradients
from motive.gradients.per_example import Broadcast, Rule, broadcast_of, rule_of
from motive.gradients.sums import Collected, GradientSums

_SHOWN = 3  # names in a message
# Measured on two cores with 2.8 million parameters and 80 tokens: a clip takes 26 ms in a batch of
# 8 or 16, 30 ms in one of 4, 50 ms alone.
AUTOMATIC_BATCH = 8
_SMALL_MODEL = 1 << 25  # parameters: one gradient of each of 8 clips is at most 1 GB
_SMALL_CLIP = 1 << 13  # latent positions; a longer clip fills a CPU by itself


class NotSeparableError(UsageError):
    """The gradients of this model cannot be computed for several clips at once."""


@dataclass(frozen=True)
class _Layer:
    """A layer with a rule.

    Attributes:
        module: The layer.
        rule: See `rule_of`.
        names: Name within the layer -> name of the attributed parameter.
    """

    module: nn.Module
    rule: Rule
    names: dict[str, str]


class BatchCollector:
    """As `GradientCollector`, for several clips in one pass.

    Args:
        collector: Gives module, attributed parameters, groups and projection.

    Raises:
        NotSeparableError: A parameter is not covered by any rule; the message names it.

    Example:
        >>> from motive.projection import BlockedFastfood
        >>> layer = torch.nn.Linear(4, 3)
        >>> single = GradientCollector(layer, BlockedFastfood(dim=16, block=16))
        >>> found = BatchCollector(single).collect(2, lambda: layer(torch.ones(2, 4)).sum(1))
        >>> [clip.projected.shape for clip in found]
        [torch.Size([16]), torch.Size([16])]
    """

    def __init__(self, collector: GradientCollector) -> None:
        self.collector = collector
        names = {id(parameter): name for name, parameter in collector.parameters.items()}
        self._layers: list[_Layer] = []
        self._tables: list[tuple[nn.Module, Broadcast, str]] = []  # (module, parameter, name)
        uncovered: list[str] = []
        for module in collector.module.modules():
            owned = {
                local: names[id(parameter)]
                for local, parameter in module.named_parameters(recurse=False)
                if id(parameter) in names
            }
            rule = rule_of(module)
            if rule is not None and owned:
                self._layers.append(_Layer(module, rule, owned))
                continue
            table = broadcast_of(module)
            for local, name in owned.items():
                if table and local == table.parameter and _leads_with_one(module, local):
                    self._tables.append((module, table, name))
                else:
                    uncovered.append(name)
        tables = Counter(name for _, _, name in self._tables)
        layers = {name for layer in self._layers for name in layer.names.values()}
        uncovered += [name for name, count in tables.items() if count > 1 or name in layers]
        if uncovered:
            shown = ", ".join(dict.fromkeys(uncovered[:_SHOWN]))
            more = f" and {len(uncovered) - _SHOWN} more" if len(uncovered) > _SHOWN else ""
            raise NotSeparableError(
                f"no rule for the gradients of single clips of {shown}{more}; use batch 1"
            )

    def collect(
        self, clips: int, losses: Callable[[], torch.Tensor], wanted: int | None = None
    ) -> list[Collected | ClipError]:
        """Run forward and backward of a batch.

        Args:
            clips: n.
            losses: Gives "n", each of which depends on its own clip alone.
            wanted: Only the gradients of the first so many clips; the others fill the batch.

        Returns:
            For each wanted clip what `GradientCollector.collect` returns or raises.

        Raises:
            NotSeparableError: A layer whose input does not have the clips in front.
            UsageError: As `GradientCollector.collect`.
        """
        collector = self.collector
        wanted = clips if wanted is None else wanted
        sums = GradientSums(collector.projection, wanted, collector.groups)
        batch = _Pass(sums, clips)
        with only_requiring_gradients(collector.module, ()), ExitStack() as stack:
            for layer in self._layers:
                stack.enter_context(batch.watching(layer))
            for table in self._tables:
                stack.enter_context(batch.spread(*table))
            losses().sum().backward()  # type: ignore[no-untyped-call]
            return batch.results()


class _Pass:
    """One forward and backward pass over n clips.

    A parameter that several calls use has the sum of their gradients, and its norm is that of the
    sum: they are kept until all calls have been seen.
    """

    def __init__(self, sums: GradientSums, clips: int) -> None:
        self.sums, self.clips = sums, clips
        self._calls = Counter[str]()  # whose backward has not come yet
        self._parts: dict[str, torch.Tensor] = {}

    def results(self) -> list[Collected | ClipError]:
        """What has been collected, including parameters with calls that the loss ignores."""
        for name, gradients in self._parts.items():
            self.sums.add(name, gradients)
        return self.sums.results()

    @contextmanager
    def watching(self, layer: _Layer) -> Iterator[None]:
        """Collect the gradients of a layer's parameters at each of its calls."""

        def forward(module: nn.Module, arguments: tuple[Any, ...], output: torch.Tensor) -> None:
            if not arguments or len(arguments[0]) % self.clips:
                raise NotSeparableError(
                    f"the layer of {next(iter(layer.names.values()))} does not get its input clip "
                    "by clip; use batch 1"
                )
            self._calls.update(layer.names.values())
            kept = [arguments[0].detach()]
            version = arguments[0]._version

            def backward(gradient: torch.Tensor) -> None:
                self._layer_gradients(layer, kept.pop(), version, gradient)

            if not output.requires_grad:  # nothing below needs a gradient, but this layer does
                output.requires_grad_()
            output.register_hook(backward)  # type: ignore[no-untyped-call]

        handle = layer.module.register_forward_hook(forward)
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def spread(self, module: nn.Module, table: Broadcast, name: str) -> Iterator[None]:
        """Give each clip its own copy of a parameter "1 ...", with its own gradient."""
        local = table.parameter
        original = module._parameters[local]
        assert original is not None
        copies = nn.Parameter(original.detach().expand(self.clips, *original.shape[1:]))

        def project_and_free(parameter: torch.Tensor) -> None:
            if parameter.grad is not None:
                self.sums.add(name, parameter.grad[: self.sums.clips])
                parameter.grad = None

        def check(layer: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
            if not table.fits(layer, arguments, options):
                raise NotSeparableError(f"{name} meets more than one timestep per clip")

        copies.register_post_accumulate_grad_hook(project_and_free)
        checking = module.register_forward_pre_hook(check, with_kwargs=True)
        module._parameters[local] = copies
        try:
            yield
        finally:
            checking.remove()
            module._parameters[local] = original

    def _layer_gradients(
        self, layer: _Layer, x: torch.Tensor, version: int, gradient: torch.Tensor
    ) -> None:
        if x._version != version:
            raise NotSeparableError(
                f"the input of the layer of {next(iter(layer.names.values()))} is changed in "
                "place; use batch 1"
            )
        wanted = self.sums.clips
        x, gradient = (t[: len(t) // self.clips * wanted] for t in (x, gradient))
        with torch.no_grad():
            for local, gradients in layer.rule(layer.module, x, gradient, wanted):
                if local in layer.names:
                    self._add(layer.names[local], gradients)

    def _add(self, name: str, gradients: torch.Tensor) -> None:
        self._calls[name] -= 1
        if name in self._parts:
            gradients = gradients + self._parts.pop(name)
        if self._calls[name]:
            self._parts[name] = gradients
        else:
            self.sums.add(name, gradients)


def automatic_batch(model: nn.Module, positions: int) -> int:
    """How many clips at a time are fastest: several where one would not fill the device.

    Args:
        model: The network, on its device.
        positions: Of the latent grid, frames x height x width.
    """
    parameters = list(model.parameters())
    small = sum(p.numel() for p in parameters) <= _SMALL_MODEL and positions <= _SMALL_CLIP
    return AUTOMATIC_BATCH if small and parameters[0].device.type == "cpu" else 1


def disagreement(batched: Collected, alone: Collected, tolerance: float) -> str | None:
    """What differs between two ways to compute the same gradient; None: nothing.

    Args:
        batched: Of a clip, from a batch.
        alone: Of the same clip by itself.
        tolerance: Relative; norms of parameters may also differ by a hundredth of it, relative to
            that of the whole gradient.
    """
    total = alone.squared_norm**0.5
    for name in {**alone.squared_norms, **batched.squared_norms}:
        one, other = (found.squared_norms.get(name, 0.0) ** 0.5 for found in (alone, batched))
        if not abs(one - other) <= tolerance * max(one, other) + 0.01 * tolerance * total:
            return f"gradient norm of {name} is {other:.4g} in a batch and {one:.4g} alone"
    distance = float((batched.projected - alone.projected).norm())
    length = float(alone.projected.norm())
    if not distance <= tolerance * length:
        return f"projected gradients differ by {distance:.2g} of {length:.2g}"
    return None


def _leads_with_one(module: nn.Module, local: str) -> bool:
    parameter = module._parameters[local]
    return parameter is not None and parameter.ndim > 1 and len(parameter) == 1

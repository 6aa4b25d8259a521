"""Project each parameter's gradient when backward produces it, and free it at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch

from motive.errors import ClipError, UsageError
from motive.gradients.sums import Collected, GradientSums
from motive.projection import Projection

ALL_PARAMETERS = ".*"
REST = "rest"  # group of the parameters that the groups' regular expression does not find


class GradientCollector:
    """Turns backward passes of one module into projected gradients.

    Only parameters whose name matches the regular expression are attributed, frozen or not; the
    others neither receive nor store gradients while the collector is active. A parameter shared by
    two modules counts once, under its first name. A parameter that a pass does not reach
    contributes zero. Adapters are attributed alone with the pattern "lora".

    Args:
        module: The network to attribute.
        projection: A linear projection (see `motive.projection`).
        pattern: Regular expression searched in parameter names; default all.
        groups: Regular expression that sorts parameters into groups, which are projected
            separately as well (see `parameter_groups`); None: no groups.

    Raises:
        UsageError: A pattern is malformed or matches no parameter.

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
        self,
        module: torch.nn.Module,
        projection: Projection,
        pattern: str = ALL_PARAMETERS,
        *,
        groups: str | None = None,
    ) -> None:
        self.module, self.projection = module, projection
        self.parameters = attributed_parameters(module, pattern)
        self.groups = {} if groups is None else parameter_groups(self.parameters, groups)
        self._sums = GradientSums(projection)

    @property
    def size(self) -> int:
        """D, the number of attributed coordinates."""
        return sum(parameter.numel() for parameter in self.parameters.values())

    @contextmanager
    def active(self) -> Iterator[GradientCollector]:
        """Install the hooks; the module's `requires_grad` flags are restored afterwards."""
        handles = []
        with only_requiring_gradients(self.module, self.parameters.values()):
            try:
                for name, parameter in self.parameters.items():
                    handles.append(
                        parameter.register_post_accumulate_grad_hook(self._project_and_free(name))
                    )
                yield self
            finally:
                for handle in handles:
                    handle.remove()

    def collect(self, loss: Callable[[], torch.Tensor]) -> Collected:
        """Run forward and backward of a scalar loss, and return its projected gradient.

        Raises:
            UsageError: The loss does not depend on the parameters, or a gradient has a dtype or
                layout that cannot be projected; the message names the parameter.
            ClipError: A gradient is not finite; the message names the parameter.
        """
        self._sums = self._new_sums()
        try:
            loss().backward()  # type: ignore[no-untyped-call]
            found = self._sums.results()[0]
        finally:
            # An interrupted pass must not leak half a gradient into the next clip.
            self._sums = GradientSums(self.projection)
            for parameter in self.parameters.values():
                parameter.grad = None
        if isinstance(found, ClipError):
            raise found
        return found

    def _new_sums(self) -> GradientSums:
        """What adds up the gradients of one pass."""
        return GradientSums(self.projection, groups=self.groups)

    def _project_and_free(self, name: str) -> Callable[[torch.Tensor], None]:
        def hook(parameter: torch.Tensor) -> None:
            gradient = parameter.grad
            if gradient is not None:
                parameter.grad = None
                self._sums.add(name, gradient.unsqueeze(0))

        return hook


def attributed_parameters(
    module: torch.nn.Module, pattern: str = ALL_PARAMETERS
) -> dict[str, torch.nn.Parameter]:
    """Parameters by name whose name the regular expression is found in, in the module's order.

    Raises:
        UsageError: The pattern is malformed or matches no parameter.
    """
    compiled = _compiled(pattern, "parameter pattern")
    found = {
        name: parameter
        for name, parameter in module.named_parameters()
        if compiled.search(name) and parameter.dtype.is_floating_point
    }
    if not found:
        example = next((name for name, _ in module.named_parameters()), "(none)")
        raise UsageError(
            f"parameter pattern {pattern!r} matches no parameter; names look like {example!r}"
        )
    return found


def parameter_groups(names: Iterable[str], pattern: str) -> dict[str, str]:
    r"""The group of each parameter: what the regular expression captures in its name.

    What is captured is joined with dots; without parentheses it is the whole match. Parameters that
    the expression does not find make the group "rest", so every parameter is in exactly one group.

    Raises:
        UsageError: The pattern is malformed or matches no parameter.

    Example:
        >>> names = ["blocks.0.attn1.to_q.weight", "blocks.1.ffn.net.2.bias", "proj_out.bias"]
        >>> list(parameter_groups(names, r"^blocks\.\d+").values())
        ['blocks.0', 'blocks.1', 'rest']
        >>> list(parameter_groups(names, r"\.(attn\d|ffn)\.").values())
        ['attn1', 'ffn', 'rest']
    """
    compiled = _compiled(pattern, "parameter groups")
    groups = {}
    for name in names:
        found = compiled.search(name)
        captured = [text for text in found.groups() if text] if found else []
        groups[name] = (".".join(captured) or found.group()) if found else REST
    if set(groups.values()) <= {REST}:
        example = next(iter(groups), "(none)")
        raise UsageError(
            f"parameter groups {pattern!r}: matches no parameter; names look like {example!r}"
        )
    return groups


@contextmanager
def only_requiring_gradients(
    module: torch.nn.Module, chosen: Iterable[torch.nn.Parameter]
) -> Iterator[None]:
    """Let exactly the chosen parameters require gradients; flags are restored afterwards."""
    flags = {parameter: parameter.requires_grad for parameter in module.parameters()}
    identities = {id(parameter) for parameter in chosen}
    try:
        for parameter in flags:
            parameter.requires_grad_(id(parameter) in identities)
            parameter.grad = None
        yield
    finally:
        for parameter, flag in flags.items():
            parameter.grad = None
            parameter.requires_grad_(flag)


def _compiled(pattern: str, what: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{what} {pattern!r}: {error}") from None

"""Adds up what the parameters contribute to the projected gradients of one or several clips.

Small gradients wait for each other, up to 4 MB in all, and are projected in one call: on a CPU the
bookkeeping of a call costs twenty times what a bias takes to project.

Invariant: sums are taken in float64 in the order of the calls, so what waited for what decides no
bit of a float32 result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch

from motive.errors import ClipError, UsageError
from motive.projection import Projection
from motive.projection.rows import has_row_kernel, project_rows

_WAITING_ELEMENTS = 1 << 20


@dataclass(frozen=True)
class Collected:
    """What one backward pass leaves behind of one clip.

    Attributes:
        projected: P g, "d" float32 on the CPU.
        squared_norm: ‖g‖² of the unprojected gradient.
        parameters: How many parameter tensors received a gradient.
        groups: The same for each group of parameters; the projected ones add up to the whole.
        squared_norms: ‖g‖² of each parameter that received a gradient.
    """

    projected: torch.Tensor
    squared_norm: float
    parameters: int
    groups: Mapping[str, Collected] = field(default_factory=dict)
    squared_norms: Mapping[str, float] = field(default_factory=dict)


class GradientSums:
    """The sums of one backward pass.

    Args:
        projection: See `motive.projection`.
        clips: n.
        groups: Parameter name -> its group; empty: no groups.
    """

    def __init__(
        self, projection: Projection, clips: int = 1, groups: Mapping[str, str] | None = None
    ) -> None:
        self.projection, self.clips, self.groups = projection, clips, groups or {}
        self._sums: dict[str | None, torch.Tensor] = {}  # "n d" of each group, and of all: None
        self._squared_norms: dict[str, torch.Tensor] = {}  # "n"
        self._waiting: list[tuple[str, torch.Tensor]] = []
        self._waiting_elements = 0
        self._kind: tuple[object, ...] = ()
        self._can_wait = False
        self._names: set[str] = set()

    def add(self, name: str, gradients: torch.Tensor) -> None:
        """Add the gradients "n ..." of one parameter; they are projected now or a little later.

        Raises:
            UsageError: A gradient that cannot be projected, or a second one of this parameter.
        """
        if name in self._names:
            raise UsageError(
                f"parameter {name}: its gradient comes in several parts, so its norm is unknown; "
                "use gradient checkpointing with use_reentrant=False"
            )
        self._names.add(name)
        kind = gradients.dtype, gradients.device, gradients.layout
        if kind != self._kind:  # only gradients of one kind can be projected in one call
            self._flush()
            self._kind, self._can_wait = kind, has_row_kernel(self.projection, gradients)
        if not self._can_wait:
            self._project([(name, gradients)])
            return
        self._waiting.append((name, gradients))
        self._waiting_elements += gradients.numel()
        if self._waiting_elements >= _WAITING_ELEMENTS:
            self._flush()

    def results(self) -> list[Collected | ClipError]:
        """The projected gradient of each clip, or why it has none.

        Raises:
            UsageError: Nothing was added.
        """
        self._flush()
        if not self._names:
            raise UsageError("the loss does not depend on any attributed parameter")
        # Read once, at the end: a look at each parameter would make a GPU wait for it.
        device = self._sums[None].device
        norms = [n if n.device == device else n.to(device) for n in self._squared_norms.values()]
        sums = {group: total.cpu() for group, total in self._sums.items()}
        table = torch.stack(norms, dim=1).double().cpu()  # (n, parameters)
        return [
            self._result({group: total[clip] for group, total in sums.items()}, table[clip])
            for clip in range(self.clips)
        ]

    def _flush(self) -> None:
        waiting, self._waiting, self._waiting_elements = self._waiting, [], 0
        if waiting:
            self._project(waiting)

    def _project(self, gradients: list[tuple[str, torch.Tensor]]) -> None:
        names = [name for name, _ in gradients]
        found = project_rows(self.projection, names, [gradient for _, gradient in gradients])
        self._squared_norms |= zip(names, found.squared_norms, strict=True)
        self._accumulate(None, found.projected)
        if not self.groups:
            return
        for group in dict.fromkeys(self.groups[name] for name in names if name in self.groups):
            members = [i for i, name in enumerate(names) if self.groups.get(name) == group]
            self._accumulate(group, found.projected[members])

    def _accumulate(self, group: str | None, contributions: torch.Tensor) -> None:
        """Add contributions "m n d" to a sum "n d"."""
        total = contributions.sum(0, dtype=torch.float64)
        known = self._sums.get(group)
        self._sums[group] = total if known is None else known + total.to(known.device)

    def _result(
        self, sums: Mapping[str | None, torch.Tensor], squared: torch.Tensor
    ) -> Collected | ClipError:
        norms = dict(zip(self._squared_norms, squared.tolist(), strict=True))
        projected = self._finished(sums[None])
        error = _not_finite(norms, squared, projected)
        if error is not None:
            return error
        groups = {}
        for group in dict.fromkeys(self.groups.values()):
            members = {n: norm for n, norm in norms.items() if self.groups.get(n) == group}
            part = sums.get(group, torch.zeros_like(sums[None]))
            groups[group] = _collected(self._finished(part), members)
        return _collected(projected, norms, groups)

    def _finished(self, total: torch.Tensor) -> torch.Tensor:
        return self.projection.finish(total.float()).float()


def _collected(
    projected: torch.Tensor,
    norms: Mapping[str, float],
    groups: Mapping[str, Collected] | None = None,
) -> Collected:
    return Collected(projected, sum(norms.values()), len(norms), groups or {}, norms)


def _not_finite(
    names: Iterable[str], squared_norms: torch.Tensor, projected: torch.Tensor
) -> ClipError | None:
    """What is wrong with a gradient that is not finite, naming its first such parameter.

    Args:
        names: Of the parameters.
        squared_norms: ‖g‖² of each.
        projected: P g.
    """
    finite = squared_norms.isfinite().tolist()
    bad = [name for name, good in zip(names, finite, strict=True) if not good]
    if bad:
        others = f" (and of {len(bad) - 1} more parameters)" if len(bad) > 1 else ""
        return ClipError(f"gradient of {bad[0]}{others} is not finite; try --dtype float32")
    if not projected.isfinite().all():
        return ClipError("projected gradient is not finite: too large for float32")
    return None

"""Features of a model whose parameters are spread over several processes (DTensor, FSDP2).

Every process runs the same clip, projects the slice of each gradient that it holds, and the sums of
D' numbers are added up over the processes, once per clip. That is exact: the projection is linear
and its randomness belongs to places in a parameter, whoever holds them.

Invariant: each coordinate of the gradient is counted by exactly one process.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any, NamedTuple

import torch

from motive.backbones import Backbone, TextEmbedding
from motive.errors import ClipError, MotiveError, UsageError
from motive.gradients.collector import ALL_PARAMETERS, GradientCollector
from motive.gradients.features import Feature, Featurizer
from motive.gradients.objective import Objective
from motive.gradients.sums import Collected, GradientSums
from motive.projection import ShardProjection
from motive.ranks import Ranks


class GradientSlice(NamedTuple):
    """The part of a parameter's gradient that one process accounts for.

    Attributes:
        values: Flat, on the device of the gradient; may be empty.
        start: Place of the first value in the flattened parameter.
    """

    values: torch.Tensor
    start: int


def gradient_slice(name: str, gradient: torch.Tensor, rank: int, size: int) -> GradientSlice:
    """Cut a gradient such that all processes together hold each coordinate once.

    Rows (dimension 0 sharded, evenly or not) are taken where they are; processes that hold the same
    rows divide them. A gradient in any other layout (columns of a tensor-parallel layer, pending
    sums) is gathered first, this one parameter at a time.

    Args:
        name: Of the parameter, for messages.
        gradient: A DTensor over all processes, or a plain tensor that every process holds whole.
        rank: Number of this process.
        size: Count of processes.

    Raises:
        UsageError: The parameter is spread over some of the processes only.
    """
    from torch.distributed.tensor import DTensor, Replicate, Shard
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    if not isinstance(gradient, DTensor):
        return _share(gradient.detach().reshape(-1), 0, rank, size)
    mesh, placements = gradient.device_mesh, gradient.placements
    if mesh.size() != size:
        raise UsageError(
            f"parameter {name}: spread over {mesh.size()} of {size} processes; shard every "
            "parameter over all of them"
        )
    if any(type(p) is not Replicate and p != Shard(0) for p in placements):
        placements = (Replicate(),) * mesh.ndim
        gradient = gradient.redistribute(placements=placements)
    _, offset = compute_local_shape_and_global_offset(gradient.shape, mesh, placements)
    start = offset[0] * prod(gradient.shape[1:]) if offset else 0
    copies, place = 1, 0
    for count, coordinate, placement in zip(
        mesh.shape, mesh.get_coordinate() or (), placements, strict=True
    ):
        if placement.is_replicate():
            copies, place = copies * count, place * count + coordinate
    return _share(gradient.to_local().detach().reshape(-1), start, place, copies)


def _share(flat: torch.Tensor, start: int, place: int, copies: int) -> GradientSlice:
    """The part of `flat` that is left to one of several holders of the same values."""
    first, last = (flat.numel() * n // copies for n in (place, place + 1))
    return GradientSlice(flat[first:last], start + first)


class ShardedSums(GradientSums):
    """The sums of one backward pass over all processes.

    Args:
        projection: One that takes slices of parameters.
        names: The attributed parameters, in an order that all processes share.
        ranks: The processes.
        groups: Parameter name -> its group; empty: no groups.
    """

    projection: ShardProjection

    def __init__(
        self,
        projection: ShardProjection,
        names: Iterable[str],
        ranks: Ranks,
        groups: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(projection, 1, groups)
        self.order, self.ranks = list(names), ranks

    def _project(self, gradients: list[tuple[str, torch.Tensor]]) -> None:
        for name, rows in gradients:
            gradient = rows[0]
            values, start = gradient_slice(name, gradient, self.ranks.rank, self.ranks.size)
            wide = values if values.dtype == torch.float64 else values.float()
            self._squared_norms[name] = wide.square().sum()[None]
            contribution = torch.zeros(self.projection.dim, device=values.device)
            if values.numel():
                contribution = self.projection.partial(name, values, start, gradient.numel())
            for group in {None, self.groups.get(name)}:
                self._accumulate(group, contribution[None, None])

    def results(self) -> list[Collected | ClipError]:
        """As `GradientSums.results`, of the whole model; one sum over the processes."""
        self._flush()
        if not self._names:  # in no process, since all compute the same
            return super().results()
        names = [name for name in self.order if name in self._squared_norms]
        groups = [None, *dict.fromkeys(self.groups.values())]
        nothing = torch.zeros(1, self.projection.dim)
        parts = [self._sums.get(group, nothing)[0] for group in groups]
        parts += [self._squared_norms[name] for name in names]
        total = torch.cat([part.to(self.ranks.device, torch.float64) for part in parts])
        total = self.ranks.sum(total)
        sums, norms = total[: -len(names)].view(len(groups), 1, -1), total[-len(names) :]
        self._sums = dict(zip(groups, sums, strict=True))
        self._squared_norms = dict(zip(names, norms[:, None], strict=True))
        return super().results()


class ShardedCollector(GradientCollector):
    """A `GradientCollector` whose module is spread over processes; all must collect together.

    Args:
        module: A module with DTensor parameters (any layout).
        projection: One that takes slices of parameters.
        pattern: Regular expression searched in parameter names.
        ranks: The processes.
        groups: As for `GradientCollector`.
    """

    projection: ShardProjection

    def __init__(
        self,
        module: torch.nn.Module,
        projection: ShardProjection,
        pattern: str = ALL_PARAMETERS,
        *,
        ranks: Ranks,
        groups: str | None = None,
    ) -> None:
        self.ranks = ranks
        super().__init__(module, projection, pattern, groups=groups)

    def _new_sums(self) -> ShardedSums:
        return ShardedSums(self.projection, self.parameters, self.ranks, self.groups)


class ShardedFeaturizer(Featurizer):
    """A `Featurizer` for a backbone placed over several processes.

    The leader calls `feature` as usual; each call is sent to the followers, which are in `follow`
    and run the same clip with it. Every process computes the whole forward and backward pass:
    sharding saves memory, not time.

    Args:
        backbone: Loaded with the placement `sharded`.
        projection: One that takes slices of parameters.
        objective: The fixed (t, ε) and the loss.
        ranks: The processes.
        parameters: Regular expression of attributed parameter names.
        groups: Regular expression that sorts them into groups (see `parameter_groups`).
        checkpointing: Recompute activations in backward.
    """

    def __init__(
        self,
        backbone: Backbone,
        projection: ShardProjection,
        objective: Objective,
        *,
        ranks: Ranks,
        parameters: str = ALL_PARAMETERS,
        groups: str | None = None,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(
            backbone, projection, objective, parameters=parameters, checkpointing=checkpointing
        )
        self.ranks = ranks
        self.collector = ShardedCollector(
            backbone.transformer, projection, parameters, ranks=ranks, groups=groups
        )

    @contextmanager
    def ready(self) -> Iterator[Featurizer]:
        """As `Featurizer.ready`."""
        with warnings.catch_warnings():
            # Holds for in-place changes of a layer's output; no attributed model makes any.
            warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
            with super().ready():
                yield self

    def feature(
        self,
        latents: torch.Tensor,
        text: TextEmbedding,
        weights: torch.Tensor | None,
        frames: int,
    ) -> Feature:
        """The feature of one clip; see `Featurizer.feature`."""
        if self.ranks.leads:
            self.ranks.send((latents, text, weights, frames))
        return self._in_step(latents, text, weights, frames)

    def follow(self) -> None:
        """In a follower: take part in every feature until the leader sends None."""
        with self.ready():
            while (inputs := self.ranks.receive()) is not None:
                try:
                    self._in_step(*inputs)
                except ClipError:
                    continue  # the leader has the same error, and records it

    def _in_step(self, *inputs: Any) -> Feature:
        """One feature; any error that is not the same in every process ends them all."""
        self.ranks.working = True
        try:
            feature = super().feature(*inputs)
        except ClipError:  # found in what all have summed up, so in every process
            self.ranks.working = False
            raise
        except torch.OutOfMemoryError as error:
            # Going on with less memory, as one process would, needs all to do so at once.
            raise MotiveError(
                f"out of memory in process {self.ranks.rank} of {self.ranks.size} "
                f"({str(error).splitlines()[0]:.80}); try --checkpointing, --dtype bfloat16 or "
                "more processes"
            ) from error
        self.ranks.working = False
        return feature

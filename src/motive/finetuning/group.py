"""The processes that train together: one, or those that `accelerate launch` started.

Gradients are averaged by hand after the last pass of an update, so the model is never wrapped: its
parameters keep their names, and one process or eight save the same files.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypeVar

import torch

from motive.errors import UsageError

_Item = TypeVar("_Item")
_PATIENCE = timedelta(hours=6)  # others wait while the first process generates samples


class Group:
    """This process among its peers.

    Args:
        device: "auto", "cpu", "cuda" or "cuda:N"; with several processes each gets its own.

    Attributes:
        rank: Number of this process, 0 for the one that writes files.
        count: Processes in all.
        device: Where this process should put the model, as `load_backbone` takes it.

    Raises:
        UsageError: They were started for sharded training.
    """

    def __init__(self, device: str = "auto") -> None:
        from accelerate import PartialState
        from accelerate.utils import DistributedType

        self._state = PartialState(cpu=device == "cpu", timeout=_PATIENCE)
        kind = self._state.distributed_type
        if kind == DistributedType.DEEPSPEED:
            raise UsageError("accelerate launch: DeepSpeed is not supported; use --multi_gpu")
        self.rank, self.count = self._state.process_index, self._state.num_processes
        self.device = device if self.count == 1 else str(self._state.device)

    @property
    def first(self) -> bool:
        """Whether this process writes files and reports progress."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when every process is here."""
        self._state.wait_for_everyone()

    def average(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in place."""
        if self.count == 1:
            return
        for tensor in tensors:
            torch.distributed.all_reduce(tensor)
            tensor /= self.count

    def collect(self, items: list[_Item]) -> list[_Item]:
        """The items of all processes, those of the first process first, on every process."""
        if self.count == 1:
            return items
        parts: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(parts, items)
        return [item for part in parts for item in part]

"""The processes that one `torchrun` started: the first leads, the others do what it sends.

Invariant: only the leader reads data and writes files. A follower waits for messages, so the leader
may prepare clips for hours, and it needs no other storage than the model's folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from motive.errors import UsageError

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

_PATIENCE = timedelta(days=30)  # a follower may wait for all clips to be decoded


class Ranks:
    """One process among those that share a model.

    Made by `launched`, or around a process group that exists already.

    Args:
        device: Where this process computes.

    Attributes:
        rank: Number of this process, from 0.
        size: Count of processes.
        device: Where this process computes.
        working: Between a message and the end of the work it asks for: if this process fails then,
            the others wait inside that work, and no message reaches them.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._control = dist.new_group(backend="gloo", timeout=_PATIENCE)
        self._mesh: DeviceMesh | None = None
        self.working = False

    @property
    def leads(self) -> bool:
        """Whether this is the process that reads data and writes files."""
        return self.rank == 0

    @property
    def mesh(self) -> DeviceMesh:
        """All processes in one dimension; all must ask for it, the first time."""
        if self._mesh is None:
            from torch.distributed.device_mesh import init_device_mesh

            self._mesh = init_device_mesh(self.device.type, (self.size,))
        return self._mesh

    def send(self, message: object) -> None:
        """From the leader to all followers; anything that can be pickled."""
        dist.broadcast_object_list([message], src=0, group=self._control)

    def receive(self) -> Any:
        """In a follower: wait for the leader's next message."""
        box: list[Any] = [None]
        dist.broadcast_object_list(box, src=0, group=self._control)
        return box[0]

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of a vector over all processes, in place; all must call it."""
        dist.all_reduce(values)
        return values


@contextmanager
def launched(shard: bool, device: str = "auto") -> Iterator[Ranks | None]:
    """Join the other processes of a `torchrun` for the duration of the block.

    When the leader leaves the block, it sends None: followers then end.

    Args:
        shard: Whether the user asked for it; without, nothing is joined and None is given.
        device: "auto", "cpu" or "cuda".

    Raises:
        UsageError: Asked for without torchrun, or not asked for under torchrun.
    """
    if not shard:
        count = _environment("WORLD_SIZE")
        if count > 1 and dist.is_available() and dist.is_torchelastic_launched():
            raise UsageError(
                f"started by torchrun as {count} processes: add --shard to spread the model over "
                "them, or start the command without torchrun"
            )
        yield None
        return
    if not {"RANK", "WORLD_SIZE"} <= set(os.environ):
        raise UsageError(
            "--shard spreads the model over the processes of torchrun; start the command with, "
            "for example, torchrun --nproc-per-node 8 -m motive index RUN --shard"
        )
    if not dist.is_available() or not dist.is_gloo_available():
        raise UsageError("--shard: this PyTorch was built without torch.distributed and gloo")
    own = _own_device(device)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    dist.init_process_group("cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo")
    ranks = Ranks(own)
    try:
        yield ranks
    except KeyboardInterrupt:
        ranks.working = True  # the others were interrupted too, and receive nothing
        raise
    finally:
        if ranks.leads and not ranks.working:
            ranks.send(None)
        if not ranks.working:
            dist.destroy_process_group()


def _own_device(device: str) -> torch.device:
    """One CUDA device per process of a machine, or the CPU for all."""
    found = torch.cuda.is_available()
    kind = ("cuda" if found else "cpu") if device == "auto" else device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"device {device!r}: --shard works on cuda and cpu")
    if kind == "cpu":
        return torch.device("cpu")
    if not found:
        raise UsageError("--device cuda: this PyTorch sees no CUDA device; use --device cpu")
    if ":" in device:
        raise UsageError(f"device {device!r}: with --shard each process takes its own; use cuda")
    local, count = _environment("LOCAL_RANK"), torch.cuda.device_count()
    if local >= count:
        raise UsageError(
            f"process {local + 1} of this machine finds {count} CUDA devices; start torchrun with "
            f"--nproc-per-node {max(count, 1)}, or use --device cpu"
        )
    return torch.device("cuda", local)


def _environment(name: str) -> int:
    """What torchrun told this process."""
    return int(os.environ.get(name, "0"))

"""How much memory a piece of work needs beyond what it found."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from types import TracebackType

import torch

_STATUS = Path("/proc/self/statm")
_INTERVAL = 0.002  # seconds between two looks at a CPU process


class PeakMemory:
    """Measures a block of code.

    On CUDA the allocator's own record; on a CPU the resident memory of the process, looked at 500
    times a second (Linux only), so that shorter peaks may be missed.

    Args:
        device: Where the work is done.

    Attributes:
        bytes: Most memory in use within the block, less that before it; None where it cannot be
            measured. Set when the block ends.

    Example:
        >>> with PeakMemory(torch.device("cpu")) as memory:
        ...     _ = torch.zeros(1 << 24).sum()
        >>> memory.bytes is None or memory.bytes >= 0
        True
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.bytes: int | None = None
        self._before = self._peak = 0
        self._done = threading.Event()
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> PeakMemory:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        elif _STATUS.exists():
            _return_free_memory()
            self._before = self._peak = _resident()
            self._watcher = threading.Thread(target=self._watch, daemon=True)
            self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.device.type == "cuda":
            self._peak = torch.cuda.max_memory_allocated(self.device)
        elif self._watcher is not None:
            self._done.set()
            self._watcher.join()
        else:
            return
        self.bytes = max(self._peak - self._before, 0)

    def _watch(self) -> None:
        while True:
            self._peak = max(self._peak, _resident())
            if self._done.wait(_INTERVAL):
                return


def available_memory(device: torch.device) -> int | None:
    """Bytes that are free on a device, or None where that cannot be told."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    info = Path("/proc/meminfo")
    if not info.exists():
        return None
    lines = (line.split() for line in info.read_text("ascii").splitlines())
    return next((int(words[1]) << 10 for words in lines if words[0] == "MemAvailable:"), None)


def _resident() -> int:
    return int(_STATUS.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _return_free_memory() -> None:
    """Give memory that was freed back to the system, or the next peak would hide in it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)

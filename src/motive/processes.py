"""Worker processes, one thread each: more cores without other numbers.

Invariant: torch runs on one thread in every worker and, inside `one_thread`, here too. More threads
change the order in which long sums are added, and with it their last bits.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import cv2
import torch

from motive.errors import MotiveError

_Result = TypeVar("_Result")
_AHEAD = 3  # calls per process that are under way or wait for it


def _begin_worker() -> None:
    """One thread for torch and OpenCV, and no life without the parent.

    The queues of a pool stay open while any worker holds them, so the workers of a killed parent
    would wait for work for ever, with a model in memory each.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)  # nobody is left to tell

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread for the duration of the block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Workers:
    """Worker processes, spawned when first needed and kept until `close`.

    Spawned, not forked: a forked torch may hang in its thread pool. A script that uses them needs
    `if __name__ == "__main__":`.

    Args:
        count: Processes.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    def as_completed(
        self, function: Callable[..., _Result], calls: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[int, _Result]]:
        """Call a function many times; calls that have not begun are dropped if the caller stops.

        Args:
            function: Found by name in its module, with arguments and results that can be pickled.
            calls: Arguments of each call, taken from the iterable shortly before they are needed,
                so that any number of them takes no memory.

        Yields:
            (number of the call, result), in the order in which results are ready.

        Raises:
            MotiveError: A process died; an error raised by a call is raised here.
        """
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.count,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin_worker,
            )
        pool, numbers = self._pool, dict[Future[_Result], int]()
        coming = enumerate(calls)
        try:
            while True:
                for number, call in islice(coming, _AHEAD * self.count - len(numbers)):
                    numbers[pool.submit(function, *call)] = number
                if not numbers:
                    return
                done, _ = wait(numbers, return_when=FIRST_COMPLETED)
                for future in done:
                    yield numbers.pop(future), future.result()
        except BrokenProcessPool:
            self.close()
            raise MotiveError(
                "a worker process died (out of memory?); use fewer workers and run again, nothing "
                "already computed is lost"
            ) from None
        finally:
            for future in numbers:
                future.cancel()

    def close(self) -> None:
        """End the processes; the next call starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def as_completed(
    workers: int, function: Callable[..., _Result], calls: Iterable[tuple[Any, ...]]
) -> Iterator[tuple[int, _Result]]:
    """`Workers.as_completed` with processes that end with the iteration."""
    with Workers(workers) as processes:
        yield from processes.as_completed(function, calls)

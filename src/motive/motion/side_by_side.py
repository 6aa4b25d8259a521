"""Frames worked on side by side, on as many threads as OpenCV may use.

Invariant: results come in the order of the frames and are the same for any number of threads; each
frame's work must depend on nothing that another's writes. OpenCV, NumPy and torch let go of the
interpreter while they compute, so threads are enough.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2
import torch

_Result = TypeVar("_Result")
_AHEAD = 2  # results per thread that may wait to be taken


def side_by_side(work: Callable[[int], _Result], count: int) -> Iterator[_Result]:
    """Results of `work(0)` to `work(count - 1)`, in that order.

    Only a few results wait at a time, so that memory does not grow with the number of frames.
    Meanwhile OpenCV and torch use one thread per frame.

    Args:
        work: What to do with a frame, given its number.
        count: Number of frames.
    """
    with ONE_THREAD_EACH as threads:
        if threads < 2 or count < 2:
            yield from map(work, range(count))
            return
        waiting: deque[Future[_Result]] = deque()
        with ThreadPoolExecutor(min(threads, count)) as pool:
            for number in range(count):
                waiting.append(pool.submit(work, number))
                if len(waiting) >= _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


class OneThreadEach:
    """OpenCV and torch on one thread, until the last of those who asked for it has left.

    Their own threads would fight for the cores with those that work on the other frames, and wait
    for each other by spinning. Entering tells how many threads OpenCV had.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = (1, 1)

    def __enter__(self) -> int:
        with self._lock:
            threads = cv2.getNumThreads()
            if not self._inside:
                self._before = threads, torch.get_num_threads()
                cv2.setNumThreads(1)
                torch.set_num_threads(1)
            self._inside += 1
            return threads

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                cv2.setNumThreads(self._before[0])
                torch.set_num_threads(self._before[1])


ONE_THREAD_EACH = OneThreadEach()

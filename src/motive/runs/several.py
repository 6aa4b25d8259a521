"""Several clips at once, where one does not keep the machine busy.

Invariant: results come in the order asked for and do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from motive.clips import ClipStandard
from motive.motion.side_by_side import ONE_THREAD_EACH, side_by_side

_Result = TypeVar("_Result")
_SMALL = 1 << 20  # pixels of a clip; the frames of a larger one are worked on side by side


def several_at_once(
    work: Callable[[int], _Result], count: int, standard: ClipStandard
) -> Iterator[_Result]:
    """Results of `work(0)` to `work(count - 1)`, in that order.

    Small clips are worked on side by side, each on one thread; larger ones one by one, since each
    takes much memory and uses all threads by itself.

    Args:
        work: What to do with a clip, given its number.
        count: Number of clips.
        standard: Their shape.
    """
    return side_by_side(work, count) if _is_small(standard) else map(work, range(count))


@contextmanager
def as_among_several(standard: ClipStandard) -> Iterator[None]:
    """One small clip by itself, on the one thread that it has among several.

    The number of threads changes the last bits of a convolution. So a clip that has to be made
    again later (its cache entry was deleted) gets the same bits.
    """
    with ONE_THREAD_EACH if _is_small(standard) else nullcontext():
        yield


def _is_small(standard: ClipStandard) -> bool:
    return standard.frames * standard.height * standard.width <= _SMALL

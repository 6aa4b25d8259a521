"""Several clips at once, where one does not keep the machine busy.

Invariant: results come in the order asked for and do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from motive.clips import ClipStandard
from motive.motion.side_by_side import side_by_side

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
    if standard.frames * standard.height * standard.width <= _SMALL:
        return side_by_side(work, count)
    return map(work, range(count))

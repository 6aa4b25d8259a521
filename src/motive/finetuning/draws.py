"""Everything random in a training: which clip comes when, at which noise level, with which noise.

Invariant: nested common random numbers. The noise, the noise level and the place of a clip in an
epoch are functions of (seed, clip id, epoch) alone, never of the other clips and never of a state
that lives between steps. So two sets that share clips share those clips' randomness, and a training
that was killed and continued draws what it would have drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

Visit = tuple[str, int]  # clip id, epoch

_GOLDEN = (5.0**0.5 - 1.0) / 2.0


class Visits:
    """The order in which clips are trained on: epoch after epoch, every clip once in each.

    Args:
        chosen: Clip ids, each once; their order does not matter.
        seed: Of the order.

    Example:
        >>> visits = Visits(["a", "b", "c"], seed=0)
        >>> sorted(visits.span(0, 3)) == [("a", 0), ("b", 0), ("c", 0)]
        True
    """

    def __init__(self, chosen: Sequence[str], seed: int) -> None:
        self.chosen, self.seed = sorted(chosen), seed
        self._epoch, self._order = -1, list[str]()

    def span(self, first: int, count: int) -> list[Visit]:
        """Visits number first, first + 1, ..., counted from 0."""
        return [self._visit(number) for number in range(first, first + count)]

    def _visit(self, number: int) -> Visit:
        epoch, place = divmod(number, len(self.chosen))
        if epoch != self._epoch:
            keyed = sorted(
                (draws(self.seed, clip, epoch, "place").random(), clip) for clip in self.chosen
            )
            self._epoch, self._order = epoch, [clip for _, clip in keyed]
        return self._order[place], epoch


def noise_levels(seed: int, visits: Sequence[Visit]) -> torch.Tensor:
    """Levels u in [0, 1) of each visit, "b": uniform over seeds, even over a clip's epochs."""
    return torch.tensor([_level(seed, *visit) for visit in visits])


def training_noise(shape: Sequence[int], seed: int, visits: Sequence[Visit]) -> torch.Tensor:
    """ε of each visit: standard normal, float32 "b", then `shape`; the same on every machine."""
    return torch.stack(
        [
            torch.from_numpy(
                draws(seed, *visit, "noise").standard_normal(tuple(shape), dtype=np.float32)
            )
            for visit in visits
        ]
    )


def draws(seed: int, clip_id: str, epoch: int, purpose: str) -> np.random.Generator:
    """The generator of one clip in one epoch for one purpose."""
    name = f"{seed}/{clip_id}/{epoch}/{purpose}".encode()
    key = int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key))


def _level(seed: int, clip_id: str, epoch: int) -> float:
    return float((draws(seed, clip_id, 0, "level").random() + epoch * _GOLDEN) % 1.0)

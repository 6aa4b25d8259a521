"""Which motion, decoy and caption clip k of a split gets.

Invariant: the plan of clip k depends on k and the shares alone, and every prefix is as balanced as
it can be, so a split may grow without changing what is there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from motive.errors import UsageError
from motive.zoo.motions import MOTIONS

DECOYS: tuple[str, ...] = ("static", "camera", "corner")
_SLACK = 1e-9  # shares such as 0.1 are not exact in binary


@dataclass(frozen=True)
class Plan:
    """What a clip is to show.

    Attributes:
        motion: One of `MOTIONS`; in static and camera decoys the motion whose first frame stands.
        decoy: None, "static", "camera" or "corner".
    """

    motion: str
    decoy: str | None

    @property
    def label(self) -> str:
        """The motion to be seen: "none" in static and camera decoys."""
        return "none" if self.decoy in ("static", "camera") else self.motion


def plan_clips(
    clips: int, *, decoys: float = 0.0, mixture: Mapping[str, float] | None = None
) -> list[Plan]:
    """Plan a split.

    Args:
        clips: How many.
        decoys: Share of decoys in [0, 1); the three kinds take turns.
        mixture: Weights of the motions, 0 for those left out; all ten equally by default, which
            makes clip k show motion k mod 10 where there are no decoys.

    Returns:
        One plan per clip.

    Raises:
        UsageError: A share or weight is out of range, or a motion unknown.
    """
    shares = _shares(mixture)
    if not 0.0 <= decoys < 1.0:
        raise UsageError(f"zoo: decoys is {decoys}; use a share from 0 up to, not including, 1")
    counts = dict.fromkeys(shares, 0)
    plans: list[Plan] = []
    fooling = 0
    for index in range(clips):
        if math.floor((index + 1) * decoys + _SLACK) > fooling:
            motion = MOTIONS[(fooling // len(DECOYS)) % len(MOTIONS)]
            plans.append(Plan(motion, DECOYS[fooling % len(DECOYS)]))
            fooling += 1
            continue
        due = index - fooling + 1
        # The motion that is furthest behind its share; the first of equals.
        motion = max(shares, key=lambda name: round(shares[name] * due - counts[name], 9))
        counts[motion] += 1
        plans.append(Plan(motion, None))
    return plans


def _shares(mixture: Mapping[str, float] | None) -> dict[str, float]:
    weights = dict.fromkeys(MOTIONS, 1.0) if mixture is None else dict(mixture)
    for name, weight in weights.items():
        if name not in MOTIONS:
            raise UsageError(
                f"zoo: mixture names {name!r}, which is no motion; choose from {', '.join(MOTIONS)}"
            )
        if not (weight >= 0.0 and math.isfinite(weight)):
            raise UsageError(f"zoo: mixture weight of {name} is {weight}; use a number from 0 on")
    total = sum(weights.values())
    if total <= 0.0:
        raise UsageError("zoo: mixture has no motion with a weight above 0")
    return {name: weights[name] / total for name in MOTIONS if weights.get(name, 0.0) > 0.0}

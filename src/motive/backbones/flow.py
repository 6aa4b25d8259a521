"""Noise levels of rectified flow: where on the way from data (0) to noise (1) a step is."""

from __future__ import annotations

from typing import TypeVar

import torch

_Level = TypeVar("_Level", float, torch.Tensor)


def shifted(level: _Level, shift: float) -> _Level:
    """Noise level after the shift of Wan's schedulers: σ = shift u / (1 + (shift − 1) u).

    Args:
        level: u in [0, 1].
        shift: Positive; above 1, more of the levels are high.

    Example:
        >>> shifted(0.5, 3.0)
        0.75
    """
    return shift * level / (1.0 + (shift - 1.0) * level)

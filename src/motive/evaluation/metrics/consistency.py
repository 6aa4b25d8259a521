"""Subject and background consistency: how much each frame looks like the first and the last one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch

from motive.evaluation.metrics.formulas import consistency_terms
from motive.evaluation.metrics.protocol import Opened, Readings

ONE_FRAME = "one frame; needs at least two"


class FrameFeatures(Protocol):
    """One feature per frame, uint8 "f h w 3" -> float32 "f d"."""

    @property
    def settings(self) -> Mapping[str, Any]: ...  # noqa: D102
    def __call__(self, frames: torch.Tensor) -> torch.Tensor: ...  # noqa: D102


class Consistency:
    """Mean over frames of ½ [max(0, cos to the previous) + max(0, cos to the first)].

    Args:
        key: "subject_consistency" with DINO ViT-B/16, "background_consistency" with CLIP ViT-B/32.
        features: The encoder.
    """

    def __init__(self, key: str, features: FrameFeatures) -> None:
        self.key, self.features = key, features

    @property
    def keys(self) -> tuple[str, ...]:
        """One metric."""
        return (self.key,)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The encoder's."""
        return {"formula": 1, "features": dict(self.features.settings)}

    def begin(self, video: Opened) -> PerFrame:
        """Collects the features, which are small."""
        return PerFrame(self.key, self.features, _mean_consistency)


class PerFrame:
    """Tally of a function that maps frames to rows, and rows to the video's value.

    Args:
        key: The metric.
        rows: uint8 "f h w 3" -> float "f ...".
        value: "f ..." -> the value, or why there is none.
    """

    def __init__(
        self,
        key: str,
        rows: Callable[[torch.Tensor], torch.Tensor],
        value: Callable[[np.ndarray], float | str],
    ) -> None:
        self.key, self.rows, self.value = key, rows, value
        self.collected: list[np.ndarray] = []

    def add(self, frames: np.ndarray) -> None:
        """Take the next frames."""
        self.collected.append(self.rows(torch.from_numpy(frames)).numpy())

    def finish(self) -> Readings:
        """The one metric."""
        return {self.key: self.value(np.concatenate(self.collected))}


def _mean_consistency(features: np.ndarray) -> float | str:
    if len(features) < 2:
        return ONE_FRAME
    return float(consistency_terms(features).mean())

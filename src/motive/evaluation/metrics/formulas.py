"""VBench's six dimensions as pure functions of features, flows and frames.

Invariant: nothing here loads a model or a video. Every formula is that of VBench 0.1.5 (Huang et
al., CVPR 2024, and its source of March 2026), including its rounding, so that with VBench's own
networks the numbers are VBench's. Scores are in [0, 1]; papers print them times 100.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SAMPLED_FPS = 8  # dynamic degree looks at about this many frames per second
_TOP = 0.05  # share of the largest flow magnitudes that counts
_THRESHOLD = 6.0  # px per sampled frame, for a shorter side of 256 px
_REFERENCE_SIDE = 256.0


def consistency_terms(features: np.ndarray) -> np.ndarray:
    """s_t = ½ [max(0, cos(f_t, f_{t-1})) + max(0, cos(f_t, f_0))] for every frame but the first.

    Subject consistency with DINO ViT-B/16, background consistency with CLIP ViT-B/32; a video's
    score is the mean.

    Args:
        features: float "f d", one row per frame.

    Returns:
        float64 "f-1" in [0, 1].
    """
    rows = features.astype(np.float64)
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    previous = np.maximum(0.0, (unit[1:] * unit[:-1]).sum(axis=1))
    first = np.maximum(0.0, unit[1:] @ unit[0])
    return (previous + first) / 2.0


def smoothness(differences: Sequence[float]) -> float:
    """(255 − mean of mean |I_odd − Î_odd|) / 255; Î is interpolated between the even neighbours.

    Args:
        differences: For every dropped frame, its mean absolute difference in grey levels.
    """
    return (255.0 - float(np.mean(differences))) / 255.0


def sampling_interval(fps: float) -> int:
    """Every how many frames dynamic degree looks: max(1, round(fps / 8)), halves to even.

    Example:
        >>> [sampling_interval(fps) for fps in (4, 8, 12, 16, 24, 30)]
        [1, 1, 2, 2, 3, 4]
    """
    return max(1, round(fps / SAMPLED_FPS))


def top_magnitude(flow: np.ndarray) -> float:
    """Mean of the largest 5 % of the flow's magnitudes, in pixels.

    Args:
        flow: float "h w 2".
    """
    magnitude = np.hypot(flow[..., 0], flow[..., 1]).ravel()
    count = max(1, int(magnitude.size * _TOP))
    largest = np.partition(magnitude, magnitude.size - count)[-count:]
    return float(largest.mean(dtype=np.float64))


def motion_threshold(height: int, width: int) -> float:
    """6 · min(H, W) / 256 pixels: a pair above it moves."""
    return _THRESHOLD * min(height, width) / _REFERENCE_SIDE


def needed_pairs(frames: int) -> int:
    """How many pairs must move: round(4 n / 16) of n sampled frames, halves to even.

    Example:
        >>> [needed_pairs(frames) for frames in (2, 9, 16, 41)]
        [0, 2, 4, 10]
    """
    return round(4 * (frames / 16.0))


def is_dynamic(magnitudes: Sequence[float], height: int, width: int) -> bool:
    """Whether enough pairs move. Two frames always do, because no pair is needed then.

    Args:
        magnitudes: `top_magnitude` of every pair of consecutive sampled frames.
        height: Pixels of the frames that the flow belongs to.
        width: Pixels.
    """
    moving = sum(m > motion_threshold(height, width) for m in magnitudes)
    return len(magnitudes) > 0 and moving >= needed_pairs(len(magnitudes) + 1)


def dynamic_margin(magnitudes: Sequence[float], height: int, width: int) -> float:
    """Dynamic degree without the yes or no: k-th largest magnitude over the threshold.

    k = max(1, round(4 n / 16)) pairs are needed, so for three frames and more it is above 1 exactly
    where `is_dynamic` says yes, and says by how much.

    Args:
        magnitudes: As in `is_dynamic`, at least one.
        height: Pixels.
        width: Pixels.
    """
    k = max(1, needed_pairs(len(magnitudes) + 1))
    return sorted(magnitudes, reverse=True)[k - 1] / motion_threshold(height, width)


def aesthetic_quality(scores: np.ndarray) -> float:
    """Mean over frames of the LAION head's score, which goes to about 10, divided by 10."""
    return float(np.mean(scores, dtype=np.float64)) / 10.0


def imaging_quality(scores: np.ndarray) -> float:
    """Mean over frames of MUSIQ's score in 0-100, divided by 100."""
    return float(np.mean(scores, dtype=np.float64)) / 100.0

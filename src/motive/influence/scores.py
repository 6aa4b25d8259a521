"""Influence of training clips on queries  [method §6: I_mot = g̃(v̂)ᵀ g̃(v_n)]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from motive.errors import MotiveError


def cosine_scores(queries: np.ndarray, train: np.ndarray) -> np.ndarray:
    """I_mot for every query and training clip.

    Args:
        queries: Unit features, "q d".
        train: Unit features, "n d".

    Returns:
        float32 "q n" in [-1, 1].

    Raises:
        MotiveError: The sizes D' differ, or a feature is not finite.
    """
    if queries.ndim != 2 or train.ndim != 2 or queries.shape[1] != train.shape[1]:
        raise MotiveError(
            f"features {queries.shape} and {train.shape} cannot be compared: D' must agree"
        )
    for name, features in (("query", queries), ("training", train)):
        bad = ~np.isfinite(features).all(axis=1)
        if bad.any():
            raise MotiveError(
                f"{int(bad.sum())} {name} features are not finite, first in row "
                f"{int(bad.argmax())}; index the clip again in float32"
            )
    return np.clip(queries.astype(np.float32) @ train.astype(np.float32).T, -1.0, 1.0)


def unit_rows(values: np.ndarray) -> np.ndarray:
    """Every item flattened and scaled to length one, "n ..." -> "n d"; zeros stay zeros."""
    rows = values.reshape(len(values), -1)
    found: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return found


def ranks(scores: np.ndarray, ids: Sequence[str]) -> np.ndarray:
    """Rank of every clip per query, 0 for the highest score; ties go to the smaller id.

    Args:
        scores: "q n".
        ids: n clip ids, which make the order independent of the data set's.

    Returns:
        int64 "q n".
    """
    by_id = np.argsort(np.asarray(ids, dtype=str), kind="stable")
    order = by_id[np.argsort(-scores[:, by_id], axis=1, kind="stable")]
    result = np.empty(scores.shape, dtype=np.int64)
    np.put_along_axis(result, order, np.arange(scores.shape[1])[None, :], axis=1)
    return result


def top_clips(scores: np.ndarray, ids: Sequence[str], count: int) -> tuple[list[int], list[int]]:
    """Positions of the most positive and the most negative clips of one query.

    Args:
        scores: "n".
        ids: n clip ids (ties go to the smaller id).
        count: How many on each side; the sides never overlap.

    Returns:
        (positive, best first; negative, lowest score first).
    """
    order = np.argsort(ranks(scores[None], ids)[0], kind="stable")
    count = max(0, min(count, len(order) // 2 if len(order) > 1 else 1))
    negative = order[::-1][:count] if len(order) > 1 else order[:0]
    return order[:count].tolist(), negative.tolist()

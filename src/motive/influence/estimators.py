"""Scores that use more of the stored features than their direction  [method §10].

Both take the unit vectors g̃ and the norms ‖P g‖ that every index stores, so no gradient has to be
computed again.
"""

from __future__ import annotations

import numpy as np

from motive.errors import UsageError
from motive.index import FeatureTable

# Chosen before any score was looked at: damping at the kernel's own mean eigenvalue keeps its
# strong directions and lets the weak ones, which are projection noise, count no more than they do.
RELATIVE_DAMPING = 1.0


def dot_product_scores(queries: FeatureTable, train: FeatureTable) -> np.ndarray:
    """(P ĝ)ᵀ (P g): how much one step on a clip lowers the query's loss, to first order.

    Args:
        queries: q features.
        train: n features.

    Returns:
        float64 "q n".
    """
    return _projected(queries) @ _projected(train).T


def ridge_kernel_scores(
    queries: FeatureTable, train: FeatureTable, damping: float = RELATIVE_DAMPING
) -> np.ndarray:
    """φ(v̂)ᵀ (ΦᵀΦ / n + λ I)⁻¹ φ(v): TRAK's kernel on the unit features g̃.

    Directions that all clips share count less than those that tell clips apart.

    Args:
        queries: q features.
        train: n features; Φ, "n d", holds their unit vectors.
        damping: λ over the mean eigenvalue of ΦᵀΦ / n.

    Returns:
        float64 "q n".

    Raises:
        UsageError: The damping is not positive.
    """
    if not damping > 0:
        raise UsageError(f"damping {damping}: must be positive")
    features = train.vectors.astype(np.float64)
    kernel = features.T @ features / len(features)
    size = len(kernel)
    kernel[np.diag_indices(size)] += damping * np.trace(kernel) / size
    solved: np.ndarray = np.linalg.solve(kernel, features.T)
    return queries.vectors.astype(np.float64) @ solved


def _projected(table: FeatureTable) -> np.ndarray:
    """P g of every clip, "n d"."""
    return table.vectors.astype(np.float64) * table.projected_norms.astype(np.float64)[:, None]

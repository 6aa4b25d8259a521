"""From features to scores, and how well scores retrieve a known label.

Invariant: scores are pure functions of two feature tables; nothing here reads models or videos.
"""

from motive.influence.estimators import dot_product_scores, ridge_kernel_scores
from motive.influence.retrieval import (
    RetrievalScore,
    average_precision,
    bootstrap_interval,
    chance_average_precision,
    count_of_share,
    precision_at,
    ranked_hits,
    retrieval,
)
from motive.influence.scores import cosine_scores, ranks, top_clips, unit_rows
from motive.influence.similarity import pooled_latents, small_frames, vector_cosine

__all__ = [
    "RetrievalScore",
    "average_precision",
    "bootstrap_interval",
    "chance_average_precision",
    "cosine_scores",
    "count_of_share",
    "dot_product_scores",
    "pooled_latents",
    "precision_at",
    "ranked_hits",
    "ranks",
    "retrieval",
    "ridge_kernel_scores",
    "small_frames",
    "top_clips",
    "unit_rows",
    "vector_cosine",
]

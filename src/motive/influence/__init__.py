"""From features to scores, and how well scores retrieve a known label.

Invariant: scores are pure functions of two feature tables; nothing here reads models or videos.
"""

from motive.influence.retrieval import RetrievalScore, bootstrap_interval, retrieval
from motive.influence.scores import cosine_scores, ranks, top_clips

__all__ = [
    "RetrievalScore",
    "bootstrap_interval",
    "cosine_scores",
    "ranks",
    "retrieval",
    "top_clips",
]

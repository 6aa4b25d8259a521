"""Rankings that use no gradient: what any attribution score must be compared with."""

from __future__ import annotations

import numpy as np

from motive.index.manifest import QUERY, TRAIN
from motive.influence import unit_rows
from motive.runs.entries import clip_of
from motive.runs.run import Ranking, Run


def random_ranking(like: Ranking, seed: int = 0) -> Ranking:
    """Uniform random scores for the same clips and queries."""
    scores = np.random.default_rng(seed).random(like.scores.shape, dtype=np.float32)
    return Ranking(scores, like.clip_ids, like.query_ids)


def weight_map_ranking(run: Run, like: Ranking) -> Ranking:
    """Cosine of the motion-weight maps alone: what is similar before any model is asked.

    Args:
        run: The run whose cache holds the maps.
        like: Clips and queries to score.
    """
    train, query = run.records(TRAIN), run.records(QUERY)
    maps = {
        name: run.preparer.prepare(clip_of(record)).weights.numpy()
        for name, record in {**train, **query}.items()
        if name in {*like.clip_ids, *like.query_ids}
    }
    train_maps = unit_rows(np.stack([maps[name] for name in like.clip_ids]))
    query_maps = unit_rows(np.stack([maps[name] for name in like.query_ids]))
    return Ranking(query_maps @ train_maps.T, like.clip_ids, like.query_ids)

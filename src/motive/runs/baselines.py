"""Scores of a run's clips by other methods: the selections that attribution has to beat.

Invariant: every method scores exactly the clips of the run's ranking, under the run's own clip
standard, so that selections differ by the method alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from motive.backbones.cache import cache_key
from motive.clips import decode_unchanged
from motive.encoders import VideoEncoder, open_video_encoder
from motive.errors import UsageError
from motive.index import ClipRecord
from motive.index.manifest import QUERY, TRAIN
from motive.influence import pooled_latents, small_frames, vector_cosine
from motive.runs.controls import random_ranking, weight_map_ranking
from motive.runs.entries import clip_of
from motive.runs.run import Ranking, Run

#: Stands for the queries where a method does not look at them.
ANY_QUERY = "any query"
BUILT_IN_ENCODER = "built-in encoder (pooled latents of the run's own autoencoder)"
UNMASKED = "without-mask"  # folder of the run that ranks without the motion mask

METHODS = {
    "motive": "motion-weighted gradients: the run's own scores",
    "no-mask": "gradients of the ordinary loss; computed by this command where they are missing",
    "magnitude": "mean optical flow of the clip in pixels per frame, whatever the query",
    "embedding": "cosine of embeddings: V-JEPA 2, CLIP or DINO with --encoder, else the "
    + BUILT_IN_ENCODER,
    "pixels": "cosine of the frames at 16x16 pixels, mean clip subtracted",
    "captions": "cosine of mean caption embeddings, mean caption subtracted",
    "weight-maps": "cosine of the motion-weight maps, no model",
    "random": "uniform random numbers",
}


@dataclass(frozen=True)
class Baseline:
    """Scores by one method.

    Attributes:
        method: Name for tables, with the encoder or the seed where there is one.
        ranking: Scores "q n"; one row where the method does not look at the queries.
        features: What likeness between clips is measured in, "n ...".
    """

    method: str
    ranking: Ranking
    features: Callable[[], np.ndarray]


def baseline(
    run: Run, by: str, *, encoder: str | None = None, seed: int = 0, device: str = "auto"
) -> Baseline:
    """Score the clips of a run's ranking by a method.

    Args:
        run: A ranked run.
        by: One of `METHODS`.
        encoder: For "embedding": folder or hub id of V-JEPA 2, CLIP or DINO.
        seed: For "random".
        device: Of the encoder.

    Raises:
        UsageError: An unknown method, an encoder for another method, or no scores yet.
        ModelError: The encoder cannot be opened.
        ClipError: A clip's file is gone or has changed.
    """
    if by not in METHODS:
        raise UsageError(f"--by {by}: must be one of {', '.join(METHODS)}")
    if encoder is not None and by != "embedding":
        raise UsageError(f"--encoder {encoder}: only for --by embedding, not for {by}")
    ranking = run.ranking()
    if by == "no-mask" and run.config.mask:
        run = unmasked_run(run, ranking)
        ranking = run.ranking()

    def gradients() -> np.ndarray:
        return run.features(TRAIN).load(ranking.clip_ids).vectors

    if by in ("motive", "no-mask"):
        return Baseline(by, ranking, gradients)
    if by == "random":
        named = f"random, seed {seed}"
        return Baseline(named, random_ranking(_of_any_query(ranking), seed), gradients)
    if by == "magnitude":
        return Baseline(by, _magnitudes(run, ranking), gradients)
    if by == "weight-maps":
        return Baseline(by, weight_map_ranking(run, ranking), gradients)
    name, one = _vector_of(run, by, encoder, device)
    train = _vectors(run, run.records(TRAIN), ranking.clip_ids, one, name)
    query = _vectors(run, run.records(QUERY), ranking.query_ids, one, name)
    scores = vector_cosine(query, train).astype(np.float32)
    return Baseline(
        name,
        Ranking(scores, ranking.clip_ids, ranking.query_ids),
        lambda: train - train.mean(axis=0),
    )


def mean_of_draws(each: Sequence[Baseline]) -> Baseline:
    """Mean of the scores of runs that differ in their noise; likeness is that of the first.

    Scores may be averaged over draws, gradients may not: two clips are alike in how they react to
    the same noise.

    Raises:
        UsageError: They score other clips.
    """
    first = each[0].ranking
    for other in each[1:]:
        odd = {*first.clip_ids} ^ {*other.ranking.clip_ids}
        if odd or first.query_ids != other.ranking.query_ids:
            raise UsageError(
                f"draws: {len(odd)} clips are in one ranking and not in another; index and rank "
                "the same clips and queries in each run"
            )
    if len(each) == 1:
        return each[0]
    scores = np.stack([one.ranking.scores for one in each]).mean(axis=0)
    return Baseline(
        f"{each[0].method}, mean of {len(each)} noise draws",
        Ranking(scores, first.clip_ids, first.query_ids),
        each[0].features,
    )


def unmasked_run(run: Run, ranking: Ranking) -> Run:
    """The same clips and queries ranked without the motion mask, in a folder inside the run.

    Latents, embeddings and clips are shared with the run; gradients that are missing are computed.

    Raises:
        UsageError: Some clips have a gradient only under the mask.
    """
    other = Run(
        run.folder / UNMASKED,
        dataclasses.replace(run.config, mask=False),
        on_progress=lambda stage, done, total: run.progress(f"{stage} (no mask)", done, total),
        cache=run.cache.folder,
    )
    train, query = run.records(TRAIN), run.records(QUERY)
    other.index([clip_of(train[name]) for name in ranking.clip_ids])
    found = other.rank([clip_of(query[name]) for name in ranking.query_ids])
    missing = set(ranking.clip_ids) - set(found.clip_ids)
    if missing:
        raise UsageError(
            f"{run.folder}: {len(missing)} clips have no gradient without the mask (first: "
            f"{train[min(missing)].source}); see `motive index`"
        )
    if len(found.clip_ids) > len(ranking.clip_ids):  # an earlier call knew more clips
        columns = [found.clip_ids.index(name) for name in ranking.clip_ids]
        other.keep(Ranking(found.scores[:, columns], ranking.clip_ids, found.query_ids))
    return other


def _of_any_query(ranking: Ranking) -> Ranking:
    return Ranking(ranking.scores[:1], ranking.clip_ids, [ANY_QUERY])


def _magnitudes(run: Run, ranking: Ranking) -> Ranking:
    records = run.records(TRAIN)
    found = [records[name].motion.get("mean_magnitude") for name in ranking.clip_ids]
    if any(value is None for value in found):
        raise UsageError(
            f"{run.folder}: the motion of some clips was not recorded; run `motive index` again"
        )
    scores = np.array([found], dtype=np.float32)
    return Ranking(scores, ranking.clip_ids, [ANY_QUERY])


_VectorOf = Callable[[ClipRecord], np.ndarray]


def _vector_of(run: Run, by: str, encoder: str | None, device: str) -> tuple[str, _VectorOf]:
    """(name, function from a record to the clip's vector)."""
    if by == "captions":
        return by, lambda record: run.preparer.text(record.caption).tokens.mean(0).numpy()
    if by == "pixels":
        return by, lambda record: small_frames(_pixels(run, record).numpy())
    if encoder is None:
        return f"embedding, {BUILT_IN_ENCODER}", lambda record: pooled_latents(
            run.preparer.prepare(clip_of(record)).latents.numpy()
        )
    opened = open_video_encoder(encoder, device)
    return f"embedding, {encoder}", lambda record: _encoded(run, record, opened)


def _encoded(run: Run, record: ClipRecord, encoder: VideoEncoder) -> np.ndarray:
    """A clip's embedding, from the run's cache if it is there."""
    key = cache_key(record.clip_id, vars(run.standard), encoder.settings)
    found = run.cache.get("embeddings", key)
    if found is not None:
        return found[0]["vector"].numpy()
    vector = encoder(_pixels(run, record))
    run.cache.put("embeddings", key, {"vector": vector}, {"encoder": encoder.name})
    return vector.numpy()


def _pixels(run: Run, record: ClipRecord) -> torch.Tensor:
    return decode_unchanged(clip_of(record), run.standard).pixels


def _vectors(
    run: Run,
    records: dict[str, ClipRecord],
    ids: Sequence[str],
    one: _VectorOf,
    name: str,
) -> np.ndarray:
    """Vectors of clips, "n ..."."""
    found = []
    for done, clip_id in enumerate(ids, start=1):
        found.append(one(records[clip_id]))
        run.progress(f"vectors of {name.split(',')[0]}", done, len(ids))
    return np.stack(found)

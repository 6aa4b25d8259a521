"""Does the ranking follow motion? The demo's retrieval numbers beside their controls.

The control that matters most: *frozen* clips. The first frame is repeated, so nothing moves, but
the loss is weighted by the moving clip's mask. What this ranking finds comes from where the mask
lies, not from motion. The features of `motive demo` are reused (it is run if it never was).

    python benchmarks/motion_retrieval.py --run runs/demo
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from measuring import save
from motive.cli.main import main as motive
from motive.clips import decode_clip
from motive.gradients import Featurizer
from motive.index.manifest import QUERY, TRAIN, ClipRecord
from motive.influence import cosine_scores, retrieval
from motive.runs import Ranking, Run, random_ranking, weight_map_ranking
from motive.runs.entries import clip_of


def frozen_ranking(run: Run, like: Ranking) -> Ranking:
    """Scores of clips that stand still, under the masks of the moving ones."""
    config = run.config
    featurizer = Featurizer(run.backbone, config.projection(), config.objective())

    def feature(record: ClipRecord) -> np.ndarray:
        clip = clip_of(record)
        prepared = run.preparer.prepare(clip)
        pixels = decode_clip(clip, run.standard).pixels
        still = run.backbone.encode_video(pixels[:1].expand_as(pixels))
        found = featurizer.feature(still, prepared.text, prepared.weights, run.standard.frames)
        return found.vector.numpy()

    train, query = run.records(TRAIN), run.records(QUERY)
    with featurizer.ready():
        train_features = np.stack([feature(train[name]) for name in like.clip_ids])
        query_features = np.stack([feature(query[name]) for name in like.query_ids])
    return Ranking(cosine_scores(query_features, train_features), like.clip_ids, like.query_ids)


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/demo"))
    folder = parser.parse_args().run
    if not (folder / "scores.parquet").exists() and motive(["demo", "--out", str(folder)]):
        raise SystemExit("the demo failed; see above")
    run = Run(folder)
    ranking = run.ranking()
    unmasked = Run(run.folder / "without-mask", cache=run.cache.folder).ranking()
    rankings = {
        "MOTIVE": ranking,
        "without motion mask": unmasked,
        "frozen clips, same mask": frozen_ranking(run, ranking),
        "motion weights alone, no model": weight_map_ranking(run, ranking),
        "random order": random_ranking(ranking),
    }
    train, query = run.records(TRAIN), run.records(QUERY)
    clip_labels = [str(train[name].label) for name in ranking.clip_ids]
    query_labels = [str(query[name].label) for name in ranking.query_ids]
    rows = []
    for name, other in rankings.items():
        if (other.clip_ids, other.query_ids) != (ranking.clip_ids, ranking.query_ids):
            raise SystemExit(f"{name}: ranks other clips or queries; run `motive demo` again")
        score = retrieval(other.scores, clip_labels, query_labels)
        rows.append(
            {
                "ranking": name,
                "precision_at_10": score.precision_at_10,
                "precision_at_10_95": score.precision_at_10_interval,
                "mean_average_precision": score.average_precision,
                "mean_average_precision_95": score.average_precision_interval,
                "chance": score.chance,
            }
        )
        print(f"{name:32s} P@10 {score.precision_at_10:.3f}  mAP {score.average_precision:.3f}")
    paired = _paired(rankings, clip_labels, query_labels)
    print(paired)
    save(
        "motion_retrieval",
        {
            "clips": len(ranking.clip_ids),
            "queries": len(ranking.query_ids),
            "rows": rows,
            "paired_average_precision_difference_95": paired,
        },
    )


def _paired(
    rankings: dict[str, Ranking], clip_labels: list[str], query_labels: list[str]
) -> dict[str, tuple[float, float, float]]:
    """MOTIVE minus each control: mean difference over the same queries, and its interval."""
    from motive.influence import bootstrap_interval

    main_values = retrieval(rankings["MOTIVE"].scores, clip_labels, query_labels)
    found = {}
    for name, other in rankings.items():
        if name != "MOTIVE":
            values = retrieval(other.scores, clip_labels, query_labels)
            difference = (
                main_values.per_query_average_precision - values.per_query_average_precision
            )
            found[name] = (float(difference.mean()), *bootstrap_interval(difference))
    return found


if __name__ == "__main__":
    main()

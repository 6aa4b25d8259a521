"""Every method chooses from the same clips and explains itself; MOTIVE's own choice stays."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from motive.clips import decode_clip, read_dataset
from motive.errors import ClipError, ModelError, UsageError
from motive.index.manifest import QUERY, TRAIN
from motive.influence import small_frames, vector_cosine
from motive.runs import METHODS, Run, baseline, select_run, selected_clips, selection_path
from motive.runs.baselines import mean_of_draws
from motive.runs.entries import clip_of
from motive.runs.featurizing import FeatureStage
from tiny_encoders import tiny_clip, tiny_vjepa


@pytest.fixture
def run(ranked, tmp_path):
    return Run(shutil.copytree(ranked, tmp_path / "run"))


@pytest.fixture(scope="session")
def vjepa(tmp_path_factory):
    return tiny_vjepa(tmp_path_factory.mktemp("vjepa"))


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("by", list(METHODS))
def test_every_method_scores_the_clips_of_the_ranking_and_explains_its_choice(run, by):
    ranking = run.ranking()
    before = (run.folder / "selection.csv").read_bytes()
    selection = select_run(run, "50%", by=by)
    assert {c.clip_id for c in selection.choices} <= set(ranking.clip_ids)
    assert len(selection.choices) == 3
    rows = table(selection_path(run, by))
    assert [row["clip_id"] for row in rows] == [c.clip_id for c in selection.choices]
    assert all(row["method"].startswith(by) for row in rows)
    for row, choice in zip(rows, selection.choices, strict=True):
        said = json.loads(row["per_query"])
        assert sum(vote for _, _, vote in said.values()) == choice.votes
        assert np.mean([score for score, _, _ in said.values()]) == pytest.approx(
            choice.mean_score, rel=1e-5
        )
    if by != "motive":
        assert (run.folder / "selection.csv").read_bytes() == before
    # What the exports and the fine-tuning read.
    chosen = selected_clips(run, selection_path(run, by))
    assert [clip.id for clip in chosen] == [c.clip_id for c in selection.choices]
    listed = read_dataset(selection_path(run, by).with_suffix(".jsonl"))
    assert [clip.source for clip in listed] == [clip.source for clip in chosen]


def test_magnitude_takes_the_clips_that_move_most(run):
    records = run.records(TRAIN)
    most = sorted(records, key=lambda name: -records[name].motion["mean_magnitude"])
    chosen = [c.clip_id for c in select_run(run, 2, by="magnitude").choices]
    assert chosen == most[:2]


def test_random_is_another_set_for_another_seed_and_the_same_for_the_same(run):
    chosen = {
        seed: [c.clip_id for c in select_run(run, 3, by="random", seed=seed).choices]
        for seed in range(6)
    }
    again = [c.clip_id for c in select_run(run, 3, by="random", seed=4).choices]
    assert again == chosen[4]
    assert len({tuple(found) for found in chosen.values()}) > 3


def test_pixel_scores_are_the_cosine_of_small_frames(run):
    found = baseline(run, "pixels").ranking
    train, query = (
        np.stack(
            [
                small_frames(
                    decode_clip(clip_of(run.records(role)[n]), run.standard).pixels.numpy()
                )
                for n in ids
            ]
        )
        for role, ids in ((TRAIN, found.clip_ids), (QUERY, found.query_ids))
    )
    assert np.allclose(found.scores, vector_cosine(query, train), atol=1e-6)


def test_without_the_mask_is_a_run_without_the_mask(run, videos, queries, tmp_path):
    other = Run(tmp_path / "other", replace(run.config, mask=False))
    other.index(videos)
    known = other.rank(queries)
    found = baseline(run, "no-mask").ranking
    assert found.clip_ids == known.clip_ids
    assert np.allclose(found.scores, known.scores, atol=1e-6)
    assert not np.allclose(found.scores, run.ranking().scores, atol=1e-3)


def test_gradients_without_the_mask_are_computed_once(run, monkeypatch):
    first = baseline(run, "no-mask").ranking
    monkeypatch.setattr(FeatureStage, "compute", lambda *_: pytest.fail("computed again"))
    assert np.array_equal(baseline(run, "no-mask").ranking.scores, first.scores)


def test_scores_of_runs_that_differ_in_noise_are_averaged(run, videos, queries, tmp_path):
    other = Run(tmp_path / "other", replace(run.config, noise_seed=1), cache=run.cache.folder)
    other.index(videos)
    other.rank(queries)
    found = mean_of_draws([baseline(run, "motive"), baseline(other, "motive")])
    np.testing.assert_allclose(
        found.ranking.scores, (run.ranking().scores + other.ranking().scores) / 2, atol=1e-6
    )
    chosen = select_run(run, 3, draws=[other], out=tmp_path / "both.csv")
    assert chosen.method == "motive, mean of 2 noise draws"
    best = found.ranking.scores.mean(axis=0).argmax()
    assert found.ranking.clip_ids[best] in {choice.clip_id for choice in chosen.choices}
    one = next(c for c in read_dataset(videos))
    fewer = Run(tmp_path / "fewer", replace(run.config, noise_seed=2), cache=run.cache.folder)
    fewer.index([one])
    fewer.rank(queries)
    with pytest.raises(UsageError, match="5 clips are in one ranking and not in another"):
        select_run(run, 3, draws=[fewer], out=tmp_path / "fewer.csv")


def test_an_encoder_of_the_users_is_used_named_and_cached(run, vjepa, monkeypatch):
    found = baseline(run, "embedding", encoder=str(vjepa), device="cpu")
    assert str(vjepa) in found.method
    from motive.encoders import open_video_encoder

    encode = open_video_encoder(str(vjepa), "cpu")
    records = run.records(TRAIN)
    vectors = torch.stack(
        [
            encode(decode_clip(clip_of(records[n]), run.standard).pixels)
            for n in found.ranking.clip_ids
        ]
    ).numpy()
    assert np.allclose(found.features(), vectors - vectors.mean(0), atol=1e-5)
    monkeypatch.setattr("motive.runs.baselines._pixels", lambda *_: pytest.fail("decoded again"))
    again = baseline(run, "embedding", encoder=str(vjepa), device="cpu")
    assert np.array_equal(again.ranking.scores, found.ranking.scores)


def test_another_encoder_gives_other_scores(run, vjepa, tmp_path):
    clip = tiny_clip(tmp_path / "clip")
    scores = [
        baseline(run, "embedding", encoder=encoder, device="cpu").ranking.scores
        for encoder in (None, str(vjepa), str(clip))
    ]
    assert not np.allclose(scores[0], scores[1], atol=1e-3)
    assert not np.allclose(scores[1], scores[2], atol=1e-3)


def test_the_built_in_encoder_is_named_as_such(run):
    assert "built-in" in baseline(run, "embedding").method


def test_the_bottom_is_a_control_of_its_own(run):
    ranking = run.ranking()
    low = select_run(run, 1, bottom=True).choices[0]
    assert table(run.folder / "selection-motive-bottom.csv")[0]["clip_id"] == low.clip_id
    one = ranking.scores.mean(axis=0)
    assert low.mean_score <= np.median(one)


def test_diversity_is_remembered_with_the_selection(run):
    select_run(run, "50%", diverse=0.5)
    again = Run(run.folder)
    assert again.stored["selection"] == {"top": "50%", "percentile": None, "diverse": 0.5}
    assert "diversity 0.5" in table(run.folder / "selection.csv")[0]["method"]


def test_the_table_goes_where_it_is_asked_to(run, tmp_path):
    select_run(run, 2, by="random", out=tmp_path / "sets" / "r0.csv")
    assert len(table(tmp_path / "sets" / "r0.csv")) == 2
    assert (tmp_path / "sets" / "r0.jsonl").exists()
    with pytest.raises(UsageError, match=r"r0\.txt"):
        select_run(run, 2, by="random", out=tmp_path / "r0.txt")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"by": "beauty"}, "--by beauty"),
        ({"by": "random", "encoder": "x"}, "--encoder x"),
        ({"diverse": 1.5}, "--diverse 1.5"),
    ],
)
def test_wrong_use_is_one_line(run, options, told):
    with pytest.raises(UsageError, match=told) as caught:
        select_run(run, 2, **options)
    assert "\n" not in str(caught.value)


def test_an_encoder_that_is_none_is_one_line(run, tmp_path):
    with pytest.raises(ModelError, match="nowhere"):
        select_run(run, 2, by="embedding", encoder=str(tmp_path / "nowhere"))


def test_a_clip_whose_file_is_gone_is_named(run, tmp_path):
    records = run.records(TRAIN)
    gone = next(iter(records.values()))
    moved = replace(gone, source=str(tmp_path / "gone.mp4"))
    run.manifest.append(moved)
    with pytest.raises(ClipError, match=r"gone\.mp4"):
        baseline(Run(run.folder), "pixels")

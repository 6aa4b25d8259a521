"""The report of a run: with and without labels, with files gone, with controls."""

import dataclasses
import shutil

import numpy as np
import pytest

from motive.errors import UsageError
from motive.index.manifest import QUERY, TRAIN
from motive.runs import Ranking, Run, compare, random_ranking, report_run, weight_map_ranking
from moving_squares import square_video, write_list


@pytest.fixture
def run(ranked, tmp_path):
    return Run(shutil.copytree(ranked, tmp_path / "run"))


@pytest.fixture
def labelled(config, tmp_path):
    """A ranked run whose clips and queries carry labels."""
    rows = [{"video": f"{k}.mp4", "prompt": f"n {k}", "motion": "ab"[k % 2]} for k in range(6)]
    for k in range(6):
        square_video(tmp_path / "v" / f"{k}.mp4", k)
    data = write_list(tmp_path / "v" / "train.jsonl", rows[:4])
    run = Run(tmp_path / "labelled", config)
    run.index(data)
    run.rank(write_list(tmp_path / "v" / "queries.jsonl", rows[4:]))
    return run


def page_of(run, **options):
    page = report_run(run, run.select("50%"), **options)
    assert page == run.folder / "report" / "index.html"
    return page.read_text("utf-8")


def test_a_report_without_labels_has_no_comparison(run):
    page = page_of(run, command="motive report")
    assert "square number 21" in page
    assert "Average precision" not in page
    assert len(list((run.folder / "report").rglob("*.mp4"))) >= 2 * (6 + 2)


def test_a_report_with_labels_compares_with_controls(labelled):
    ranking = labelled.ranking()
    page = page_of(
        labelled,
        controls={
            "random order": random_ranking(ranking),
            "weights alone": weight_map_ranking(labelled, ranking),
        },
    )
    for text in ("Average precision", "Precision @ 10", "random order", "weights alone"):
        assert text in page


def test_labels_make_a_comparison_only_if_all_are_known(labelled):
    ranking = labelled.ranking()
    train, query = labelled.records(TRAIN), labelled.records(QUERY)
    found = compare(ranking, train, query, {})
    assert [row.name for row in found.rows] == ["MOTIVE"]
    assert found.main.overall["average"].value == pytest.approx(
        np.mean([found.main.per_label[name]["average"].value for name in ("a", "b")])
    )
    some = next(iter(train))
    train[some] = dataclasses.replace(train[some], label=None)
    assert compare(ranking, train, query, {}) is None


def test_a_control_may_list_clips_in_another_order_but_not_lack_one(labelled):
    ranking = labelled.ranking()
    records = labelled.records(TRAIN), labelled.records(QUERY)
    turned = Ranking(ranking.scores[::-1, ::-1], ranking.clip_ids[::-1], ranking.query_ids[::-1])
    main, other = compare(ranking, *records, {"turned": turned}).rows
    assert main.overall == other.overall
    short = Ranking(ranking.scores[:, 1:], ranking.clip_ids[1:], ranking.query_ids)
    with pytest.raises(UsageError, match="control 'short' has no scores for 1 clips"):
        compare(ranking, *records, {"short": short})


def test_a_deleted_video_leaves_a_placeholder(config, videos, queries, tmp_path):
    data = shutil.copytree(videos, tmp_path / "videos")
    run = Run(tmp_path / "run", config)
    run.index(data)
    run.rank(queries)
    (data / "square1.mp4").unlink()
    square_video(data / "square2.mp4", 8)  # and one that is another video now
    page = page_of(run)
    assert "square1.mp4" in page
    shown = [file.name for file in (run.folder / "report").rglob("*.mp4")]
    assert len(shown) == 2 * (4 + 2)


def test_previews_are_made_once_and_may_be_deleted(run, monkeypatch):
    first = page_of(run)
    shutil.rmtree(run.folder / "cache")
    shutil.rmtree(run.folder / "report")
    page_of(run)
    monkeypatch.setattr("motive.runs.previews.decode_unchanged", None)
    assert page_of(run) == first


def test_a_report_of_the_whole_data_set_and_without_a_selection(run):
    assert "square number 0" in report_run(run, run.select("100%")).read_text("utf-8")
    assert report_run(run).exists()


def test_errors_and_duplicates_are_in_the_report(run, videos, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more/broken.mp4").write_bytes(b"no video")
    for name in ("first", "second"):
        shutil.copy(videos / "square1.mp4", tmp_path / "more" / f"{name}.mp4")
    run.index(tmp_path / "more")
    page = page_of(run)
    assert "broken.mp4" in page
    assert "second.mp4" in page


def test_weight_maps_rank_a_copy_of_the_query_first(config, videos, tmp_path):
    run = Run(tmp_path / "run", config)
    run.index(videos)
    ranking = run.rank(videos / "square3.mp4")
    scores = weight_map_ranking(run, ranking).scores[0]
    assert ranking.clip_ids[int(scores.argmax())] == ranking.query_ids[0]
    assert scores.max() == pytest.approx(1.0)


def test_random_scores_are_reproducible_and_keep_the_clips(run):
    ranking = run.ranking()
    a, b, c = (random_ranking(ranking, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.scores, b.scores)
    assert (a.scores != c.scores).any()
    assert (a.clip_ids, a.query_ids) == (ranking.clip_ids, ranking.query_ids)


def test_scores_are_the_cosines_of_the_stored_features(run):
    """Independent of the ranking's own code: plain float64 on what is on disk."""
    train, query = (run.features(role).load() for role in (TRAIN, QUERY))
    for q, name in enumerate(run.ranking().query_ids):
        vector = query.vectors[query.ids.index(name)].astype(float)
        expected = [float(np.dot(vector, train.vectors[train.ids.index(n)].astype(float)))
                    for n in run.ranking().clip_ids]  # fmt: skip
        np.testing.assert_allclose(run.ranking().scores[q], expected, atol=1e-6)

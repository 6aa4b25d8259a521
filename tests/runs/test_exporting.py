"""A run's selection becomes an export without its model, or one line says why not."""

from __future__ import annotations

import csv
import json
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from motive.clips import read_dataset
from motive.errors import ClipError, MotiveError, UsageError
from motive.index.manifest import TRAIN
from motive.runs import Run, export_run
from motive.runs.exporting import scored_standard


@pytest.fixture
def run(ranked, tmp_path, monkeypatch) -> Run:
    """A copy of the selected run that cannot load its model."""

    def no_model(*_, **__):
        pytest.fail("the model was loaded")

    monkeypatch.setattr("motive.runs.model.load_backbone", no_model)
    return Run(shutil.copytree(ranked, tmp_path / "run"))


def rows_of(run):
    with (run.folder / "selection.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def rewrite(run, rows, columns=None):
    columns = columns or list(rows[0])
    with (run.folder / "selection.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def refusal(kind, run, **options) -> str:
    with pytest.raises(kind) as error:
        export_run(run, "diffsynth", run.folder.parent / "out", **options)
    assert "\n" not in str(error.value)
    assert not (run.folder.parent / "out").exists()
    return str(error.value)


def test_the_selected_clips_are_exported_best_first(run, tmp_path):
    result = export_run(run, "diffsynth", tmp_path / "out")
    rows = rows_of(run)
    assert [clip.item.clip_id for clip in result.clips] == [row["clip_id"] for row in rows]
    again = read_dataset(tmp_path / "out")
    assert [clip.id for clip in again] == [row["clip_id"] for row in rows]
    record = json.loads((tmp_path / "out" / "motive.json").read_text())
    assert record["standard"] == {"frames": 5, "fps": 8, "height": 32, "width": 32}
    assert record["from"]["asked"] == {"top": "50%", "percentile": None}
    first = record["clips"][0]
    assert (first["rank"], first["votes"]) == (1, int(rows[0]["votes"]))
    assert first["reason"] == rows[0]["reason"]
    assert np.mean(list(first["scores"].values())) == pytest.approx(first["mean_score"])
    assert set(first["scores"]) == set(record["queries"])
    assert sorted(q["caption"] for q in record["queries"].values()) == [
        "square number 21",
        "square number 22",
    ]


def test_parquet_holds_the_scores_of_every_clip(run, tmp_path):
    export_run(run, "parquet", tmp_path / "out")
    everything = pq.read_table(tmp_path / "out" / "all-scores.parquet")
    stored = pq.read_table(run.folder / "scores.parquet")
    assert everything.num_rows == stored.num_rows == 6
    assert sum(everything["selected"].to_pylist()) == 3
    for name in stored.column_names[1:]:
        assert everything[f"score.{name}"].to_pylist() == stored[name].to_pylist()
    selected = pq.read_table(tmp_path / "out" / "metadata.parquet")
    assert selected["rank"].to_pylist() == [1, 2, 3]
    queries = json.loads(selected.schema.metadata[b"motive.queries"])
    assert set(queries) == set(stored.column_names[1:])


def test_another_table_of_clip_ids_can_be_exported(run, tmp_path):
    chosen = [record.clip_id for record in run.records(TRAIN).values()][:2]
    table = tmp_path / "random.csv"
    table.write_text("clip_id,seed\n" + "".join(f"{name},7\n" for name in chosen))
    result = export_run(run, "videofolder", tmp_path / "out", selection=table)
    assert [clip.item.clip_id for clip in result.clips] == chosen
    assert [dict(c.item.facts) for c in result.clips] == [
        {"seed": "7", "rank": 1},
        {"seed": "7", "rank": 2},
    ]


def test_frames_rate_and_size_come_from_the_run_unless_given(run, tmp_path):
    assert vars(scored_standard(run)) == {"frames": 5, "fps": 8, "height": 32, "width": 32}
    result = export_run(run, "diffsynth", tmp_path / "out", frames=4, fps=16, height=16, width=24)
    assert "--height 16 --width 24 --num_frames 4" in result.command


def test_a_run_without_a_selection_says_what_to_do(run):
    (run.folder / "selection.csv").unlink()
    assert "no selection yet; run `motive select` first" in refusal(UsageError, run)


def test_a_selection_that_names_missing_clips_is_refused(run):
    rows = rows_of(run)
    rewrite(run, [{**rows[0], "clip_id": "f" * 32}, *rows[1:]])
    message = refusal(UsageError, run)
    assert f"1 of 3 clips are not in this run (first: {'f' * 32})" in message


def test_an_empty_selection_is_refused(run):
    rewrite(run, [], list(rows_of(run)[0]))
    assert "selects no clip" in refusal(UsageError, run)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("source\na.mp4\n", "no column clip_id"),
        ("", "no column clip_id"),
        ("clip_id,rank\nabc,first\n", "line 2: rank 'first' is no number"),
        ("clip_id,mean_score\nabc,nan\n", "line 2: mean_score 'nan' is no number"),
        ("clip_id,rank\nabc,1,2\n", "line 2: more or fewer fields"),
        ("clip_id,rank\nabc\n", "line 2: more or fewer fields"),
        ("clip_id,rank\n,1\n", "line 2: no clip_id"),
    ],
)
def test_mistakes_in_a_selection_are_named_with_their_line(run, text, words):
    (run.folder / "selection.csv").write_text(text)
    assert words in refusal(UsageError, run)


def test_a_selection_of_other_scores_is_refused(run):
    rows = rows_of(run)
    rewrite(run, [{**row, "mean_score": "0.123"} for row in rows])
    message = refusal(UsageError, run)
    assert "was made from other scores than scores.parquet; run `motive select` again" in message


def test_damaged_scores_are_named(run):
    (run.folder / "scores.parquet").write_bytes(b"PAR1 nothing")
    assert "scores.parquet: damaged" in refusal(MotiveError, run)


def test_a_clip_that_vanished_since_indexing_is_named(run, tmp_path):
    rows = rows_of(run)
    source = run.records(TRAIN)[rows[0]["clip_id"]].source
    moved = tmp_path / "gone.mp4"
    os.rename(source, moved)
    try:
        message = refusal(ClipError, run)
        assert f"1 of 3 clips cannot be exported; first: {source}: file not found" in message
    finally:
        os.rename(moved, source)


def test_a_run_that_indexed_nothing_is_named(run):
    run.stored.pop("fingerprint")
    assert "no clip standard in it; run `motive index` first" in refusal(UsageError, run)

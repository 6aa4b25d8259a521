"""A problem is read whole, or refused with one line that names what is wrong."""

from __future__ import annotations

import json
import shutil
from collections import Counter

import pytest

from bench_world import write_problem
from motive.bench.problem import BenchClip, Problem, load_problem, quick_problem
from motive.clips import Clip
from motive.errors import DatasetError, UsageError


def edit_rows(folder, part, change):
    """Rewrite a part's list row by row; a change that gives None drops the row."""
    path = folder / part / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row for row in map(change, rows) if row is not None]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_problem_holds_labels_decoys_and_named_factors(problem):
    assert problem.clip_ids == sorted(problem.clip_ids)
    assert Counter(clip.motion for clip in problem.candidates) == {"slow": 3, "fast": 2, "none": 1}
    assert [clip.decoy for clip in problem.candidates].count("static") == 1
    assert [clip.motion for clip in problem.queries] == ["slow", "fast"]
    assert problem.queries[0].name == "queries-00"
    assert problem.queries[0].factors == {"shade": "dark"}  # a size has no name
    assert problem.prompts[1] == ("test 1", "fast")


def test_the_digest_changes_with_labels_and_clips(problem, problem_folder, tmp_path):
    assert load_problem(problem_folder).digest() == problem.digest()
    copy = shutil.copytree(problem_folder, tmp_path / "copy")
    assert load_problem(copy).digest() == problem.digest()
    edit_rows(copy, "candidates", lambda row: row | {"factors": {"shade": "dark"}})
    assert load_problem(copy).digest() != problem.digest()


def test_parts_that_are_missing_are_named(tmp_path):
    with pytest.raises(DatasetError, match="no candidates/ folder"):
        load_problem(tmp_path)


def test_rows_without_a_motion_are_refused(tmp_path):
    folder = write_problem(tmp_path)
    edit_rows(folder, "candidates", lambda row: row | {"motion": ""})
    with pytest.raises(DatasetError, match="row 1 has no motion"):
        load_problem(folder)


def test_a_clip_that_is_not_there_is_named_with_its_row(tmp_path):
    folder = write_problem(tmp_path)
    (folder / "candidates/clips/candidates-02.mp4").unlink()
    with pytest.raises(DatasetError, match=r"row 3: .*candidates-02\.mp4: file not found"):
        load_problem(folder)


def test_a_query_that_is_a_candidate_is_refused_even_under_another_caption(tmp_path):
    folder = write_problem(tmp_path)
    shutil.copy(
        folder / "candidates/clips/candidates-00.mp4", folder / "queries/clips/queries-00.mp4"
    )
    with pytest.raises(DatasetError, match=r"queries-00\.mp4: this query is also a candidate"):
        load_problem(folder)


def test_a_candidate_listed_twice_is_refused(tmp_path):
    folder = write_problem(tmp_path)
    path = folder / "candidates/metadata.jsonl"
    path.write_text(path.read_text() + path.read_text().splitlines()[0] + "\n")
    with pytest.raises(DatasetError, match="same clip and caption as"):
        load_problem(folder)


def test_a_query_whose_motion_no_candidate_shows_is_refused(tmp_path):
    folder = write_problem(tmp_path)
    edit_rows(folder, "candidates", lambda row: None if row["motion"] == "fast" else row)
    with pytest.raises(DatasetError, match="no candidate shows 'fast'"):
        load_problem(folder)


def test_a_decoy_cannot_be_a_query(tmp_path):
    folder = write_problem(tmp_path)
    edit_rows(folder, "queries", lambda row: row | {"decoy": "static"})
    with pytest.raises(DatasetError, match="a decoy cannot be a query"):
        load_problem(folder)


def large_problem():
    def clips(count, split, decoys):
        return tuple(
            BenchClip(
                Clip(f"{split}{n}.mp4", digest=bytes([len(split), n])),
                f"{split}{n}",
                f"motion{n % 10}",
                "static" if n < decoys else None,
            )
            for n in range(count)
        )

    prompts = tuple((f"prompt {n}", f"motion{n % 10}") for n in range(50))
    return Problem(clips(200, "train", 20), clips(50, "query", 0), prompts)


def test_a_quick_problem_keeps_the_balance_of_motions_and_decoys():
    quick = quick_problem(large_problem(), 60, 10)
    real = Counter(clip.motion for clip in quick.candidates if clip.decoy is None)
    assert len(quick.candidates) == 60
    assert sum(clip.decoy is not None for clip in quick.candidates) == 6
    assert set(real.values()) <= {5, 6}
    assert Counter(clip.motion for clip in quick.queries) == {f"motion{n}": 1 for n in range(10)}
    assert len(quick.prompts) == 10
    assert quick.digest() == quick_problem(large_problem(), 60, 10).digest()
    assert quick.clip_ids == sorted(quick.clip_ids)


def test_a_very_small_problem_still_has_what_its_queries_show():
    quick = quick_problem(large_problem(), 4, 3)
    assert {clip.motion for clip in quick.queries} <= {clip.motion for clip in quick.candidates}


def test_an_empty_quick_problem_is_refused(problem):
    with pytest.raises(UsageError, match="at least 1"):
        quick_problem(problem, 0, 1)
    with pytest.raises(UsageError, match="role 'train'"):
        problem.clips("train")

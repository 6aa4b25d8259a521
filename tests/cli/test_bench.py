"""`motive bench attribution` as people and scripts meet it, on a tiny world."""

import csv
from pathlib import Path

import numpy as np
import pytest

from bench_world import write_problem
from motive.bench import attribution as room
from motive.bench.attribution import Size
from motive.bench.clipwork import ClipWork
from motive.bench.problem import load_problem
from motive.cli import bench as command
from moving_squares import small_model
from tiny_wan import save_tiny_wan

FAST = ("--methods", "random", "weight-maps", "--bank", "none", "--workers", "1")


@pytest.fixture(scope="module", autouse=True)
def small_projection():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "FULL", Size(probe_candidates=4, probe_queries=2, dims=(64,)))
        yield


@pytest.fixture(scope="module")
def world(tiny_wan, tmp_path_factory):
    root = tmp_path_factory.mktemp("bench world")
    small_model(tiny_wan, root / "model")
    write_problem(root / "data")
    return root


@pytest.fixture(scope="module")
def problem(world):
    return load_problem(world / "data")


@pytest.fixture
def attribution(motive, world, tmp_path):
    """Runs the command on the world, into a new folder."""

    def run(*arguments, out=tmp_path / "out", model=world / "model"):
        fixed = ("--data", world / "data", "--model", model, "--out", out)
        return motive("bench", "attribution", *fixed, *arguments)

    return run


def test_help_has_examples(motive):
    found = motive("bench", "attribution", "--help")
    assert found.code == 0
    assert "motive bench attribution --quick" in found.out.split("For example:")[1]
    assert "--json" in found.out


def test_it_says_what_it_found_and_where(attribution, tmp_path):
    found = attribution(*FAST)
    assert found.code == 0, found.err
    assert "weight maps alone" in found.out
    assert "(chance " in found.out
    assert str(tmp_path / "out" / "index.html") in found.out
    for name in ("board.json", "board.md", "index.html"):
        assert (tmp_path / "out" / name).exists()
    assert "methods: 2/2" in found.err


def test_json_is_one_object_with_numbers_and_files(attribution):
    found = attribution(*FAST, "--json").json
    assert set(found["rows"]) == {"random", "weight-maps"}
    assert 0 <= found["rows"]["random"]["map"] <= 1
    assert Path(found["markdown"]).read_text("utf-8").startswith("# ")
    assert found["seconds"] > 0


def test_a_score_file_is_a_row_in_any_order_of_clips(attribution, problem, tmp_path):
    path = tmp_path / "mine.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["clip_id", *(query.name for query in problem.queries)])
        for clip in reversed(problem.candidates):
            right = [float(clip.motion == query.motion) for query in problem.queries]
            writer.writerow([clip.name, *right])
    found = attribution(*FAST, "--scores", f"mine={path}", "--json").json
    assert found["rows"]["mine"]["map"] == 1.0


def test_score_files_alone(attribution, tmp_path):
    np.save(tmp_path / "a.npy", np.eye(2, 6))
    options = ("--methods", "none", "--bank", "none", "--scores", f"a={tmp_path / 'a.npy'}")
    assert list(attribution(*options, "--json").json["rows"]) == ["a"]


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        (np.zeros((2, 5)), "shape (2, 5), but the problem has 2 queries x 6 candidates"),
        (np.zeros((6, 2)), "transpose them"),
        (np.full((2, 6), np.nan), "12 scores are not finite"),
    ],
    ids=["shape", "turned", "nan"],
)
def test_bad_matrices_are_one_line_before_any_work(
    attribution, tmp_path, monkeypatch, scores, says
):
    monkeypatch.setattr(ClipWork, "feature", None)
    np.save(tmp_path / "mine.npy", scores)
    options = ("--bank", "none", "--scores", f"mine={tmp_path / 'mine.npy'}")
    assert says in attribution("--methods", "motive", *options).error(2)


def test_ids_that_do_not_match_are_one_line(attribution, problem, tmp_path):
    path = tmp_path / "mine.npz"
    ids = [*problem.clip_ids[:-1], "somebody else"]
    np.savez(path, scores=np.zeros((2, 6)), clip_ids=ids)
    error = attribution(*FAST, "--scores", f"mine={path}").error(2)
    assert "'somebody else' is not in the problem" in error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--scores", "mine.npy"), "write NAME=VALUE"),
        (("--scores", "mine=gone.npy", "--bank", "none"), "gone.npy: no such file"),
        (("--methods", "magic"), "'magic'"),
        (("--methods", "none"), "no method"),
        (("--workers", "0"), "--workers 0: must be at least 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[:2]),
)
def test_wrong_use_is_one_line(attribution, arguments, says):
    assert says in attribution(*arguments).error(2)


def test_a_folder_of_another_checkpoint_is_one_line_and_stays_good(attribution, tmp_path):
    assert attribution(*FAST).code == 0
    before = (tmp_path / "out" / "board.json").read_bytes()
    other = small_model(save_tiny_wan(tmp_path / "wan", seed=1), tmp_path / "other")
    error = attribution(*FAST, model=other).error(1)
    assert "model.transformer" in error
    assert (tmp_path / "out" / "board.json").read_bytes() == before
    assert attribution(*FAST).code == 0


def test_a_half_written_bank_is_one_line(attribution, tmp_path):
    (tmp_path / "bank.parquet").write_bytes(b"PAR1 and then the power went")
    options = ("--methods", "random", "--bank", tmp_path / "bank.parquet")
    error = attribution(*options, "--quick").error(1)  # the quick bank generates no clips
    assert "no whole bank" in error
    assert "move it away" in error


def test_a_problem_without_queries_is_one_line(motive, world, tmp_path):
    arguments = ("--data", tmp_path, "--model", world / "model", "--out", tmp_path / "out")
    assert "candidates" in motive("bench", "attribution", *arguments).error(1)


def test_quick_leaves_the_slow_methods_out():
    keys = [method.key for method in command._methods(None, quick=True)]
    assert "motive" in keys
    assert "timesteps" not in keys
    assert "timesteps" in [method.key for method in command._methods(None, quick=False)]

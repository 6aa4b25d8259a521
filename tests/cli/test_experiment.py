"""`motive experiment`: printed, run, continued, reported, and made into a study."""

import shutil

import pytest
import yaml

from experiment_world import World
from motive.cli.main import main

CONDITIONS = {"conditions": ["base", "motive"], "seeds": [0], "main": "motive"}


@pytest.fixture(scope="module")
def squares(tiny_wan, tmp_path_factory):
    return World(tmp_path_factory.mktemp("experiment"), tiny_wan)


@pytest.fixture(scope="module")
def done(squares):
    """A finished experiment: copy it, do not write into it."""
    out = squares.root / "out"
    assert main(["experiment", "run", str(squares.write(**CONDITIONS)), "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("preset", ["motionzoo", "wan2.1"])
def test_init_prints_a_file_that_can_be_run(motive, preset):
    found = motive("experiment", "init", "--preset", preset)
    assert found.code == 0
    assert yaml.safe_load(found.out)["finetune"]["steps"] > 0
    assert motive("experiment", "init", "--preset", preset, "--json").json["yaml"] in found.out


def test_a_run_ends_in_a_table_and_a_page(motive, squares, done):
    found = motive("experiment", "run", squares.write(**CONDITIONS), "--out", done, "--json")
    assert (found.code, found.json["done"]) == (0, True)
    assert {cell["condition"] for cell in found.json["cells"]} == {"base", "motive"}
    for name in ("table.md", "table.tex", "results.json", "report/index.html"):
        assert (done / name).exists()
    shown = motive("experiment", "report", done)
    assert shown.code == 0
    assert "MOTIVE" in shown.out
    assert "Not shown: 4 prompts are too few" in " ".join(shown.out.split())


def test_one_kind_of_step_is_done_and_said(motive, squares, tmp_path):
    file = squares.write(**CONDITIONS)
    found = motive(
        "experiment", "run", file, "--out", tmp_path / "o", "--only", "features", "--json"
    )
    assert found.json["done"] is False
    line = motive("experiment", "run", file, "--out", tmp_path / "o", "--only", "evaluate").error(2)
    assert "the step before it, select, is not done" in line


def test_report_of_a_finished_run_trains_nothing(motive, done, tmp_path):
    out = shutil.copytree(done, tmp_path / "copy")
    shutil.rmtree(out / "finetune")
    shutil.rmtree(out / "features")
    for name in ("table.md", "results.json"):
        (out / name).unlink()
    assert motive("experiment", "report", out).code == 0
    assert (out / "table.md").read_bytes() == (done / "table.md").read_bytes()


def test_a_study_of_its_videos(motive, done, tmp_path):
    out = shutil.copytree(done, tmp_path / "copy")
    found = motive("experiment", "study", out, tmp_path / "study", "--annotators", 2, "--json")
    assert (found.json["pairs"], found.json["annotators"]) == (4, ["annotator-01", "annotator-02"])
    line = motive("experiment", "study", out, tmp_path / "study").error(2)
    assert "exists; give another folder" in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["report", "nowhere"], "no finished experiment"),
        (["study", "nowhere", "x"], "no finished experiment"),
        (["init", "--preset", "wan"], "--preset: unknown option 'wan'; did you mean wan2.1?"),
        (["run", "FILE", "--out", "o", "--workers", "0"], "--workers 0: must be at least 1"),
        (["run", "FILE", "--out", "o", "--only", "magic"], "--only magic: must be one of"),
        (["run", "FILE", "--out", "o", "--quick"], "has no section quick"),
    ],
)
def test_bad_input_is_one_line(motive, squares, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    file = str(squares.write(**CONDITIONS))
    line = motive("experiment", *(file if word == "FILE" else word for word in words)).error(2)
    assert told in line


def test_a_file_that_is_not_there_is_one_line(motive, tmp_path):
    line = motive("experiment", "run", tmp_path / "nowhere.yaml", "--out", tmp_path / "o").error(1)
    assert "no such file; `motive experiment init` prints" in line

"""The command line as people and scripts meet it."""

import csv
import json
import logging
import os
import shutil
import subprocess
import sys

import pytest
from rich.console import Console

from motive.cli.console import ProgressBars, progress_bars, set_up_logging
from motive.runs import Run
from moving_squares import square_video

COMMANDS = [
    ["demo"], ["doctor"], ["diagnose"], ["motion"], ["index"], ["rank"], ["select"], ["export"],
    ["report"], ["evaluate"], ["finetune"], ["generate"],
    ["zoo", "make"], ["zoo", "train"], ["bench", "attribution"],
]  # fmt: skip


def test_help_lists_every_command(motive):
    for arguments in ([], ["--help"]):
        found = motive(*arguments)
        assert (found.code, found.err) == (0, "")
        for command in {names[0] for names in COMMANDS}:
            assert command in found.out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(motive, command):
    found = motive(*command, "--help")
    assert found.code == 0
    assert "For example:" in found.out
    assert f"motive {' '.join(command)}" in found.out.split("For example:")[1]
    assert "--json" in found.out


def test_the_version_is_one_line(motive):
    assert motive("--version").out.startswith("motive 0.")


def test_index_rank_select_and_report_tell_what_they_did(motive, world, tmp_path):
    run = tmp_path / "run"
    options = ["--model", world / "model", "--dim", "64", "--device", "cpu"]
    found = motive("index", run, "--data", world / "videos", *options)
    assert found.code == 0
    assert "6 training clips indexed" in found.out
    assert "(6 new, 0 already there)" in found.out
    assert f"next: motive rank {run}" in found.out
    assert "computing gradients: 6/6" in found.err
    found = motive("rank", run, "--query", world / "queries", "--shown", "1")
    assert found.out.count("  + ") == found.out.count("  - ") == 2
    assert "square number 21" in found.out
    found = motive("select", run, "--top", "2")
    assert found.out.count(" votes  mean rank ") == 2
    found = motive("report", run)
    assert found.code == 0
    assert (run / "report" / "index.html").exists()


def test_json_is_one_object_and_nothing_else(motive, run, world):
    indexed = motive("index", run, "--json").json
    assert (indexed["clips"], indexed["computed"], indexed["reused"]) == (6, 0, 6)
    assert indexed["errors"] == indexed["duplicates"] == []
    ranked = motive("rank", run, "--json").json
    assert len(ranked["queries"]) == 2
    first = ranked["queries"][0]["positive"][0]
    assert -1 <= first["score"] <= 1
    assert first["source"].startswith(str(world / "videos"))
    for top in ("50%", "100%"):
        selected = motive("select", run, "--top", top, "--json").json
        assert len(selected["selected"]) == (3 if top == "50%" else 6)
    assert motive("report", run, "--json").json["report"].endswith("index.html")
    measured = motive("motion", world / "videos", "--out", run / "m", "--frames", 5, "--json").json
    assert len(measured["clips"]) == 6
    assert motive("doctor", "--json").json["checks"]


def test_selection_files_hold_the_selection(motive, run):
    selected = motive("select", run, "--top", "2", "--json").json["selected"]
    with (run / "selection.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["clip_id"] for row in rows] == [s["clip_id"] for s in selected]
    listed = [json.loads(line) for line in (run / "selection.jsonl").read_text().splitlines()]
    assert [row["video"] for row in listed] == [s["source"] for s in selected]


def test_other_methods_select_beside_motives_own_choice(motive, run):
    before = (run / "selection.csv").read_text()
    found = motive("select", run, "--by", "random", "--seed", 3, "--top", 2, "--json").json
    assert found["method"] == "random, seed 3"
    assert len(found["selected"]) == 2
    assert set(found["selected"][0]["per_query"]) == {"any query"}
    assert "selection-magnitude.csv" in motive("select", run, "--by", "magnitude").out
    assert "from the bottom" in motive("select", run, "--bottom").out
    names = {path.name for path in run.glob("selection*.csv")}
    assert names == {"selection.csv", "selection-random.csv", "selection-magnitude.csv",
                     "selection-motive-bottom.csv"}  # fmt: skip
    assert (run / "selection.csv").read_text() == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--by", "beauty"], "--by beauty"),
        (["--by", "pixels", "--encoder", "x"], "--encoder x"),
        (["--diverse", "2"], "--diverse 2"),
        (["--out", "set.txt"], "--out set.txt"),
    ],
)
def test_wrong_ways_to_select_are_one_line(motive, run, options, told):
    assert told in motive("select", run, *options).error(2)


def test_a_report_keeps_the_selection_that_was_made(motive, run):
    motive("select", run, "--top", "2", "--percentile", "40")
    before = (run / "selection.csv").read_text()
    assert motive("report", run).code == 0
    assert (run / "selection.csv").read_text() == before
    motive("report", run, "--top", "4")
    assert len((run / "selection.csv").read_text().splitlines()) == 5


def test_a_run_repeats_itself_from_its_own_config(motive, run):
    found = motive("index", run, "--json").json
    assert (found["computed"], found["reused"]) == (0, 6)
    assert motive("rank", run).code == 0


def test_a_run_can_start_from_the_config_of_another(motive, run, tmp_path):
    found = motive("index", tmp_path / "b", "--config", run / "config.yaml", "--json").json
    assert (found["computed"], found["clips"]) == (6, 6)
    assert found["fingerprint"] == motive("index", run, "--json").json["fingerprint"]
    other = motive(
        "index", tmp_path / "c", "--config", run / "config.yaml", "--timesteps", 500, 900, "--json"
    ).json
    assert other["fingerprint"] != found["fingerprint"]
    assert Run(tmp_path / "c").config.timesteps == (500.0, 900.0)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (["--timesteps", "500"], "objective.timesteps is [500.0] here and [751.0] there"),
        (["--dim", "128"], "projection.dim is 128 here and 64 there"),
        (["--no-mask"], "objective.mask is false here and true there"),
        (
            ["--residual", "temporal-difference"],
            'objective.residual is "temporal difference" here and absent there',
        ),
    ],
)
def test_another_option_on_an_existing_run_is_refused_with_its_field(motive, run, options, field):
    assert field in motive("index", run, *options).error(1)
    assert motive("index", run).code == 0


def test_messy_data_is_listed_and_the_rest_indexed(motive, world, tmp_path):
    data = shutil.copytree(world / "videos", tmp_path / "data")
    (data / "broken.mp4").write_bytes(b"nothing")
    shutil.copy(data / "square1.mp4", data / "twin.mp4")
    shutil.copy(data / "square1.txt", data / "twin.txt")
    options = ["--model", world / "model", "--dim", "64"]
    found = motive("index", tmp_path / "run", "--data", data, *options)
    assert found.code == 0
    assert "1 not usable:" in found.out
    assert "broken.mp4: not a video" in found.out
    assert "1 duplicates used once" in found.out
    found = motive("index", tmp_path / "run", "--json").json
    assert found["clips"] + len(found["errors"]) + len(found["duplicates"]) == 8


WRONG_USE = [
    (["index", "RUN", "--magic", "3"], "Unknown option"),
    (["indexx", "RUN"], "indexx"),
    (["index"], "requires an argument"),
    (["index", "NEW"], "which clips? give --data"),
    (["index", "NEW", "--data", "DATA", "--dim", "1000"], "must be a power of two"),
    (["index", "NEW", "--data", "DATA", "--dim", "many"], "dim"),
    (["index", "NEW", "--data", "DATA", "--timesteps", "-5"], "must be above 0"),
    (["index", "NEW", "--data", "DATA", "--parameters", "["], "parameter pattern"),
    (["index", "NEW", "--data", "DATA", "--dtype", "int8"], "choose one of float32"),
    (
        ["index", "NEW", "--data", "DATA", "--model", "MODEL", "--device", "abacus"],
        "use auto, cpu, cuda",
    ),
    (["index", "NEW", "--data", "DATA", "--model", "MODEL", "--frames", "6"], "the nearest is 5"),
    (["index", "NEW", "--data", "DATA", "--model", "MODEL", "--fps", "nan"], "must be positive"),
    (["index", "NEW", "--config", "NEW/config.yaml"], "file not found"),
    (
        ["index", "NEW", "--data", "DATA", "--shard"],
        "for example, torchrun",
    ),
    (["rank", "RUN", "--shard"], "for example, torchrun"),
    (["diagnose", "NEW"], "no config.yaml"),
    (["diagnose", "RUN", "--clips", "0"], "--clips 0: give at least 1"),
    (["diagnose", "--model", "MODEL"], "which clips? give --data"),
    (["select", "RUN", "--top", "0%"], "--top 0%"),
    (["select", "RUN", "--top", "abc"], "--top abc: give a count such as 50"),
    (["select", "RUN", "--top", "1000"], "--top 1000: there are 6 clips to choose from"),
    (["select", "RUN", "--percentile", "101"], "percentile 101"),
    (["select", "NEW"], "run `motive rank` first"),
    (["report", "NEW"], "run `motive rank` first"),
    (["rank", "RUN", "--shown", "-1"], "--shown -1"),
    (["motion", "DATA", "--displacement", "sideways"], "must be 'consecutive', 'anchor' or"),
    (["demo", "--clips", "3"], "give at least 20"),
]

FAILED = [
    (["rank", "NEW", "--query", "DATA"], "no training clips yet; run `motive index` first"),
    (["index", "NEW", "--data", "NOWHERE", "--model", "MODEL"], "no such file or folder"),
    (["index", "NEW", "--data", "DATA", "--model", "DATA"], "no model_index.json"),
    (["index", "NEW", "--data", "DATA", "--model", "no/such/model"], "not a hub id"),
    (["rank", "RUN", "--query", "NOWHERE"], "no such file or folder"),
    (["motion", "NOWHERE"], "no such file or folder"),
    (["doctor", "--model", "DATA"], "no model_index.json"),
]


@pytest.mark.parametrize(
    ("arguments", "reason", "code"),
    [(*case, 2) for case in WRONG_USE] + [(*case, 1) for case in FAILED],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_one_line_with_the_right_exit_code(
    motive, world, finished, tmp_path, monkeypatch, arguments, reason, code
):
    monkeypatch.chdir(tmp_path)
    names = {
        "RUN": finished, "NEW": tmp_path / "new", "DATA": world / "videos",
        "MODEL": world / "model", "NOWHERE": tmp_path / "nowhere",
    }  # fmt: skip
    places = [
        str(names[part]) if part in names else part.replace("NEW/", f"{tmp_path}/new/")
        for part in arguments
    ]
    found = motive(*places)
    out = found.out
    if arguments[0] == "doctor":
        found.out = ""  # it prints its table first
    assert reason in found.error(code), out
    assert len(found.err.splitlines()) == 1, found.err
    assert not (tmp_path / "new").exists()


def test_debug_shows_the_traceback(motive, tmp_path):
    found = motive("select", tmp_path / "none", "--debug")
    assert found.code == 2
    assert "Traceback (most recent call last)" in found.err
    assert "UsageError" in found.err
    assert found.out == ""
    assert "Traceback" not in motive("select", tmp_path / "none").err


def test_surprises_are_one_line_too(motive, run, monkeypatch):
    def surprise(*_args, **_kwargs):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr("motive.runs.selecting.majority_vote", surprise)
    line = motive("select", run).error(1)
    assert line == "motive: unexpected RuntimeError: first line second line (--debug shows where)"


def test_an_interruption_says_how_to_continue(motive, run, monkeypatch):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "index", interrupt)
    found = motive("index", run)
    assert (found.code, found.err) == (
        1, "interrupted; run the same command again to continue\n",
    )  # fmt: skip


def test_a_data_set_without_a_usable_clip_fails(motive, world, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    options = ["--data", tmp_path / "bad.mp4", "--model", world / "model"]
    line = motive("index", tmp_path / "run", *options).error(1)
    assert "none of 1 is usable; first: " in line
    assert len(Run(tmp_path / "run").manifest.history()) == 1


def test_doctor_names_what_is_there_and_what_is_missing(motive, world, monkeypatch, tmp_path):
    found = motive("doctor", "--model", world / "model")
    assert found.code == 0
    assert "Wan 2.1 T2V" in found.out
    assert "latent grid 2x4x4" in found.out
    for name in ("device", "video decoding", "extra zoo", "torch"):
        assert name in found.out
    monkeypatch.setitem(
        __import__("motive.backbones.loading").backbones.loading.EMBEDDED_MODELS,
        "wan-nano", str(tmp_path / "not installed"),
    )  # fmt: skip
    found = motive("doctor")
    assert found.code == 0
    assert "no  model wan-nano: " in found.out


def test_progress_is_lines_without_a_terminal(capfd):
    bars = ProgressBars(None)
    for done in range(1, 101):
        bars("working", done, 100)
    for done in range(1, 3):
        bars("working", done, 2)
    captured = capfd.readouterr()
    assert captured.out == ""
    expected = [f"working: {done}/100" for done in range(10, 101, 10)]
    assert captured.err.splitlines() == [*expected, "working: 1/2", "working: 2/2"]


def test_progress_is_a_bar_with_the_time_left_on_a_terminal(monkeypatch, capfd):
    console = Console(stderr=True, force_terminal=True, width=100)
    monkeypatch.setattr("motive.cli.console.ERR", console)
    set_up_logging(debug=False)
    with progress_bars() as bars:
        for total in (2, 3):
            for done in range(1, total + 1):
                bars("working", done, total)
        logging.getLogger("motive").warning("a message above the bar")
    captured = capfd.readouterr()
    assert captured.out == ""
    for text in ("working", "3/3", "left", "a message above the bar"):
        assert text in captured.err


def test_the_library_never_prints(world, tmp_path, capfd):
    from motive.runs import RunConfig, report_run

    square_video(tmp_path / "v" / "a.mp4", 1)
    (tmp_path / "v" / "bad.mp4").write_bytes(b"nothing")
    run = Run(tmp_path / "run", RunConfig(model=str(world / "model"), dim=64, device="cpu"))
    run.index(tmp_path / "v")
    run.rank(world / "queries")
    report_run(run, run.select(1))
    assert capfd.readouterr().out == ""


def test_a_reader_that_has_enough_and_a_poor_terminal_are_no_failures(run):
    command = [sys.executable, "-m", "motive.cli.main", "rank", str(run)]
    pipe = subprocess.run(
        ["bash", "-c", '"$@" | head -c 5; exit ${PIPESTATUS[0]}', "-", *command],
        capture_output=True, text=True, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert pipe.returncode == 0, pipe.stderr
    assert "Traceback" not in pipe.stderr
    assert "Exception ignored" not in pipe.stderr

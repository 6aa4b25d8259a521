"""`motive motion` as a curator uses it: measure, look, leave clips out, go on with the rest."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
import torch

from flagged_clips import flagged_clips
from motive.cli.main import main
from motive.clips import read_dataset
from moving_squares import square_video, square_videos
from seeded_alltracker import seeded_state_dict

SMALL = ["--frames", "5", "--fps", "8", "--height", "32", "--width", "32"]


@pytest.fixture(scope="module")
def measured(world):
    """A motion folder of six clips: copy it, do not write into it."""
    out = world / "motion"
    assert main(["motion", str(world / "videos"), "--out", str(out), *SMALL]) == 0
    return out


@pytest.fixture
def out(measured, tmp_path):
    """A copy of the measured folder."""
    return shutil.copytree(measured, tmp_path / "motion é")


def test_it_writes_a_table_a_sheet_and_overlays(motive, world, tmp_path):
    out = tmp_path / "m"
    found = motive("motion", world / "videos", "--out", out, *SMALL, "--shown", "2")
    assert found.code == 0
    for word in (
        "objects px",
        "camera",
        "flags",
        "square",
        "... and 4 more",
        "6 clips (6 measured",
    ):
        assert word in found.out
    for name in ("motion.parquet", "motion.html", "overlays"):
        assert str(out / name) in found.out
        assert (out / name).exists()
    assert len(list((out / "overlays").glob("*.mp4"))) == 6
    assert "measuring motion: 6/6" in found.err


def test_the_table_fits_a_narrow_terminal_by_shortening_names(motive, tmp_path, monkeypatch):
    name = "a-very-long-name-such-as-data-sets-have-them-" + 10 * "0"
    square_video(tmp_path / "data" / f"{name}.mp4", 1)
    monkeypatch.setattr("motive.cli.motion.OUT.width", 78)
    lines = motive("motion", tmp_path / "data", "--out", tmp_path / "m", *SMALL).out.splitlines()
    table = lines[: next(n for n, line in enumerate(lines) if line.startswith("1 clips"))]
    assert all(len(line) <= 78 for line in table)
    (row,) = [line for line in table if line.lstrip().startswith("a-ver")]
    assert "0.mp4" in row
    assert "objects px" in "".join(table)


def test_the_same_command_goes_on_and_needs_no_data(motive, world, out):
    again = motive("motion", world / "videos", "--out", out, *SMALL, "--json").json
    assert (again["measured"], again["reused"], len(again["clips"])) == (0, 6, 6)
    assert motive("motion", "--out", out, "--json").json["clips"] == again["clips"]
    assert again["summary"]["clips"] == 6
    assert pq.read_table(out / "motion.parquet").to_pylist() == again["clips"]


def test_other_options_are_refused_until_a_restart(motive, out):
    line = motive("motion", "--out", out, "--frames", "4").error(1)
    assert "standard.frames is 4 now and was 5" in line
    assert "--restart" in line
    line = motive("motion", "--out", out, "--tracker", "nope", "--restart").error(2)
    assert "tracker='nope'" in line
    assert (out / "motion.parquet").exists()  # a mistake deletes nothing
    shape = ["--frames", "4", *SMALL[2:]]
    found = motive("motion", "--out", out, *shape, "--restart", "--json").json
    assert (found["measured"], found["reused"]) == (6, 0)


def test_dropped_clips_are_listed_and_the_rest_can_be_indexed(motive, world, tmp_path):
    data, out = flagged_clips(tmp_path / "data"), tmp_path / "m"
    shape = ["--frames", "5", "--fps", "8", "--height", "96", "--width", "128"]
    drop = ["--drop", "static,camera-only", "--drop", "cut"]
    lists = motive("motion", data, "--out", out, *shape, *drop, "--json").json["lists"]
    assert (lists["kept"], lists["dropped"]) == (1, 3)
    dropped = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
    assert [entry["reason"].split(":")[0] for entry in dropped] == [
        "static",
        "camera-only",
        "static",
    ]
    assert "; cut: at frame 3" in dropped[0]["reason"]
    assert [clip.name for clip in read_dataset(lists["kept_path"])] == ["walk.mp4"]
    model = ["--model", world / "model", "--dim", "64", "--device", "cpu"]
    indexed = motive("index", tmp_path / "run", "--data", lists["kept_path"], *model, "--json").json
    assert indexed["clips"] == 1
    text = motive("motion", "--out", out, "--drop", "static").out
    assert "kept 2: " in text
    assert f"next: motive index RUN --data {out / 'kept.jsonl'}" in text


def test_broken_clips_are_listed_and_a_folder_of_nothing_else_fails(motive, tmp_path):
    data = square_videos(tmp_path / "data", (1,))
    (data / "empty.mp4").write_bytes(b"")
    (data / "text.mp4").write_text("hello")
    square_video(data / "one.mp4", 2, frames=1)
    found = motive("motion", data, "--out", tmp_path / "m", *SMALL)
    assert (found.code, "3 not usable:" in found.out) == (0, True)
    for name, reason in (("empty", "empty file"), ("text", "not a video"), ("one", "too short")):
        assert sum(name in line and reason in line for line in found.out.splitlines()) == 1
    page = (tmp_path / "m" / "motion.html").read_text()
    assert page.count('data-groups="failed"') == 3
    (data / "square1.mp4").unlink()
    found = motive("motion", data, "--out", tmp_path / "m2", *SMALL, "--json")
    assert found.code == 1
    assert "none of 3 clips is usable; first: " in found.err
    assert len(pq.read_table(tmp_path / "m2" / "motion.parquet")) == 3


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--overlays", "some"], "--overlays some: must be all, none, or a number"),
        (["--drop", "blurred"], "--drop 'blurred': must be some of static"),
        (["--sheet", "-1"], "--sheet -1: must not be negative"),
        (["--workers", "0"], "workers 0: must be at least 1"),
        (["--preset", "best"], "'best': must be one of default, objects, paper"),
        (["--weight-by", "size"], "weight_by='size': must be"),
        (["--tracker-option", "device"], "write NAME=VALUE"),
        (["--weights", "x.pth"], "tracker='dis'"),
        (["--frames", "1"], "frames=1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_is_one_line_and_makes_nothing(motive, world, tmp_path, arguments, reason):
    line = motive("motion", world / "videos", "--out", tmp_path / "m", *arguments).error(2)
    assert reason in line
    assert not (tmp_path / "m").exists()
    assert "which clips?" in motive("motion", "--out", tmp_path / "m").error(2)


def test_alltracker_runs_from_a_checkpoint_and_continues_without_naming_it(
    motive, tmp_path, monkeypatch
):
    weights = tmp_path / "tiny.pth"
    torch.save({"model": seeded_state_dict("tiny")}, weights)
    data = square_videos(tmp_path / "data", (1,))
    monkeypatch.chdir(tmp_path)
    options = ["--tracker", "alltracker", "--weights", "tiny.pth", "--tracker-option"]
    options += ["iterations=1", "device=cpu", "--frames", "2", *SMALL[2:]]
    found = motive("motion", data, "--out", "m", *options, "--overlays", "none", "--json").json
    (clip,) = found["clips"]
    assert (clip["tracker"], clip["displacement"]) == ("alltracker", "consecutive")
    assert clip["mean_magnitude"] > 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert (
        motive("motion", "--out", tmp_path / "m", "--overlays", "none", "--json").json["reused"]
        == 1
    )
    line = motive("motion", data, "--out", "n", "--preset", "paper", "--weights", "no.pth").error(1)
    assert "no such AllTracker checkpoint" in line
    paper = ["--preset", "paper", "--tracker", "dis", "--overlays", "none", "--sheet", "0"]
    (clip,) = motive("motion", data, "--out", "p", *paper, *SMALL, "--json").json["clips"]
    assert (clip["tracker"], clip["displacement"]) == ("dis", "anchor-literal")


@pytest.mark.timeout(900)  # three processes import torch, which takes long on a busy machine
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks processes up in /proc")
def test_a_killed_command_with_workers_continues_and_leaves_none_behind(motive, world, tmp_path):
    data = square_videos(tmp_path / "data", range(24))
    out = tmp_path / "m"
    command = [sys.executable, "-m", "motive.cli.main", "motion", data, "--out", out, *SMALL]
    command += ["--workers", "2", "--overlays", "none", "--sheet", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "measuring motion: " in line:
                break
        children = _children(process.pid)
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (
        any(os.path.exists(f"/proc/{child}") for child in children) and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    assert children
    assert not any(os.path.exists(f"/proc/{child}") for child in children)
    found = motive("motion", data, "--out", out, *SMALL, "--sheet", "0", "--json").json
    assert found["reused"] >= 2
    assert (found["measured"] + found["reused"], found["summary"]["failed"]) == (24, 0)


def _children(parent):
    with open(f"/proc/{parent}/task/{parent}/children") as file:
        return [int(number) for number in file.read().split()]

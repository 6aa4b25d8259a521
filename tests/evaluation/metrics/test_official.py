"""The official package is asked by subprocess, and its answers, or its failures, are read back."""

import json
import os
import stat
import sys

import pytest

from fake_metrics import drifting
from motive.clips import write_mp4
from motive.errors import MotiveError, UsageError
from motive.evaluation.metrics import (
    OfficialVBench,
    Records,
    evaluate,
    find_videos,
    judge,
    read_results,
    run_vbench,
)
from numbered_videos import write_video

FAKE_VBENCH = '''
import json, os, pathlib

class VBench:
    """Takes the file's size for every result, and writes it as vbench does."""

    def __init__(self, device, full_info_dir, output_path):
        self.device, self.out = device, output_path

    def evaluate(self, videos_path, name, prompt_list=[], dimension_list=None, local=False,
                 read_frame=False, mode="vbench_standard", **kwargs):
        assert mode == "custom_input" and len(dimension_list) == 1
        (dimension,) = dimension_list
        if dimension == "aesthetic_quality":
            raise RuntimeError("wget: no network")
        log = pathlib.Path(__file__).parent / "calls.txt"
        names = sorted(os.listdir(videos_path))
        with log.open("a") as file:
            file.write(f"{dimension} {len(names)}\\n")
        results = []
        for video in names:
            path = os.path.join(videos_path, video)
            value = (os.path.getsize(path) % 100) / 100
            value = 100 * value if dimension == "imaging_quality" else value
            value = value > 0.5 if dimension == "dynamic_degree" else value
            results.append({"video_path": path, "video_results": value})
        with open(os.path.join(self.out, name + "_eval_results.json"), "w") as file:
            json.dump({dimension: [0.5, results]}, file)
'''


@pytest.fixture
def environment(tmp_path):
    """A folder that looks like the environment of vbench; its `calls.txt` says what was asked."""
    place = tmp_path / "vbench env"
    (place / "bin").mkdir(parents=True)
    (place / "packages" / "vbench").mkdir(parents=True)
    (place / "packages" / "vbench" / "__init__.py").write_text(FAKE_VBENCH)
    (place / "packages" / "torch.py").write_text("device = str\n")
    python = place / "bin" / "python"
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH="{place / "packages"}" exec "{sys.executable}" "$@"\n'
    )
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return place


def calls(environment):
    path = environment / "packages" / "vbench" / "calls.txt"
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def rows(tmp_path):
    """Three mp4s (one of a single frame), a GIF, a MKV and a file that is no video."""
    folder = tmp_path / "videos with spaces; and $(more)"
    for number, frames in enumerate((6, 7, 1)):
        write_mp4(folder / f"v{number}.mp4", drifting(frames, 1.0, seed=number), 8)
    write_video(folder / "v3.gif", list(drifting(6, 1.0)), 8, codec="gif", pixel_format="rgb8")
    write_video(folder / "v4.mkv", list(drifting(6, 2.0)), 8)
    (folder / "v5.mp4").write_bytes(b"no video")
    records = Records(tmp_path / "measured")
    return evaluate({"x": find_videos("x", folder)}, [], records).rows, records


def test_its_numbers_are_read_back_per_video(environment, rows, tmp_path):
    rows, records = rows
    official = OfficialVBench(environment, "cpu")
    dimensions = ["imaging_quality", "dynamic_degree"]
    assert judge(official, rows, dimensions, records, tmp_path / "out") == {}
    for row in rows[:2]:
        size = os.path.getsize(row.video.path) % 100 / 100
        assert row.values["official_imaging_quality"] == pytest.approx(size)
        assert row.values["official_dynamic_degree"] == float(size > 0.5)
    assert calls(environment) == ["imaging_quality 4", "dynamic_degree 3"]


def test_videos_it_cannot_judge_are_reasons_and_spoil_nothing(environment, rows, tmp_path):
    rows, records = rows
    judge(OfficialVBench(environment, "cpu"), rows, ["motion_smoothness"], records, tmp_path / "o")
    key = "official_motion_smoothness"
    assert [key in row.values for row in rows] == [True, True, False, False, False, False]
    assert "needs 3" in rows[2].why[key]
    assert "GIF" in rows[3].why[key]
    assert ".mkv" in rows[4].why[key]
    assert rows[5].error


def test_a_second_run_does_not_ask_again(environment, rows, tmp_path):
    rows, records = rows
    official = OfficialVBench(environment, "cpu")
    for _ in range(2):
        judge(official, rows, ["imaging_quality"], records, tmp_path / "out")
        for row in rows:
            row.values.clear()
    assert calls(environment) == ["imaging_quality 4"]


def test_a_dimension_that_fails_costs_no_other_its_numbers(environment, rows, tmp_path):
    rows, records = rows
    refused = judge(
        OfficialVBench(environment, "cpu"),
        rows,
        ["aesthetic_quality", "imaging_quality"],
        records,
        tmp_path / "out",
    )
    assert set(refused) == {"official_aesthetic_quality"}
    assert "wget: no network" in refused["official_aesthetic_quality"]
    assert "\n" not in refused["official_aesthetic_quality"]
    assert "official_imaging_quality" in rows[0].values
    assert rows[0].why["official_aesthetic_quality"] == refused["official_aesthetic_quality"]


def test_several_processes_start_through_torchrun(environment, tmp_path):
    (environment / "bin" / "python").write_text('#!/bin/sh\necho "$@" >&2\nexit 3\n')
    with pytest.raises(MotiveError, match=r"-m torch.distributed.run .*--nproc_per_node=4"):
        run_vbench(
            OfficialVBench(environment, gpus=4), tmp_path, "imaging_quality", tmp_path / "out"
        )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "wrote no result"),
        ("{", "no result of vbench"),
        ("[]", "imaging_quality"),
        ('{"imaging_quality": 0.5}', "another version"),
        ('{"imaging_quality": [0.5, [{"video_path": "a.mp4"}]]}', "another version"),
        ('{"imaging_quality": [0.5, [{"video_path": "a", "video_results": NaN}]]}', "not finite"),
    ],
)
def test_results_that_are_none_are_one_line(tmp_path, content, told):
    path = tmp_path / "vbench_eval_results.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(MotiveError, match=told) as caught:
        read_results(path, "imaging_quality")
    assert "\n" not in str(caught.value)


def test_results_in_the_form_of_the_published_package_are_read(tmp_path):
    path = tmp_path / "results_2026-01-01-00:00:00_eval_results.json"
    content = {
        "subject_consistency": [0.95, [{"video_path": "d/a.mp4", "video_results": 0.9}]],
        "background_consistency": [
            0.9,
            [{"video_path": "b.mp4", "video_results": 0.8, "video_sim": 9.6, "cnt_per_video": 12}],
        ],
    }
    path.write_text(json.dumps(content))
    assert read_results(path, "subject_consistency").values == {"a": 0.9}
    assert read_results(path, "background_consistency").aggregate == 0.9


def test_a_place_without_an_interpreter_is_wrong_use(tmp_path):
    (tmp_path / "plain.txt").write_text("x")
    for place in (tmp_path, tmp_path / "gone", tmp_path / "plain.txt"):
        with pytest.raises(UsageError, match="no Python interpreter"):
            _ = OfficialVBench(place).interpreter
    with pytest.raises(UsageError, match="at least 1"):
        OfficialVBench(tmp_path, gpus=0)

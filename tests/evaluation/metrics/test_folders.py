"""One call measures, compares and writes; a second one continues."""

import json

import pytest

from fake_metrics import drifting
from motive.clips import write_mp4
from motive.errors import UsageError
from motive.evaluation.metrics import OfficialVBench, evaluate_folders


def test_folders_become_tables_and_a_second_call_measures_nothing(tmp_path):
    for name, step in (("base", 1.0), ("tuned", 3.0)):
        for seed in range(2):
            video = drifting(5, step, seed=seed)
            write_mp4(tmp_path / name / f"p_s{seed}.mp4", video, 8)
    places = {name: tmp_path / name for name in ("base", "tuned")}
    out = tmp_path / "out"
    first = evaluate_folders(places, out, metrics=["dynamic_margin_dis"], command="motive ...")
    assert first.measured == 4
    assert first.broken == []
    assert first.summary.difference("tuned", "dynamic_margin_dis").value > 0
    assert json.loads((out / "summary.json").read_text()) == first.json
    assert "    motive ..." in (out / "summary.md").read_text("utf-8")
    again = evaluate_folders(places, out, metrics=["dynamic_margin_dis"], command="motive ...")
    assert again.measured == 0
    assert again.json == first.json


def test_official_metrics_need_an_environment_and_a_wrong_one_is_found_at_once(tmp_path):
    with pytest.raises(UsageError, match="--vbench"):
        evaluate_folders({"a": tmp_path}, tmp_path / "out", metrics=["official"])
    with pytest.raises(UsageError, match="no Python interpreter"):
        evaluate_folders(
            {"a": tmp_path}, tmp_path / "out", official=OfficialVBench(tmp_path / "gone")
        )

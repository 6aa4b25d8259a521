"""`motive evaluate`: from folders to tables, and one line for everything that is wrong."""

import json

import pyarrow.parquet as pq
import pytest

from fake_metrics import drifting
from motive.clips import write_mp4


@pytest.fixture
def folders(tmp_path):
    """Two conditions of three videos of the same prompts and seeds; `b` moves more."""
    for name, extra in (("a", 0.0), ("b", 2.0)):
        rows = []
        for number in range(3):
            path = tmp_path / name / f"{name}{number}.mp4"
            write_mp4(path, drifting(6, number + extra, seed=number), 8)
            rows.append({"file_name": path.name, "prompt": f"prompt {number}", "seed": 1})
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / name / "metadata.jsonl").write_text(text)
    return tmp_path


KEYS = ("--metrics", "flicker", "dynamic_margin_dis", "--workers", "1")


def test_folders_are_compared_side_by_side(motive, folders):
    out = folders / "out"
    found = motive(
        "evaluate", folders / "a", folders / "b", "--names", "base,more", "--out", out, *KEYS,
        "--json",
    )  # fmt: skip
    assert found.code == 0
    assert found.json["conditions"] == ["base", "more"]
    change = {d["key"]: d for d in found.json["differences"]}["dynamic_margin_dis"]
    assert change["pairs"] == 3
    assert change["value"] > 0
    table = pq.read_table(out / "videos.parquet").to_pylist()
    assert [row["condition"] for row in table] == ["base"] * 3 + ["more"] * 3
    assert json.loads((out / "summary.json").read_text())["summary"] == found.json["summary"]
    assert "| | base | more |" in (out / "summary.md").read_text("utf-8")


def test_people_see_a_table_and_what_is_missing(motive, folders):
    out = folders / "out"
    found = motive(
        "evaluate", folders / "a", "--out", out, "--metrics", "imaging_quality", "flicker",
        "--workers", 1,
    )  # fmt: skip
    assert found.code == 0
    assert "flicker ↓" in found.out
    assert "imaging: not measured: needs MUSIQ-SPAQ" in found.out
    assert "3 videos (3 measured now)" in found.out
    again = motive("evaluate", folders / "a", "--out", out, *KEYS[:2], "--workers", 1)
    assert "(0 measured now)" in again.out


def test_broken_and_missing_videos_are_listed_and_the_rest_is_measured(motive, folders):
    (folders / "a" / "a0.mp4").write_bytes(b"nothing")
    (folders / "a" / "a1.mp4").unlink()
    found = motive("evaluate", folders / "a", "--out", folders / "out", *KEYS, "--json")
    assert found.code == 0
    assert [entry["video"][-6:] for entry in found.json["errors"]] == ["a0.mp4", "a1.mp4"]
    rows = pq.read_table(folders / "out" / "videos.parquet").to_pylist()
    assert [row["error"] is None for row in rows] == [False, False, True]
    assert rows[2]["flicker"] is not None


def test_nothing_to_judge_is_a_failure_and_still_a_table(motive, folders):
    for path in (folders / "a").glob("*.mp4"):
        path.write_bytes(b"nothing")
    found = motive("evaluate", folders / "a", "--out", folders / "out", *KEYS)
    assert "none of 3 videos" in found.error(1)
    assert (folders / "out" / "videos.parquet").exists()


def test_prompts_say_what_was_asked_where_the_folder_does_not(motive, folders):
    (folders / "a" / "metadata.jsonl").unlink()
    prompts = folders / "prompts.jsonl"
    prompts.write_text(
        "\ufeff"
        + json.dumps({"id": "a0", "prompt": "é rolls", "motion": "roll"})
        + "\r\n\r\n"
        + json.dumps({"id": "a1", "prompt": "spins", "motion": "spin"}),
        "utf-8",
    )
    out = folders / "out"
    found = motive("evaluate", folders / "a", "--out", out, "--prompts", prompts, *KEYS)
    assert found.code == 0
    rows = pq.read_table(out / "videos.parquet").to_pylist()
    assert [(row["prompt"], row["motion"]) for row in rows] == [
        ("é rolls", "roll"),
        ("spins", "spin"),
        ("", None),
    ]


@pytest.mark.parametrize(
    ("arguments", "told", "code"),
    [
        (["gone", "--out", "out"], "gone", 1),
        (["a", "--out", "out", "--metrics", "beauty"], "--metrics beauty", 2),
        (["a", "--out", "out", "--metrics", "official"], "--vbench", 2),
        (["a", "--out", "out", "--vbench", "gone"], "no Python interpreter", 2),
        (["a", "--out", "out", "--weights", "dino"], "NAME=VALUE", 2),
        (["a", "--out", "out", "--weights", "vgg=x"], "--weights vgg", 2),
        (["a", "b", "--out", "out", "--names", "one"], "--names", 2),
        (["a", "--out", "out", "--workers", "0"], "--workers 0", 2),
        (["a", "--out", "out", "--prompts", "gone.txt"], "gone.txt", 1),
    ],
)
def test_wrong_use_is_one_line(motive, folders, monkeypatch, arguments, told, code):
    monkeypatch.chdir(folders)
    assert told in motive("evaluate", *arguments).error(code)

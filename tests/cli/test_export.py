"""`motive export` as people and scripts meet it."""

from __future__ import annotations

import json
import os

from motive.clips import read_dataset
from motive.exports import FORMATS


def test_an_export_tells_what_it_did_and_how_to_train_on_it(motive, run, tmp_path):
    out = tmp_path / "for musubi"
    found = motive("export", run, "--to", "musubi-tuner", "--out", out)
    assert found.code == 0
    assert "3 clips for musubi-tuner in" in found.out
    assert "(videos linked; 3 new, 0 already there)" in found.out
    assert "why each clip is in it:" in found.out
    assert f"--dataset_config '{out}/dataset.toml'" in found.out
    assert "placing videos: 3/3" in found.err
    again = motive("export", run, "--to", "musubi-tuner", "--out", out)
    assert "0 new, 3 already there" in again.out


def test_json_is_one_object_with_files_and_the_command(motive, run, tmp_path):
    out = tmp_path / "out"
    found = motive("export", run, "--to", "diffsynth", "--out", out, "--videos", "copy", "--json")
    result = found.json
    assert result["format"] == "diffsynth"
    assert [clip["file"] for clip in result["clips"]] == [c.source for c in read_dataset(out)]
    assert (result["new"], result["reused"], result["left_out"]) == (3, 0, [])
    assert "--dataset_metadata_path" in result["command"]


def test_help_names_every_format(motive):
    text = motive("export", "--help").out
    for form in FORMATS:
        assert form.key in text


def test_wrong_use_is_one_line(motive, run, tmp_path):
    options = ["--out", tmp_path / "out"]
    assert "format 'x': must be one of" in motive("export", run, "--to", "x", *options).error(2)
    assert "--out" in motive("export", run, "--to", "diffsynth").error(2)
    line = motive("export", tmp_path / "none", "--to", "diffsynth", *options).error(2)
    assert "config.yaml: file not found; run `motive index` first" in line
    motive("export", run, "--to", "diffsynth", *options)
    line = motive("export", run, "--to", "videox-fun", *options).error(2)
    assert "holds another export (diffsynth, reference)" in line
    record = json.loads((tmp_path / "out" / "motive.json").read_text())
    assert record["format"] == "diffsynth"


def test_clips_that_are_gone_can_be_skipped(motive, run, world, tmp_path):
    selected = motive("export", run, "--to", "parquet", "--out", tmp_path / "t", "--json").json
    source = selected["clips"][0]["source"]
    kept = world.parent / "kept.mp4"
    os.rename(source, kept)
    try:
        options = ["--to", "diffsynth", "--out", tmp_path / "out"]
        assert "--skip-unusable" in motive("export", run, *options).error(1)
        found = motive("export", run, *options, "--skip-unusable")
        assert found.code == 0
        assert "2 clips for DiffSynth-Studio" in found.out
        assert "1 not usable:" in found.out
        assert f"{source}: file not found" in found.out
    finally:
        os.rename(kept, source)

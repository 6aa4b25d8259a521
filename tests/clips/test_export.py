"""Selections written for DiffSynth-Studio can be read back and trained on."""

from __future__ import annotations

import errno
import json
from unittest import mock

import pytest

from motive.clips import Clip, read_dataset, write_diffsynth_jsonl
from motive.errors import MotiveError


def test_paths_below_base_are_relative_and_others_absolute(tmp_path):
    clips = [
        Clip(str(tmp_path / "data" / "sub" / "a.mp4"), "ümläut"),
        Clip(str(tmp_path / "else" / "b.mp4"), "two\nlines"),
        Clip(str(tmp_path / "data" / ".." / "data" / "c.mp4")),
    ]
    path = tmp_path / "out" / "selection.jsonl"
    write_diffsynth_jsonl(path, clips, base=tmp_path / "data")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert rows == [
        {"video": "sub/a.mp4", "prompt": "ümläut"},
        {"video": str(tmp_path / "else" / "b.mp4"), "prompt": "two\nlines"},
        {"video": "c.mp4", "prompt": ""},
    ]
    assert [c.caption for c in read_dataset(path, base=tmp_path / "data")] == [
        "ümläut",
        "two\nlines",
        "",
    ]


def test_relative_sources_become_absolute_without_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_diffsynth_jsonl("s.jsonl", [Clip("v/a.mp4", "x")])
    assert json.loads((tmp_path / "s.jsonl").read_text())["video"] == str(tmp_path / "v/a.mp4")


def test_a_full_disk_keeps_the_old_selection(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_text("old")
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        mock.patch("motive.files.os.replace", side_effect=full),
        pytest.raises(MotiveError, match="the disk is full"),
    ):
        write_diffsynth_jsonl(path, [Clip("a.mp4")])
    assert [p.name for p in tmp_path.iterdir()] == ["s.jsonl"]
    assert path.read_text() == "old"

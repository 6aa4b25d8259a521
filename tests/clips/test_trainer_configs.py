"""The configurations and lists that trainers themselves read."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from motive.clips import read_dataset
from motive.errors import DatasetError


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"video")


def refusal(source) -> str:
    with pytest.raises(DatasetError) as error:
        read_dataset(source)
    assert "\n" not in str(error.value)
    assert str(source) in str(error.value)
    return str(error.value)


def test_musubi_configurations_are_read_data_set_by_data_set(tmp_path, caplog):
    touch(tmp_path, "v/b.mp4", "v/a.MOV", "v/deeper/c.mp4", "v/.hidden.mp4")
    (tmp_path / "v" / "a.caption").write_text("from  a\nfile")
    row = {"video_path": str(tmp_path / "v" / "b.mp4"), "caption": "two\nlines"}
    (tmp_path / "list.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "any.toml").write_text(
        '[general]\nresolution = [960, 544]\ncaption_extension = ".caption"\n'
        '[[datasets]]\nvideo_jsonl_file = "list.jsonl"\ncache_directory = "c1"\n'
        "target_frames = [1, 25, 45]\nsource_fps = 30.0\n"
        f'[[datasets]]\nvideo_directory = "{tmp_path}/v"\ncache_directory = "c2"\n'
        '[[datasets]]\nimage_directory = "pictures"\n'
    )
    clips = read_dataset(tmp_path / "any.toml")
    assert [(clip.name, clip.caption) for clip in clips] == [
        ("b.mp4", "two\nlines"),
        ("a.MOV", "from a file"),
        ("b.mp4", ""),
    ]
    assert "pictures holds images and is left out" in caplog.text


def test_diffusion_pipe_configurations_are_read_directory_by_directory(tmp_path, caplog):
    touch(tmp_path, "one/a.mp4", "one/deeper/b.mp4", "two/c.mp4", "two/d.mp4")
    (tmp_path / "one" / "a.txt").write_text("a ball")
    (tmp_path / "two" / "captions.json").write_text(json.dumps({"d.mp4": ["first", "second"]}))
    (tmp_path / "dataset.toml").write_text(
        'resolutions = [512]\n[[directory]]\npath = "one"\n'
        f'[[directory]]\npath = "{tmp_path}/two"\n'
    )
    clips = read_dataset(tmp_path)  # by its dataset.toml
    assert [(clip.name, clip.caption) for clip in clips] == [
        ("a.mp4", "a ball"),
        ("d.mp4", "first"),
    ]
    assert clips[1].extra["captions"] == ["first", "second"]
    assert f"{tmp_path}/two: 1 videos are not named in captions.json" in caplog.text


def test_folders_with_captions_json_are_read_by_it(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "captions.json").write_text(json.dumps({"b.mp4": ["b"], "a.mp4": []}))
    assert [(c.name, c.caption) for c in read_dataset(tmp_path)] == [("b.mp4", "b"), ("a.mp4", "")]


def test_the_train_split_of_a_video_folder_is_found(tmp_path):
    touch(tmp_path, "train/clips/a.mp4", "test/b.mp4")
    row = {"file_name": "clips/a.mp4", "caption": "c", "rank": 1}
    (tmp_path / "train" / "metadata.jsonl").write_text(json.dumps(row))
    (clip,) = read_dataset(tmp_path)
    assert (clip.source, clip.extra) == (str(tmp_path / "train/clips/a.mp4"), {"rank": 1})


def test_finetrainers_nested_lists_are_read(tmp_path):
    (tmp_path / "metadata.json").write_text(json.dumps({"data": [{"video": "a", "caption": "b"}]}))
    assert [(c.name, c.caption) for c in read_dataset(tmp_path)] == [("a", "b")]


def test_parquet_tables_are_read_as_lists(tmp_path):
    table = pa.table(
        {
            "file_name": ["a.mp4", "b.mp4"],
            "caption": ["one\nmore", None],
            "start": [None, 1.5],
            "score": [0.25, 0.5],
        }
    )
    pq.write_table(table, tmp_path / "metadata.parquet")
    one, two = read_dataset(tmp_path)
    assert (one.source, one.caption, one.start) == (str(tmp_path / "a.mp4"), "one\nmore", 0.0)
    assert (two.caption, two.start, two.extra) == ("", 1.5, {"score": 0.5})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = [", "not TOML"),
        ("a = 1", "neither [[datasets]] (musubi-tuner) nor [[directory]] (diffusion-pipe)"),
        ("datasets = [1]", "is no table"),
        ("[[datasets]]\nresolution = [1, 2]", "names neither video_jsonl_file nor video_directory"),
        ('[[datasets]]\nvideo_jsonl_file = "gone.jsonl"', "gone.jsonl: no such file"),
        ('[[datasets]]\nvideo_directory = "gone"', "gone: no such folder"),
        ('[[datasets]]\nimage_directory = "i"', "names no data set of videos"),
        ("[[directory]]\nnum_repeats = 1", "a [[directory]] has no path"),
        ('[[directory]]\npath = "."', "no video in this folder"),
    ],
)
def test_mistakes_in_configurations_are_named(tmp_path, text, words):
    (tmp_path / "d.toml").write_text(text)
    assert words in refusal(tmp_path / "d.toml")


def test_mistakes_in_tables_are_named(tmp_path):
    (tmp_path / "d.parquet").write_bytes(b"PAR1 nothing PAR1")
    assert "not a Parquet table, or damaged" in refusal(tmp_path / "d.parquet")
    pq.write_table(pa.table({"clip": ["a"]}), tmp_path / "d.parquet")
    assert "no column names the videos (found: clip)" in refusal(tmp_path / "d.parquet")
    (tmp_path / "d.json").write_text(json.dumps({"datasets": [{"data_root": "x"}]}))
    assert "'datasets' has no captions" in refusal(tmp_path / "d.json")

"""Data sets in the forms that trainers use, and the mistakes people make in them."""

from __future__ import annotations

import json
import logging

import pytest

from motive.clips import VIDEO_COLUMNS, Clip, ClipStandard, decode_clip, read_dataset
from motive.errors import ClipError
from refused_datasets import refusal


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"video")


def test_a_folder_is_read_in_sorted_order_with_captions_beside(tmp_path):
    touch(tmp_path, "b.mp4", "a.MOV", "sub/c.webm", ".hidden.mp4", ".git/d.mp4", "notes.md")
    (tmp_path / "b.txt").write_text("a ball\n bounces ", encoding="utf-8")
    clips = read_dataset(tmp_path)
    assert [clip.name for clip in clips] == ["a.MOV", "b.mp4", "c.webm"]
    assert [clip.caption for clip in clips] == ["", "a ball bounces", ""]


@pytest.mark.parametrize("name", ["metadata.csv", "videos.txt"])
def test_videos_that_a_folders_own_list_does_not_name_are_counted(name, tmp_path, caplog):
    touch(tmp_path, "a.mp4", "deeper/b.mp4", "c.mov", ".hidden.mp4")
    (tmp_path / name).write_text("video\n./a.mp4\n" if name == "metadata.csv" else "./a.mp4\n")
    (tmp_path / "prompts.txt").write_text("a ball\n")
    assert len(read_dataset(tmp_path)) == 1
    assert f"{tmp_path}: 2 videos are not named in {name} and left out" in caplog.text


def test_missing_captions_are_counted_once(tmp_path, caplog):
    touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    (tmp_path / "a.txt").write_text("a")
    with caplog.at_level(logging.WARNING):
        read_dataset(tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: 2 of 3 clips have no caption"
    ]


def test_linked_folders_are_followed_once(tmp_path):
    touch(tmp_path, "real/a.mp4")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")
    assert [clip.name for clip in read_dataset(tmp_path / "data")] == ["a.mp4"]


def test_a_single_video_is_a_data_set_of_one(tmp_path):
    touch(tmp_path, "a.mp4")
    (tmp_path / "a.txt").write_text("spin")
    assert read_dataset(str(tmp_path / "a.mp4")) == [Clip(str(tmp_path / "a.mp4"), "spin")]


@pytest.mark.parametrize("video", [*VIDEO_COLUMNS[:-1], "Video"])
@pytest.mark.parametrize("caption", ["prompt", "caption", "text", " Caption "])
def test_every_column_name_works_in_every_format(tmp_path, video, caption):
    touch(tmp_path, "clips/a.mp4", "clips/b.mp4")
    rows = [
        {video: "clips/a.mp4", caption: 'says "hi", twice', "motion": "spin", "fps": 24},
        {video: "clips/b.mp4", caption: "ümläut 漢字", "motion": "", "fps": 30},
    ]
    (tmp_path / "d.json").write_text(json.dumps(rows))
    (tmp_path / "d.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    header = f"{video},{caption},motion,fps\n"
    text = header + 'clips/a.mp4,"says ""hi"", twice",spin,24\nclips/b.mp4,ümläut 漢字,,30\n'
    (tmp_path / "d.csv").write_text(text, encoding="utf-8")
    tabs = header.replace(",", "\t") + 'clips/a.mp4\t"says ""hi"", twice"\tspin\t24\n'
    (tmp_path / "d.tsv").write_text(tabs + "clips/b.mp4\tümläut 漢字\t\t30\n", encoding="utf-8")
    for name in ("d.json", "d.jsonl", "d.csv", "d.tsv"):
        clips = read_dataset(tmp_path / name)
        assert [c.source for c in clips] == [str(tmp_path / f"clips/{n}.mp4") for n in "ab"], name
        assert [c.caption for c in clips] == ['says "hi", twice', "ümläut 漢字"], name
        assert [c.label for c in clips] == ["spin", None], name
        assert [str(c.extra["fps"]) for c in clips] == ["24", "30"], name


def test_ai_toolkit_dictionaries_are_read(tmp_path):
    data = {"/data/a.mp4": {"caption": "one"}, "b.mp4": "two"}
    (tmp_path / "d.json").write_text(json.dumps(data))
    clips = read_dataset(tmp_path / "d.json")
    assert [c.source for c in clips] == ["/data/a.mp4", str(tmp_path / "b.mp4")]
    assert [c.caption for c in clips] == ["one", "two"]


def test_vidgen_names_without_suffix_are_found_in_any_folder(tmp_path):
    touch(tmp_path, "part0/x-Scene-0013.mp4", "part1/y-Scene-0001.mp4")
    rows = [{"vid": name, "caption": "c"} for name in ("y-Scene-0001", "x-Scene-0013", "gone")]
    (tmp_path / "VidGen_1M_video_caption.json").write_text(json.dumps(rows))
    sources = [c.source for c in read_dataset(tmp_path / "VidGen_1M_video_caption.json")]
    assert sources == [
        str(tmp_path / "part1/y-Scene-0001.mp4"),
        str(tmp_path / "part0/x-Scene-0013.mp4"),
        str(tmp_path / "gone.mp4"),
    ]


@pytest.mark.parametrize(
    "name", ["metadata.jsonl", "metadata.csv", "metadata.json", "dataset.jsonl"]
)
def test_a_folder_with_its_own_list_is_read_by_that_list(tmp_path, name):
    touch(tmp_path, "a.mp4", "b.mp4")
    row = {"file_name": "b.mp4", "text": "from the list"}
    text = {
        "jsonl": json.dumps(row),
        "json": json.dumps([row]),
        "csv": "file_name,text\nb.mp4,from the list\n",
    }[name.split(".")[1]]
    (tmp_path / name).write_text(text)
    assert [(c.name, c.caption) for c in read_dataset(tmp_path)] == [("b.mp4", "from the list")]


def test_paired_text_files_are_read_line_by_line(tmp_path):
    (tmp_path / "videos.txt").write_text("v/a.mp4\nv/b.mp4\n")
    (tmp_path / "prompt.txt").write_text("one\ntwo\n")
    clips = read_dataset(tmp_path)
    assert [(c.name, c.caption, c.row) for c in clips] == [("a.mp4", "one", 1), ("b.mp4", "two", 2)]
    (tmp_path / "prompt.txt").write_text("one\n")
    assert "lists 2 videos but prompt.txt holds 1 captions" in refusal(tmp_path)


def test_relative_paths_count_from_the_list_or_from_base(tmp_path):
    (tmp_path / "lists").mkdir()
    path = tmp_path / "lists" / "d.csv"
    path.write_text("video\n../v/a.mp4\n")
    assert read_dataset(path)[0].source == str(tmp_path / "lists" / ".." / "v" / "a.mp4")
    assert read_dataset(path, base=tmp_path / "x")[0].source == str(tmp_path / "x/../v/a.mp4")


@pytest.mark.parametrize(
    ("row", "span"),
    [
        ({"start": 1.5, "end": 4}, (1.5, 4.0)),
        ({"start": "1.5", "end": ""}, (1.5, None)),
        ({"end": "0:01:02.5"}, (0.0, 62.5)),
        ({"timestamp": [2, 5.25]}, (2.0, 5.25)),
        ({"timestamp": "['0:00:20.1', '0:00:25']"}, (20.1, 25.0)),
        ({"timestamp": ""}, (0.0, None)),
        ({}, (0.0, None)),
    ],
)
def test_spans_are_read_as_seconds(tmp_path, row, span):
    (tmp_path / "d.jsonl").write_text(json.dumps({"video": "a.mp4", **row}))
    clip = read_dataset(tmp_path / "d.jsonl")[0]
    assert (clip.start, clip.end) == (pytest.approx(span[0]), span[1])


@pytest.mark.parametrize("row", [{"start": "soon"}, {"timestamp": [1, 2, 3]}, {"end": [1]}])
def test_an_unreadable_span_is_that_clip_s_error_and_no_other(tmp_path, numbered_video, row):
    path = numbered_video(9)
    rows = [{"video": str(path), **row}, {"video": str(path)}]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    bad, good = read_dataset(tmp_path / "d.jsonl")
    standard = ClipStandard(9, 16, 16, 16)
    with pytest.raises(ClipError, match="cannot read the times"):
        decode_clip(bad, standard)
    assert decode_clip(good, standard).pixels.shape[0] == 9


def test_rows_without_a_file_or_a_path_stay_and_fail_later(tmp_path):
    (tmp_path / "d.jsonl").write_text('{"video": "gone.mp4"}\n{"video": null}\n{"prompt": "p"}\n')
    clips = read_dataset(tmp_path / "d.jsonl")
    assert [c.row for c in clips] == [1, 2, 3]
    for clip, word in zip(clips, ["not found", "no video path", "no video path"], strict=True):
        with pytest.raises(ClipError, match=word):
            decode_clip(clip, ClipStandard())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_captions_in_usual_encodings_are_read(tmp_path, encoding, caplog):
    text = "video,prompt\na.mp4,café “spin”\n"
    bom = "\ufeff" if encoding == "utf-16-le" else ""
    (tmp_path / "d.csv").write_bytes((bom + text).encode(encoding))
    assert read_dataset(tmp_path / "d.csv")[0].caption == "café “spin”"
    assert ("not UTF-8; read as cp1252" in caplog.text) == (encoding == "cp1252")


def test_strange_bytes_in_caption_files_never_stop_the_reading(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    (tmp_path / "a.txt").write_bytes(b"\x81\x8d caf\xe9")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "c.txt").write_bytes(b"")
    captions = [clip.caption for clip in read_dataset(tmp_path)]
    assert captions[0].endswith("café")
    assert captions[2] == ""


def test_captions_are_always_text_that_can_be_stored(tmp_path):
    lines = [
        '{"video": "a.mp4", "prompt": "broken \\ud800 escape"}',
        '{"video": "a.mp4", "prompt": 7}',
        '{"video": "a.mp4", "prompt": null}',
        '{"video": "a.mp4", "prompt": NaN}',
        '{"video": "a.mp4", "prompt": ["one", "two"]}',
    ]
    (tmp_path / "d.jsonl").write_text("\n".join(lines))
    captions = [clip.caption for clip in read_dataset(tmp_path / "d.jsonl")]
    assert captions == ["broken ? escape", "7", "", "", "one two"]
    for caption in captions:
        caption.encode("utf-8")


def test_spreadsheets_with_semicolons_are_read(tmp_path):
    (tmp_path / "d.csv").write_text("video;prompt\na.mp4;spin, then stop\n")
    assert read_dataset(tmp_path / "d.csv")[0].caption == "spin, then stop"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("d.csv", "clip,words\na.mp4,b\n", ["found: clip, words", "video, video_path"]),
        ("d.csv", "video,prompt\n", ["no row"]),
        ("d.csv", "video,prompt\na.mp4,one, two\n", ["line 2", "double quotes"]),
        ("d.csv", "  \n", ["empty list"]),
        ("d.jsonl", '{"video": "a.mp4"}\n{"video": \n', ["line 2 is not JSON"]),
        ("d.jsonl", '{"video": "a.mp4"}\n[1]\n', ["line 2 is not an object"]),
        ("d.json", '[{"video": "a.mp4"},\n{]', ["not JSON at line 2"]),
        ("d.json", '{"video": "a.mp4"}\n{"video": "b.mp4"}', [".jsonl"]),
        ("d.json", "[]", ["no row"]),
        ("d.json", "3", ["neither a list nor an object"]),
        ("d.json", "[" * 100_000, ["nested too deeply"]),
        ("d.jsonl", '{"video": "https://x.org/a.mp4"}', ["row 1", "is an address"]),
        ("d.txt", "a.mp4", ["neither a folder, a video, nor a list"]),
    ],
)
def test_mistakes_in_lists_are_named_with_their_place(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    message = refusal(tmp_path / name)
    assert str(tmp_path / name) in message
    for word in words:
        assert word in message


def test_sources_that_are_no_data_set_are_named(tmp_path):
    assert "no such file or folder" in refusal(tmp_path / "gone")
    assert "no video found" in refusal(tmp_path)
    assert "is an address" in refusal("s3://bucket/videos")

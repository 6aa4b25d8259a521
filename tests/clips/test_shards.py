"""WebDataset shards are read in place, and mistakes in them are named."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from motive.clips import Clip, ClipStandard, decode_clip, probe, read_dataset
from motive.clips.archive import stat_source
from motive.errors import ClipError
from numbered_videos import number_on_frame
from refused_datasets import refusal

STANDARD = ClipStandard(5, 8, 32, 64)


def shard(path, members, mode="w"):
    """A tar with these (name, bytes or text) members."""
    with tarfile.open(path, mode) as tar:
        for name, content in members:
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def test_samples_become_clips_with_their_texts(tmp_path, numbered_video):
    video = numbered_video(9, 8).read_bytes()
    details = json.dumps({"caption": "not this one", "motion": "spin", "score": 0.5})
    path = shard(
        tmp_path / "train-000000.tar",
        [
            ("a/0001.mp4", video),
            ("a/0001.txt", "ein Café\n"),
            ("a/0001.json", details),
            ("__meta__/about.json", "{}"),
            ("README", "no sample"),
            ("a/0002.left.MP4", video),
            ("a/0002.json", json.dumps({"prompt": "from json"})),
            ("./0003.txt", "no video"),
        ],
    )
    one, two, three = read_dataset(path)
    assert one.source == f"{path}/a/0001.mp4"
    assert (one.caption, one.label, one.extra["score"], one.row) == ("ein Café", "spin", 0.5, 1)
    assert (two.name, two.caption) == ("0002.left.MP4", "from json")
    assert (three.caption, three.row) == ("no video", 3)
    with pytest.raises(ClipError, match=r"0003.mp4: the archive holds no such file"):
        decode_clip(three, STANDARD)


def test_a_clip_in_a_shard_is_the_clip_of_its_file(tmp_path, numbered_video):
    video = numbered_video(9, 8)
    data = [("x.mp4", b"\0" * 700), ("y.mp4", video.read_bytes()), ("y.txt", "c")]
    path = shard(tmp_path / "s.tar", data)
    clip = read_dataset(path)[1]
    plain = Clip(str(video), "c")
    assert clip.id == plain.id
    assert probe(clip.source) == probe(video)
    assert stat_source(clip.source).size == video.stat().st_size
    for start in (0.0, 0.5):
        inside = decode_clip(Clip(clip.source, start=start), STANDARD)
        outside = decode_clip(Clip(plain.source, start=start), STANDARD)
        assert [number_on_frame(frame) for frame in inside.pixels] == [
            round(start * 8) + n for n in range(5)
        ]
        assert inside.provenance == outside.provenance


def test_a_folder_of_shards_is_read_in_order(tmp_path):
    for name in ("b", "a"):
        shard(tmp_path / f"{name}.tar", [(f"{name}1.mp4", b"v"), (f"{name}2.mp4", b"v")])
    assert [clip.name for clip in read_dataset(tmp_path)] == [
        "a1.mp4",
        "a2.mp4",
        "b1.mp4",
        "b2.mp4",
    ]
    assert [clip.row for clip in read_dataset(tmp_path)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("../up.mp4", b"v")], "member '../up.mp4' leads out of the archive"),
        ([("/etc/a.mp4", b"v")], "leads out of the archive"),
        ([("a.mp4", b"v"), ("a.mp4", b"v")], "lists a.mp4 twice"),
        ([("a.mp4", b"v"), ("a.json", "{")], "a.json is not JSON"),
        ([("a.mp4", b"v"), ("a.json", "[]")], "a.json is not an object"),
        ([("a.mp4", b"v"), ("a.txt", b"\xff\xfe\xff")], "a.txt is not UTF-8"),
        ([("README", "nothing")], "holds no sample"),
        ([], "holds no sample"),
    ],
)
def test_mistakes_in_shards_are_named(tmp_path, members, words):
    assert words in refusal(shard(tmp_path / "s.tar", members))


def test_archives_that_cannot_be_read_in_place_are_named(tmp_path):
    shard(tmp_path / "packed.tar", [("a.mp4", b"v")], mode="w:gz")
    assert "not an uncompressed tar archive" in refusal(tmp_path / "packed.tar")
    (tmp_path / "text.tar").write_text("hello" * 300)
    assert "not an uncompressed tar archive" in refusal(tmp_path / "text.tar")


def test_a_truncated_video_in_a_shard_is_that_clip_s_error(tmp_path, numbered_video):
    data = numbered_video(9, 8).read_bytes()
    path = shard(tmp_path / "s.tar", [("a.mp4", data[:300]), ("b.mp4", b""), ("c.mp4", data)])
    bad, empty, good = read_dataset(path)
    with pytest.raises(ClipError, match="not a video that FFmpeg can read"):
        decode_clip(bad, STANDARD)
    with pytest.raises(ClipError, match="empty file"):
        decode_clip(empty, STANDARD)
    assert decode_clip(good, STANDARD).pixels.shape[0] == 5


def test_a_folder_called_like_an_archive_is_a_folder(tmp_path, numbered_video):
    (tmp_path / "videos.tar").mkdir()
    video = numbered_video(6, 8)
    video.rename(tmp_path / "videos.tar" / "a.mp4")
    (clip,) = read_dataset(tmp_path / "videos.tar")
    assert decode_clip(clip, STANDARD).pixels.shape[0] == 5

"""What is exported is what the trainers read, and what MOTIVE reads again."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

import trainer_readers
from export_items import item_of
from motive.clips import Clip, decode_clip, read_dataset
from motive.clips.archive import open_source
from motive.exports import FORMATS, export_clips
from numbered_videos import number_on_frame

WAYS = [(form.key, videos) for form in FORMATS for videos in form.videos]
TEXT_FILES = ("diffusion-pipe", "ai-toolkit")  # MOTIVE reads a caption file as one line


def as_the_trainer_reads(key: str, out: Path) -> list[tuple[str, str]]:
    if key == "diffsynth":
        return trainer_readers.diffsynth(str(out), str(out / "metadata.jsonl"))
    if key == "musubi-tuner":
        return trainer_readers.musubi(out / "dataset.toml")
    if key == "diffusion-pipe":
        return trainer_readers.diffusion_pipe(out / "dataset.toml", model_fps=8)
    if key == "videox-fun":
        rows = trainer_readers.videox_fun(out / "metadata.json", str(out))
        assert trainer_readers.videox_fun(out / "metadata.csv", str(out)) == rows
        return rows
    if key == "ai-toolkit":
        (entry,) = yaml.safe_load((out / "dataset.yaml").read_text("ascii"))
        return trainer_readers.ai_toolkit(entry)
    if key == "finetrainers":
        return trainer_readers.finetrainers(out / "finetrainers.json")
    if key == "videofolder":
        return trainer_readers.videofolder(out)
    if key == "webdataset":
        found = []
        for shard in sorted(out.glob("train-*.tar")):
            for sample in trainer_readers.webdataset_samples(shard):
                suffix = next(name for name in sample if name in ("mp4", "mov"))
                found.append((f"{shard}/{sample['__key__']}.{suffix}", sample["txt"].decode()))
        return found
    rows = pq.read_table(out / "metadata.parquet").to_pylist()
    return [(str(out / row["video"]), row["caption"]) for row in rows]


def content(path: str) -> bytes:
    with open_source(path) as file:
        return file.read()


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(("key", "videos"), WAYS, ids=str)
def test_the_trainer_and_motive_read_what_was_exported(tmp_path, items, standard, key, videos):
    if (key, videos) == ("musubi-tuner", "reference"):
        items = items[1:]  # it would cache a/clip.mp4 and b/clip.mp4 as one
    if (key, videos) == ("webdataset", "copy"):
        items = items[:-1]  # a .MOV among .mp4
    out = tmp_path / "out é"
    result = export_clips(items, key, out, standard=standard, videos=videos)
    assert not result.left_out

    read = as_the_trainer_reads(key, out)
    wanted = [item.clip.caption for item in items]
    in_order = not (key == "diffusion-pipe" or (key == "ai-toolkit" and videos != "reference"))
    if in_order:
        assert [caption for _, caption in read] == wanted
    assert sorted(caption for _, caption in read) == sorted(wanted)

    by_caption = {item.clip.caption: item.clip for item in items}
    for path, caption in read:
        clip = by_caption[caption]
        if videos == "standard":
            assert decode_clip(Clip(path), standard).provenance.source_fps == 8
        else:
            assert content(path) == content(clip.source)

    again = read_dataset(out)
    key_of = one_line if key in TEXT_FILES and videos != "reference" else str
    assert sorted(clip.caption for clip in again) == sorted(map(key_of, wanted))
    found = {clip.caption: clip for clip in again}
    for caption, clip in by_caption.items():
        twin = found[key_of(caption)]
        if videos == "standard":
            assert decode_clip(twin, standard).provenance.source_fps == 8
        elif key_of(caption) == caption:
            assert twin.id == clip.id


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.key)
def test_every_export_says_why_each_clip_is_in_it(tmp_path, items, standard, form):
    videos = "standard" if form.key == "webdataset" else None
    result = export_clips(items, form.key, tmp_path / "out", standard=standard, videos=videos)
    record = json.loads((tmp_path / "out" / "motive.json").read_text("utf-8"))
    assert record["complete"] is True
    assert record["format"] == form.key
    assert record["standard"] == vars(standard)
    assert record["command"] == result.command
    assert [clip["rank"] for clip in record["clips"]] == [1, 2, 3, 4, 5, 6]
    for entry, item in zip(record["clips"], items, strict=True):
        assert entry["clip_id"] == item.clip_id
        assert entry["votes"] == 2
        assert entry["scores"] == dict(item.scores)
        assert entry["source"] == item.clip.source
        assert content(str(tmp_path / "out" / entry["file"]))
    assert "1 of 6 clips have no caption" in result.warnings


def test_standard_videos_are_the_frames_that_were_scored(tmp_path, numbered_video, standard):
    source = numbered_video(40, fps=24, size=(32, 64))
    item = item_of(source, "a span", start=0.5)
    scored = [number_on_frame(f) for f in decode_clip(item.clip, standard).pixels]
    assert scored == [12, 15, 18, 21, 24]
    for key in ("diffsynth", "webdataset"):
        out = tmp_path / key
        export_clips([item], key, out, standard=standard, videos="standard")
        (clip,) = read_dataset(out)
        pixels = decode_clip(clip, standard).pixels
        assert [number_on_frame(frame) for frame in pixels] == scored


def test_musubi_keeps_the_frames_that_were_scored_whatever_the_rate(
    tmp_path, numbered_video, standard
):
    items = [
        item_of(numbered_video(count, fps=fps, name=f"{fps}.mp4", size=(32, 64)), f"at {fps}")
        for fps, count in ((8, 9), (24, 40), (30, 50))
    ]
    out = tmp_path / "out"
    assert export_clips(items, "musubi-tuner", out, standard=standard).warnings == []
    tables = trainer_readers.musubi_tables(out / "dataset.toml")
    assert [table.get("source_fps") for table in tables] == [None, 48.0, 60.0]
    for item, table, (path, caption) in zip(
        items, tables, trainer_readers.musubi(out / "dataset.toml"), strict=True
    ):
        assert caption == item.clip.caption
        read = [number_on_frame(frame) for frame in trainer_readers.musubi_frames(table, path)]
        scored = [number_on_frame(frame) for frame in decode_clip(item.clip, standard).pixels]
        assert len(read) == 5
        assert all(abs(a - b) <= 1 for a, b in zip(read, scored, strict=True))


def test_video_folder_rows_carry_rank_votes_and_scores(tmp_path, items, standard):
    export_clips(items, "videofolder", tmp_path / "out", standard=standard)
    rows = [json.loads(line) for line in (tmp_path / "out/metadata.jsonl").open(encoding="utf-8")]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[0]["reason"] == "above, both thresholds"
    assert all((tmp_path / "out" / row["file_name"]).is_symlink() for row in rows)


def test_shards_are_cut_at_the_asked_size_and_the_same_bytes_every_time(tmp_path, items, standard):
    for name in ("one", "two"):
        export_clips(items[:5], "webdataset", tmp_path / name, standard=standard, per_shard=2)
    shards = sorted(path.name for path in (tmp_path / "one").glob("*.tar"))
    assert shards == ["train-000000.tar", "train-000001.tar", "train-000002.tar"]
    for shard in shards:
        one, two = ((tmp_path / name / shard).read_bytes() for name in ("one", "two"))
        assert one == two
    assert [c.caption for c in read_dataset(tmp_path / "one")] == [
        item.clip.caption for item in items[:5]
    ]


def test_clips_of_shards_can_be_exported_again(tmp_path, items, standard):
    export_clips(items[:2], "webdataset", tmp_path / "shards", standard=standard)
    inside = [
        item_of(clip.source, clip.caption, rank)
        for rank, clip in enumerate(read_dataset(tmp_path / "shards"), 1)
    ]
    export_clips(inside, "diffsynth", tmp_path / "out", standard=standard, videos="copy")
    again = read_dataset(tmp_path / "out")
    assert [clip.id for clip in again] == [item.clip_id for item in items[:2]]

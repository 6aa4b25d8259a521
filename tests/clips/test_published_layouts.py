"""Miniatures of published data sets and of what trainers write, as they lie on disk."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from motive.clips import ClipStandard, decode_clip, read_dataset
from motive.errors import ClipError, DatasetError
from refused_datasets import refusal

OPENVID = (
    "video,caption,aesthetic score,motion score,temporal consistency score,camera motion,frame,"
    "fps,seconds\n"
    '---_iRTHryQ_13_0to241.mp4,"A man, seated, speaks.",5.1,3.2,0.99,static,241,29.97,8.04\n'
    "--3gone_1_0to90.mp4,Waves roll in.,4.9,7.5,0.98,pan_left,90,30.0,3.0\n"
    "-0abc_2_10to120.mp4,A dog runs.,5.4,9.1,0.97,Undetermined,110,25.0,4.4\n"
)


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"video")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(source, root):
    """(path below the root, caption) of every clip."""
    return [(c.source.removeprefix(f"{root}/"), c.caption) for c in read_dataset(source)]


def assert_missing(clip):
    with pytest.raises(ClipError, match="file not found"):
        decode_clip(clip, ClipStandard())


@pytest.mark.parametrize("by", ["folder", "list"])
def test_vidgen_is_read_with_its_captions_from_any_unpacked_folder(tmp_path, by, caplog):
    touch(tmp_path, "VidGen_video_0/NjDCwU95uGM-Scene-0013.mp4", "x8qD1uU7Hng-Scene-0009.mp4")
    touch(tmp_path, "VidGen_video_1.zip", "VidGen_video_2.zip", "unlisted.mp4")
    names = ("x8qD1uU7Hng-Scene-0009", "zt1GLX-vGl4-Scene-0077", "NjDCwU95uGM-Scene-0013")
    rows = [{"vid": name, "caption": f"The video of {name}."} for name in names]
    listed = write(tmp_path / "VidGen_1M_video_caption.json", json.dumps(rows))
    source = tmp_path if by == "folder" else listed
    clips = read_dataset(source)
    assert [clip.source.removeprefix(f"{tmp_path}/") for clip in clips] == [
        "x8qD1uU7Hng-Scene-0009.mp4",
        "zt1GLX-vGl4-Scene-0077.mp4",
        "VidGen_video_0/NjDCwU95uGM-Scene-0013.mp4",
    ]
    assert [clip.caption for clip in clips] == [f"The video of {name}." for name in names]
    assert_missing(clips[1])
    assert "2 zip archives in it are not read; unpack them" in caplog.text


@pytest.mark.parametrize("listed", ["data/train/OpenVid-1M.csv", "OpenVid-1M.csv", "OpenVidHD.csv"])
@pytest.mark.parametrize("videos", ["video", "OpenVid_part0/deeper", "."])
def test_openvid_is_read_however_it_was_unpacked(tmp_path, listed, videos):
    touch(tmp_path / videos, "---_iRTHryQ_13_0to241.mp4", "-0abc_2_10to120.mp4")
    path = write(tmp_path / listed, OPENVID)
    for source in (tmp_path, path):
        clips = read_dataset(source)
        assert [clip.source for clip in clips] == [
            str(tmp_path / videos / "---_iRTHryQ_13_0to241.mp4"),
            str(tmp_path / "--3gone_1_0to90.mp4"),
            str(tmp_path / videos / "-0abc_2_10to120.mp4"),
        ]
        assert [clip.caption for clip in clips] == [
            "A man, seated, speaks.",
            "Waves roll in.",
            "A dog runs.",
        ]
        assert (clips[0].start, clips[0].end) == (0.0, None)
        assert clips[0].extra["motion score"] == "3.2"
        assert_missing(clips[1])


def test_a_video_of_the_same_name_elsewhere_is_never_taken_for_an_ordinary_list_s(tmp_path):
    touch(tmp_path, "other/a.mp4")
    write(tmp_path / "metadata.csv", "video,prompt\na.mp4,spin\n")
    assert read(tmp_path, tmp_path) == [("a.mp4", "spin")]


def test_the_larger_openvid_list_is_read_where_both_lie(tmp_path):
    write(tmp_path / "data/train/OpenVid-1M.csv", OPENVID)
    write(tmp_path / "data/train/OpenVidHD.csv", "".join(OPENVID.splitlines(True)[:2]))
    assert len(read_dataset(tmp_path)) == 3
    assert len(read_dataset(tmp_path / "data/train/OpenVidHD.csv")) == 1


def four_d(root, csv="{}_with_caption_upload.csv"):
    """4DNeX-10M in the layout of its training code: annotations, captions and raw videos."""
    touch(root, "raw/dynamic/dynamic_1/00000028.mp4", "raw/dynamic/dynamic_1/00000007.mp4")
    touch(root, "raw/static/static_2/00000028.mp4", "raw/static/static_1/00000003/images_4/0.png")
    touch(root, "dynamic/dynamic_1/00000028/clip_000000-000053/frame_0000.npy")
    touch(root, "static/static_2/00000028/frame_0-48.npz")
    for name, text in {
        "dynamic_1": '28,"A cat, leaping."\n9,Gone.\n',
        "static_1": "3,A room.\n",
        "static_2": "28,A statue.\n",
    }.items():
        write(root / "caption" / csv.format(name), f"number,caption\n{text}")


def test_4dnex_videos_get_the_captions_of_their_own_subset(tmp_path, caplog):
    four_d(tmp_path)
    assert read(tmp_path, tmp_path) == [
        ("raw/dynamic/dynamic_1/00000028.mp4", "A cat, leaping."),
        ("raw/dynamic/dynamic_1/00000009.mp4", "Gone."),
        ("raw/static/static_1/00000003", "A room."),
        ("raw/static/static_2/00000028.mp4", "A statue."),
    ]
    assert "1 videos are not named in 3 lists and left out" in caplog.text
    assert "1 scenes are folders of images, which are not read" in caplog.text
    clips = read_dataset(tmp_path)
    assert [clip.extra["subset"] for clip in clips][1:3] == ["dynamic_1", "static_1"]
    assert_missing(clips[1])
    with pytest.raises(ClipError, match="is a folder"):
        decode_clip(clips[2], ClipStandard())


def test_one_list_of_4dnex_is_a_data_set(tmp_path):
    four_d(tmp_path)
    listed = tmp_path / "caption" / "static_2_with_caption_upload.csv"
    assert read(listed, tmp_path) == [("raw/static/static_2/00000028.mp4", "A statue.")]


def test_4dnex_without_kind_folders_and_with_short_names_is_read(tmp_path):
    touch(tmp_path, "raw/dynamic1/00000028.mp4", "raw/dynamic2/00000028.mp4")
    write(tmp_path / "caption/dynamic1.csv", "number,caption\n28,one\n,no number\nabc,odd\n")
    write(tmp_path / "caption/dynamic2.csv", "number,caption\n00000028,two\n")
    write(tmp_path / "caption/dynamic_3_with_caption_upload.csv", "number,caption\n5,not there\n")
    assert read(tmp_path, tmp_path) == [
        ("raw/dynamic1/00000028.mp4", "one"),
        ("", "no number"),
        ("raw/dynamic1/abc.mp4", "odd"),
        ("raw/dynamic2/00000028.mp4", "two"),
        ("raw/dynamic/dynamic_3/00000005.mp4", "not there"),
    ]


def test_what_4dnex_s_own_preparation_writes_is_read(tmp_path):
    touch(tmp_path, "videos/00000028-0000-0053.mp4", "pointmap/00000028-0000-0053.mp4")
    write(tmp_path / "videos.txt", "videos/00000028-0000-0053.mp4")
    write(tmp_path / "prompts.txt", "A cat\u2028leaping.\r\n")
    assert read(tmp_path, tmp_path) == [("videos/00000028-0000-0053.mp4", "A cat\u2028leaping.")]


def test_mistakes_in_4dnex_lists_are_named(tmp_path):
    touch(tmp_path, "raw/dynamic1/00000001.mp4")
    listed = write(tmp_path / "caption/dynamic1.csv", "id,text\n1,a\n")
    assert "the columns number and caption (found: id, text)" in refusal(tmp_path)
    for empty in ("", "number,caption\n"):
        listed.write_text(empty)
        assert f"{listed}: the list has no row" in refusal(tmp_path)


def test_ordinary_lists_in_folders_called_like_4dnex_s_stay_ordinary(tmp_path):
    touch(tmp_path, "raw/a.mp4", "caption/a.mp4")
    listed = write(tmp_path / "caption/list.csv", "Video,caption\na.mp4,spin\n")
    assert read(listed, tmp_path) == [("caption/a.mp4", "spin")]
    assert [clip.name for clip in read_dataset(tmp_path)] == ["a.mp4", "a.mp4"]


def test_zip_archives_without_videos_are_named(tmp_path):
    touch(tmp_path, "OpenVid_part0.zip")
    assert "1 zip archives in it are not read; unpack them" in refusal(tmp_path)


def test_diffsynth_metadata_is_read(tmp_path):
    touch(tmp_path, "video1.mp4")
    write(
        tmp_path / "metadata.csv",
        'video,prompt,input_image\nvideo1.mp4,"from sunset to night, a small town",\n'
        "train/video2.mp4,gone,\n",
    )
    assert read(tmp_path, tmp_path) == [
        ("video1.mp4", "from sunset to night, a small town"),
        ("train/video2.mp4", "gone"),
    ]
    assert_missing(read_dataset(tmp_path)[1])


def hugging_face_table(*rows):
    video = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns = {"video": pa.array([v for v, _ in rows], video), "caption": [c for _, c in rows]}
    return pa.table(columns)


def write_arrow(table, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)


@pytest.mark.parametrize("split", ["", "train"])
def test_hugging_face_data_sets_saved_to_disk_are_read(tmp_path, split):
    touch(tmp_path, "v/a.mp4")
    where = tmp_path / split
    row = {"bytes": None, "path": str(tmp_path / "v/a.mp4")}
    write_arrow(hugging_face_table((row, "one")), where / "data-00000-of-00002.arrow")
    gone = {"bytes": None, "path": "v/gone.mp4"}
    second = hugging_face_table((gone, "two"), (None, "three"))
    write_arrow(second, where / "data-00001-of-00002.arrow")
    write(where / "dataset_info.json", "{}")
    assert read(tmp_path, tmp_path) == [("v/a.mp4", "one"), ("v/gone.mp4", "two"), ("", "three")]
    assert [clip.row for clip in read_dataset(tmp_path)] == [1, 2, 3]


@pytest.mark.parametrize(
    "name", ["data/train-0000{}-of-00002.parquet", "default/train/000{}.parquet"]
)
def test_hugging_face_parquet_parts_are_read_in_order(tmp_path, name):
    for part in (1, 0):
        path = tmp_path / name.format(part)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"video": [f"{part}.mp4"], "text": [f"caption {part}"]}), path)
    assert read(tmp_path, tmp_path) == [("0.mp4", "caption 0"), ("1.mp4", "caption 1")]


def test_videos_inside_a_table_are_refused_by_name(tmp_path):
    row = {"bytes": b"video", "path": "a.mp4"}
    pq.write_table(hugging_face_table((row, "one")), tmp_path / "metadata.parquet")
    assert "row 1: video lies inside the table (5 bytes); write the videos" in refusal(tmp_path)
    pq.write_table(pa.table({"video": [b"v"]}), tmp_path / "metadata.parquet")
    assert "lies inside the table (1 bytes)" in refusal(tmp_path)
    pq.write_table(pa.table({"video": ["a"], "digest": [b"v"]}), tmp_path / "metadata.parquet")
    assert read_dataset(tmp_path)[0].extra == {"digest": b"v"}


def test_a_damaged_arrow_part_is_named(tmp_path):
    write(tmp_path / "dataset_info.json", "{}")
    (tmp_path / "data-00000-of-00001.arrow").write_bytes(b"no table" * 9)
    assert "not an Arrow table, or damaged" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("metadata.json", '[{"video": 1' + "0" * 5000 + "}]", "no list of videos"),
        ("metadata.jsonl", '{"video": 1' + "0" * 5000 + "}", "line 1 is not JSON"),
        ("OpenVid-1M.csv", 'video,caption\na.mp4,"never ends\nb.mp4,x\n', "quote left open"),
        ("OpenVid-1M.csv", "video,caption\na.mp4,{}\n".format("x" * 140_000), "field limit"),
    ],
)
def test_a_hostile_list_is_one_line(name, text, words, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=words) as caught:
        read_dataset(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("stem", ["a" * 5000, "a\0b", "../../x", "9" * 5000])
def test_a_row_with_an_impossible_name_stays_a_row(stem, tmp_path):
    (tmp_path / "VidGen_1M_video_caption.json").write_text(
        json.dumps([{"vid": stem, "caption": "x"}])
    )
    nex = tmp_path / "nex"
    (nex / "caption").mkdir(parents=True)
    (nex / "raw").mkdir()
    (nex / "caption" / "dynamic1.csv").write_text(f'number,caption\n"{stem}",x\n')
    for folder in (tmp_path, nex):
        (clip,) = read_dataset(folder)
        assert clip.source.endswith(f"{stem}.mp4")
        with pytest.raises(ClipError) as caught:
            decode_clip(clip, ClipStandard(9, 16, 32, 32))
        assert "\n" not in str(caught.value)


def test_a_time_too_large_for_any_clip_is_reported_with_the_clip(tmp_path):
    row = '{"video": "a.mp4", "start": 1' + "0" * 400 + "}"
    (tmp_path / "metadata.jsonl").write_text(row)
    (clip,) = read_dataset(tmp_path)
    with pytest.raises(ClipError):
        decode_clip(clip, ClipStandard(9, 16, 32, 32))

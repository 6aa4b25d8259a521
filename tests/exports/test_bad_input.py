"""Whatever is wrong with a selection or a folder: one line, nothing lost, nothing mixed."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from unittest import mock

import pytest

from export_items import item_of
from motive.clips import Clip, read_dataset
from motive.errors import ClipError, DatasetError, MotiveError, UsageError
from motive.exports import FORMATS, export_clips
from motive.exports.exporting import _Work


@pytest.fixture
def movable(tmp_path, numbered_video):
    """Two items whose files belong to this test alone."""
    return [
        item_of(numbered_video(7 + n, fps=8, name=f"v{n}.mp4"), f"clip {n}", n + 1) for n in (0, 1)
    ]


def refusal(kind, *arguments, **options) -> str:
    with pytest.raises(kind) as error:
        export_clips(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.key)
def test_a_file_that_is_gone_stops_the_export_before_anything_is_written(
    tmp_path, movable, standard, form
):
    os.remove(movable[1].clip.source)
    out = tmp_path / "out"
    message = refusal(ClipError, movable, form.key, out, standard=standard)
    assert message.startswith("1 of 2 clips cannot be exported; first: ")
    assert "v1.mp4: file not found" in message
    assert "--skip-unusable" in message
    assert not out.exists()


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.key)
def test_unusable_clips_can_be_left_out_and_are_named(tmp_path, movable, standard, form):
    os.remove(movable[1].clip.source)
    out = tmp_path / "out"
    result = export_clips(movable, form.key, out, standard=standard, skip_unusable=True)
    assert [clip.caption for clip in read_dataset(out)] == ["clip 0"]
    ((source, reason),) = result.left_out
    assert source == movable[1].clip.source
    (entry,) = json.loads((out / "motive.json").read_text())["left_out"]
    assert entry == {"clip_id": movable[1].clip_id, "source": source, "reason": reason}


def test_a_file_that_changed_since_it_was_scored_is_not_exported(tmp_path, movable, standard):
    with open(movable[0].clip.source, "ab") as file:
        file.write(b"more")
    message = refusal(ClipError, movable, "diffsynth", tmp_path / "out", standard=standard)
    assert "v0.mp4: has changed since it was scored" in message


def test_a_file_that_was_only_touched_is_exported(tmp_path, movable, standard):
    os.utime(movable[0].clip.source, (1, 1))
    assert not export_clips(movable, "diffsynth", tmp_path / "out", standard=standard).left_out


@pytest.mark.parametrize(("key", "videos"), [("diffsynth", "standard"), ("webdataset", "standard")])
def test_a_video_that_breaks_while_it_is_cut_is_named(tmp_path, movable, standard, key, videos):
    longer = dataclasses.replace(standard, frames=8)  # v0 has 7
    out = tmp_path / "out2"
    message = refusal(ClipError, movable, key, out, standard=longer, videos=videos)
    assert "v0.mp4" in message
    assert json.loads((out / "motive.json").read_text())["complete"] is False
    result = export_clips(movable, key, out, standard=longer, videos=videos, skip_unusable=True)
    assert [source for source, _ in result.left_out] == [movable[0].clip.source]
    assert [clip.caption for clip in read_dataset(out)] == ["clip 1"]


def test_an_empty_selection_is_refused(tmp_path, standard):
    message = refusal(UsageError, [], "diffsynth", tmp_path / "out", standard=standard)
    assert "the selection is empty" in message


def test_when_no_clip_is_usable_skipping_does_not_make_an_empty_export(tmp_path, movable, standard):
    for item in movable:
        os.remove(item.clip.source)
    message = refusal(
        DatasetError, movable, "diffsynth", tmp_path / "o", standard=standard, skip_unusable=True
    )
    assert message.startswith("none of 2 clips can be exported; first: ")
    assert not (tmp_path / "o").exists()


def test_spans_of_longer_videos_are_not_exported_as_whole_files(tmp_path, movable, standard):
    spans = [item_of(movable[0].clip.source, "part", start=0.125), movable[1]]
    for form in FORMATS:
        if form.key == "parquet":
            continue
        message = refusal(UsageError, spans, form.key, tmp_path / "o", standard=standard)
        assert "1 of 2 clips are spans of longer videos" in message
        assert "--videos standard" in message
    export_clips(spans, "parquet", tmp_path / "table", standard=standard)
    first = read_dataset(tmp_path / "table")[0]
    assert (first.start, first.end, first.id) == (0.125, None, spans[0].clip_id)


def test_containers_that_a_trainer_does_not_open_are_refused(tmp_path, numbered_video, standard):
    item = item_of(numbered_video(8, fps=8, name="a.ts"), "c")
    for key in ("diffsynth", "ai-toolkit", "finetrainers", "videofolder"):
        message = refusal(UsageError, [item], key, tmp_path / "o", standard=standard)
        assert "1 of 1 clips are in containers that" in message
        assert "a.ts" in message
    assert not (tmp_path / "o").exists()


def test_members_of_archives_are_not_referred_to(tmp_path, movable, standard):
    export_clips(movable, "webdataset", tmp_path / "shards", standard=standard)
    inside = [item_of(clip.source, clip.caption) for clip in read_dataset(tmp_path / "shards")]
    message = refusal(UsageError, inside, "diffsynth", tmp_path / "out", standard=standard)
    assert "2 of 2 clips lie in archives" in message
    assert "--videos copy" in message


def test_what_a_format_cannot_keep_apart_is_refused(tmp_path, movable, numbered_video, standard):
    same = item_of(movable[0].clip.source, "another caption")
    message = refusal(
        UsageError, [movable[0], same], "ai-toolkit", tmp_path / "o", standard=standard,
        videos="reference",
    )  # fmt: skip
    assert "is in the selection 2 times with different captions" in message
    message = refusal(
        UsageError, [movable[0], same], "musubi-tuner", tmp_path / "o", standard=standard,
        videos="reference",
    )  # fmt: skip
    assert "2 clips have files called v0" in message
    mov = item_of(numbered_video(8, fps=8, name="a.mov"), "c")
    message = refusal(
        UsageError, [movable[0], mov], "webdataset", tmp_path / "o", standard=standard
    )
    assert "clips come as .mov, .mp4" in message
    message = refusal(UsageError, movable, "musubi-tuner", tmp_path / "o[1]", standard=standard)
    assert "o[1]: musubi-tuner finds no cache below" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"to": "kohya"}, "format 'kohya': must be one of diffsynth, musubi-tuner, "),
        ({"to": "webdataset", "videos": "link"}, "--videos link: webdataset takes copy, standard"),
        ({"to": "webdataset", "per_shard": 0}, "clips per shard 0"),
    ],
)
def test_wrong_options_are_named(tmp_path, movable, standard, options, words):
    to = options.pop("to")
    message = refusal(UsageError, movable, to, tmp_path / "o", standard=standard, **options)
    assert words in message


def test_clip_ids_that_are_no_names_are_refused(tmp_path, movable, standard):
    for clip_id in ("../up", "a/b", "", "a.b", "é"):
        bad = dataclasses.replace(movable[0], clip_id=clip_id)
        assert "clip id" in refusal(
            UsageError, [bad], "diffsynth", tmp_path / "o", standard=standard
        )
    twice = [movable[0], movable[0]]
    message = refusal(UsageError, twice, "diffsynth", tmp_path / "o", standard=standard)
    assert f"clip {movable[0].clip_id}: is in the selection twice" in message


def test_captions_that_no_file_can_hold_are_refused(tmp_path, movable, standard):
    bad = dataclasses.replace(
        movable[0], clip=dataclasses.replace(movable[0].clip, caption="\ud800")
    )
    message = refusal(ClipError, [bad, movable[1]], "diffsynth", tmp_path / "o", standard=standard)
    assert "the caption is not valid Unicode" in message
    named = dataclasses.replace(bad, clip=Clip("/data/\udcff.mp4"))
    result = export_clips(
        [named, movable[1]], "diffsynth", tmp_path / "o", standard=standard, skip_unusable=True
    )
    assert result.left_out[0][0] == "/data/\\udcff.mp4"


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.key)
def test_a_folder_with_another_export_is_refused_and_kept(tmp_path, movable, standard, form):
    out = tmp_path / "out"
    export_clips(movable, form.key, out, standard=standard)
    before = {name: (out / name).read_bytes() for name in files_in(out)}
    for other in (movable[:1], movable[::-1]):
        message = refusal(UsageError, other, form.key, out, standard=standard)
        assert f"{out}: holds another export ({form.key}, " in message
    shorter = dataclasses.replace(standard, frames=4)
    refusal(UsageError, movable, form.key, out, standard=shorter)
    assert {name: (out / name).read_bytes() for name in files_in(out)} == before


def test_folders_that_are_not_ours_are_refused_and_kept(tmp_path, movable, standard):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    assert "is not empty" in refusal(UsageError, movable, "diffsynth", mine, standard=standard)
    assert files_in(mine) == {"thesis.txt"}
    message = refusal(UsageError, movable, "diffsynth", mine / "thesis.txt", standard=standard)
    assert "is a file; give a folder" in message
    (mine / "thesis.txt").rename(mine / "motive.json")
    message = refusal(UsageError, movable, "diffsynth", mine, standard=standard)
    assert "motive.json: cannot be read" in message
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    message = refusal(UsageError, movable, "diffsynth", tmp_path / "nowhere", standard=standard)
    assert "is a link to nothing" in message


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.key)
def test_the_same_export_again_changes_nothing(tmp_path, movable, standard, form):
    out = tmp_path / "out"
    first = export_clips(movable, form.key, out, standard=standard)
    before = {name: (out / name).read_bytes() for name in files_in(out)}
    again = export_clips(movable, form.key, out, standard=standard)
    assert (again.new, again.reused) == (0, 2)
    assert first.command == again.command
    assert {name: (out / name).read_bytes() for name in files_in(out)} == before


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.key)
def test_an_export_that_was_killed_is_continued(tmp_path, movable, standard, form):
    out = tmp_path / "out"
    with (
        mock.patch.object(_Work, "_record", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        export_clips(movable, form.key, out, standard=standard)
    assert json.loads((out / "motive.json").read_text())["complete"] is False
    left = [out / ".0123456789ab.mp4", out / "clips" / ".0123456789ab.mp4"]
    for path in left:  # what a killed write leaves
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    result = export_clips(movable, form.key, out, standard=standard)
    assert (result.new, result.reused) == (0, 2)
    assert not any(path.exists() for path in left)
    assert [clip.caption for clip in read_dataset(out)] == ["clip 0", "clip 1"]


def test_a_clip_that_is_left_out_later_does_not_stay_in_the_folder(tmp_path, movable, standard):
    out = tmp_path / "out"
    for key in ("diffusion-pipe", "webdataset"):
        export_clips(movable, key, out / key, standard=standard)
    os.remove(movable[0].clip.source)
    for key in ("diffusion-pipe", "webdataset"):
        export_clips(movable, key, out / key, standard=standard, skip_unusable=True)
        assert [clip.caption for clip in read_dataset(out / key)] == ["clip 1"]
    assert len(list((out / "diffusion-pipe" / "clips").iterdir())) == 2


@pytest.mark.parametrize("key", ["diffusion-pipe", "webdataset", "parquet"])
def test_a_full_disk_is_one_line_and_the_export_can_continue(tmp_path, movable, standard, key):
    full = OSError(errno.ENOSPC, "No space left on device")
    out = tmp_path / "out"
    calls = []

    def replace(source, target, real=os.replace):
        calls.append(target)
        if len(calls) == 3:
            raise full
        real(source, target)

    videos = "reference" if key == "parquet" else "copy"
    with mock.patch("motive.files.os.replace", side_effect=replace):
        message = refusal(MotiveError, movable, key, out, standard=standard, videos=videos)
    assert "the disk is full" in message
    export_clips(movable, key, out, standard=standard, videos=videos)
    assert [clip.caption for clip in read_dataset(out)] == ["clip 0", "clip 1"]


def test_a_file_system_without_links_says_what_to_do(tmp_path, movable, standard):
    with mock.patch("os.symlink", side_effect=PermissionError(errno.EPERM, "not permitted")):
        message = refusal(
            MotiveError, movable, "diffusion-pipe", tmp_path / "out", standard=standard
        )
    assert "cannot make a link here (not permitted); use --videos copy" in message


def test_clips_that_a_trainer_would_drop_or_play_at_another_speed_are_named(
    tmp_path, numbered_video, standard
):
    slow = item_of(numbered_video(9, fps=4, name="slow.mp4"), "slow")
    fast = item_of(numbered_video(17, fps=24, name="fast.mp4"), "fast")  # 16 / 3 frames: enough
    both = [slow, fast]
    expected = {
        "diffsynth": "2 of 2 clips (first: {slow}) do not run at 8 frames per second",
        "musubi-tuner": "1 of 2 clips (first: {slow}) give musubi-tuner fewer than 5 frames and it "
        "leaves them out",
        "videox-fun": "2 of 2 clips (first: {slow}) do not run at 8",
        "ai-toolkit": "2 of 2 clips (first: {slow}) do not run at 8",
        "finetrainers": "spreads its frames over the whole file",
    }
    for key, text in expected.items():
        found = export_clips(both, key, tmp_path / key, standard=standard).warnings
        assert any(text.format(slow=slow.clip.source) in line for line in found), (key, found)
        assert all("\n" not in line for line in found)
    for form in FORMATS:
        cut = export_clips(
            both, form.key, tmp_path / f"{form.key}-cut", standard=standard, videos="standard"
        )
        assert cut.warnings == []

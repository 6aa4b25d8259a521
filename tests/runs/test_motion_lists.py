"""Every entry lands in one of two lists, and the kept one is the same data set less some clips."""

import json

import pytest

from motive.clips import Clip, read_dataset
from motive.errors import UsageError
from motive.index import ClipRecord
from motive.motion import MotionFacts
from motive.runs.motion_lists import drop_reason, parse_flags, write_lists
from motive.runs.motion_rows import FLAGS, ClipMotion, most_moving_first, stored_facts, summarise
from moving_squares import square_videos, write_list

STILL = MotionFacts(
    mean_magnitude=0.0, max_magnitude=0.0, moving_fraction=0.0, uniformity=0.0, camera="static",
    camera_magnitude=0.0, camera_share=0.0, object_magnitude=0.0, moving_area=0.0,
    directions=(0.0,) * 8, static=False, camera_only=False, micro_motion=False,
)  # fmt: skip


def row(source="a.mp4", error=None, duplicate_of=None, caption="", **facts):
    found = {"facts": stored_facts(STILL) | facts}
    status = "error" if error else "ok"
    record = ClipRecord("motion", "id", status, source, caption, error=error, motion=found)
    return ClipMotion(record, duplicate_of)


def test_each_flag_drops_its_clips_and_says_by_which_number():
    moving = row(mean_magnitude=3.0, object_magnitude=4.0, moving_area=0.2)
    cases = {
        "static": (row(static=True, mean_magnitude=0.001), "0.001 px"),
        "camera-only": (row(camera_only=True, camera="pan", camera_magnitude=2.25), "pan of 2.2"),
        "micro-motion": (row(micro_motion=True, moving_area=0.004), "0.4 %"),
        "cut": (row(cuts=[5, 9]), "at frame 5, 9"),
        "duplicate": (row(duplicate_of="/first.mp4"), "of /first.mp4"),
    }
    assert tuple(cases) == FLAGS
    for flag, (clip, number) in cases.items():
        assert clip.flags == (flag,)
        reason = drop_reason(clip, [flag])
        assert reason.startswith(f"{flag}: ")
        assert number in reason
        assert drop_reason(clip, [other for other in FLAGS if other != flag]) is None
        assert drop_reason(moving, [flag]) is None


def test_a_clip_that_failed_is_dropped_whatever_is_asked_for():
    failed = row(source="/d/a.mp4", error="/d/a.mp4: empty file (0 bytes)")
    assert drop_reason(failed, []) == "failed: empty file (0 bytes)"
    assert failed.flags == ()


def test_flags_may_be_written_with_commas_spaces_and_underscores():
    assert parse_flags(["cut, static", "camera_only"]) == ("static", "camera-only", "cut")
    assert parse_flags([]) == ()
    with pytest.raises(UsageError, match="'blurred': must be some of static, camera-only"):
        parse_flags(["static,blurred"])


def test_the_kept_list_reads_as_the_same_clips(tmp_path):
    data = square_videos(tmp_path / "data", (1, 2, 3))
    rows = [
        {"video": "square1.mp4", "prompt": 'a "square"', "motion": "slide", "split": "a", "n": 4},
        {"video": "square2.mp4", "caption": "späte\nZeile", "start": 0.25, "end": 0.7},
        {"video": "square2.mp4", "caption": "b", "timestamp": [0, 0.5]},
        {"video": "square3.mp4", "prompt": "c"},
        {"video": "absent.mp4", "prompt": "d"},
    ]
    clips = read_dataset(write_list(data / "list.jsonl", rows))
    rows = [row(clip.source, caption=clip.caption) for clip in clips[:3]]
    rows += [row(clips[3].source, static=True, caption="c"), row(clips[4].source, "gone", "x")]
    split = write_lists(tmp_path / "out", clips, rows, ["static"])
    assert (split.kept, split.dropped) == (3, 2)
    kept = read_dataset(split.kept_path)
    assert [clip.id for clip in kept] == [clip.id for clip in clips[:3]]
    assert [(c.caption, c.label, c.start, c.end) for c in kept] == [
        (c.caption, c.label, c.start, c.end) for c in clips[:3]
    ]
    assert kept[0].extra == {"split": "a", "n": 4}
    dropped = [json.loads(line) for line in split.dropped_path.read_text().splitlines()]
    assert [entry["reason"].split(":")[0] for entry in dropped] == ["static", "failed"]
    assert [entry["video"] for entry in dropped] == [clip.source for clip in clips[3:]]
    assert read_dataset(split.dropped_path)[0].id == clips[3].id


def test_nothing_kept_is_an_empty_list(tmp_path):
    split = write_lists(tmp_path, [Clip("a.mp4")], [row(static=True)], ["static"])
    assert (split.kept, split.kept_path.read_text()) == (0, "")


def test_clips_are_ordered_by_what_moves_against_the_camera():
    pan = row("pan", mean_magnitude=9.0)
    walk = row("walk", mean_magnitude=1.0, object_magnitude=5.0, moving_area=0.1)
    crowd = row("crowd", mean_magnitude=1.0, object_magnitude=3.0, moving_area=0.9)
    failed = row("failed", error="failed: gone")
    names = [r.record.source for r in most_moving_first([failed, pan, row("still"), walk, crowd])]
    assert names == ["crowd", "walk", "pan", "still"]


def test_the_summary_counts_every_row_once_per_flag():
    count = summarise(
        [row(static=True, cuts=[1]), row(camera="zoom"), row(error="x"), row(duplicate_of="a")]
    )
    assert (count.clips, count.failed, count.unflagged) == (4, 1, 1)
    assert {flag: n for flag, n in count.flags.items() if n} == {
        "static": 1, "cut": 1, "duplicate": 1
    }  # fmt: skip
    assert (count.cameras["static"], count.cameras["zoom"], sum(count.cameras.values())) == (
        2,
        1,
        3,
    )

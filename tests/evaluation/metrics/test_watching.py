"""Whatever is wrong with a video or a measure is said, and costs nothing else its number."""

import tracemalloc

import numpy as np
import pytest

from fake_metrics import drifting, numbered
from motive.clips import write_mp4
from motive.errors import ModelError
from motive.evaluation.metrics.catalogue import Sources, build_measures, chosen_metrics
from motive.evaluation.metrics.watching import Watcher
from numbered_videos import write_video

BUILT_IN = chosen_metrics(["built-in"])


class Count:
    """Counts frames, and the largest number given at once."""

    keys, settings = ("count", "most"), {}

    def begin(self, video):
        self.seen, self.most = 0, 0
        return self

    def add(self, frames):
        self.seen += len(frames)
        self.most = max(self.most, len(frames))

    def finish(self):
        return {"count": float(self.seen), "most": float(self.most)}


class Broken(Count):
    """Cannot load its weights."""

    keys = ("broken",)
    asked = 0

    def add(self, frames):
        type(self).asked += 1
        raise ModelError("weights.pth: damaged; download it again")


def watch(path, *measures, keys=None):
    wanted = keys or [key for measure in measures for key in measure.keys]
    return Watcher(measures).watch(str(path), None, wanted)


@pytest.fixture(scope="module")
def built_in():
    measures, refused = build_measures(BUILT_IN, Sources())
    assert not refused
    return measures


def test_every_frame_is_seen_once_a_few_at_a_time(tmp_path):
    write_mp4(tmp_path / "a.mp4", numbered(21), 16)
    found = watch(tmp_path / "a.mp4", Count())
    assert found.readings == {"count": 21.0, "most": 8.0}
    assert (found.facts.frames, found.facts.fps) == (21, 16.0)
    assert found.facts.seconds == pytest.approx(21 / 16, abs=0.01)
    assert (found.facts.height, found.facts.width, found.facts.kind) == (16, 24, ".mp4")


def test_a_measure_that_fails_costs_no_other_its_number_and_is_not_asked_again(tmp_path):
    write_mp4(tmp_path / "a.mp4", numbered(9), 8)
    Broken.asked = 0
    watcher = Watcher([Broken(), Count()])
    for _ in range(2):
        found = watcher.watch(str(tmp_path / "a.mp4"), None, ["broken", "count"])
        assert found.readings["count"] == 9.0
        assert found.failures == {"broken": "weights.pth: damaged; download it again"}
    assert Broken.asked == 1


def test_a_measure_nobody_asked_for_does_not_run(tmp_path):
    write_mp4(tmp_path / "a.mp4", numbered(3), 8)
    assert watch(tmp_path / "a.mp4", Broken(), Count(), keys=["count"]).failures == {}


def test_one_frame_is_a_reason_for_every_metric_that_needs_two(tmp_path, built_in):
    write_mp4(tmp_path / "one.mp4", drifting(1, 0), 8)
    found = watch(tmp_path / "one.mp4", *built_in)
    assert found.error is None
    assert found.facts.frames == 1
    assert set(found.readings) == set(BUILT_IN)
    assert all(isinstance(why, str) and "frame" in why for why in found.readings.values())


def test_two_frames_give_what_two_frames_can_give(tmp_path, built_in):
    write_mp4(tmp_path / "two.mp4", drifting(2, 2.0), 8)
    readings = watch(tmp_path / "two.mp4", *built_in).readings
    numbers = {key for key, value in readings.items() if not isinstance(value, str)}
    assert numbers == {
        "dynamic_degree_dis", "dynamic_margin_dis", "warping_error", "temporal_consistency",
        "frozen_frames", "still_area",
    }  # fmt: skip


def test_a_gif_is_judged_like_any_video(tmp_path, built_in):
    frames = list(drifting(9, 2.0))
    write_video(tmp_path / "a.gif", frames, 8, codec="gif", pixel_format="rgb8")
    found = watch(tmp_path / "a.gif", *built_in)
    assert found.facts.kind == ".gif"
    assert all(isinstance(value, float) for value in found.readings.values())


def test_more_than_five_seconds_are_measured_with_flat_memory(tmp_path):
    def peak(frames):
        path = tmp_path / f"{frames}.mp4"
        write_mp4(path, numbered(frames % 200, 64, 96).repeat(1 + frames // 200, axis=0), 16)
        measures, _ = build_measures(["flicker", "dynamic_degree_dis"], Sources())
        tracemalloc.start()
        found = watch(path, *measures)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert found.error is None
        return most

    short, long = peak(40), peak(199)  # 2.5 s and 12.4 s
    assert long < 1.2 * short


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "file not found"), (b"", "empty file"), (b"not a video at all" * 9, "not a video")],
)
def test_a_file_that_is_no_video_is_one_line(tmp_path, content, told):
    path = tmp_path / "bad.mp4"
    if content is not None:
        path.write_bytes(content)
    found = watch(path, Count())
    assert found.facts is None
    assert told in found.error
    assert str(path) in found.error
    assert "\n" not in found.error


def test_a_damaged_video_has_no_numbers_at_all(tmp_path):
    generator = np.random.default_rng(0)
    write_mp4(tmp_path / "a.mp4", generator.integers(0, 256, (24, 64, 64, 3), np.uint8), 8)
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    (tmp_path / "a.mp4").write_bytes(data)
    found = watch(tmp_path / "a.mp4", Count())
    assert "damaged at" in found.error
    assert found.readings == {}


def test_a_truncated_video_is_an_error_not_a_shorter_video(tmp_path):
    path = tmp_path / "a.mkv"
    write_video(path, list(drifting(48, 1.0)), 8)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = watch(path, Count())
    assert "truncated" in found.error or "damaged" in found.error


def test_frames_that_change_size_are_an_error(tmp_path):
    path = tmp_path / "a.h264"  # a bare stream: parts can be joined, times are counted
    for size, mode in (((32, 64), "wb"), ((64, 32), "ab")):
        part = write_video(tmp_path / "part.h264", list(drifting(12, 1.0, size=size)), 8)
        with path.open(mode) as file:
            file.write(part.read_bytes())
    found = watch(path, Count())
    assert "change size" in found.error
    assert "\n" not in found.error

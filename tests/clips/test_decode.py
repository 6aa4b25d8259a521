"""Which source frame stands for which output frame, and what a clip looks like afterwards."""

from __future__ import annotations

from fractions import Fraction
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motive.clips import Clip, ClipStandard, decode_clip, probe
from motive.clips import decode as decode_module
from motive.errors import ClipError, UsageError
from numbered_videos import frame_with_number, number_on_frame, write_video

SMALL = {"height": 32, "width": 64}


def numbers(decoded) -> list[int]:
    return [number_on_frame(frame) for frame in decoded.pixels]


def test_a_clip_at_the_standard_rate_comes_back_frame_by_frame(numbered_video):
    path = numbered_video(9, 16)
    decoded = decode_clip(Clip(str(path)), ClipStandard(9, 16, **SMALL))
    assert decoded.pixels.dtype == torch.uint8
    assert decoded.pixels.shape == (9, 32, 64, 3)
    assert numbers(decoded) == list(range(9))
    assert decoded.provenance.frame_times == pytest.approx([i / 16 for i in range(9)])
    assert decoded.provenance.repeated_frames == 0
    assert decoded.provenance.crop == (0, 0, 32, 64)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.avi", "a.ts", "a.webm"])
def test_every_container_gives_the_same_frames(numbered_video, name):
    codec = {"a.webm": "libvpx", "a.avi": "mpeg4"}.get(name, "libx264")
    options = {"a.webm": {"deadline": "realtime", "crf": "4", "b": "2M"}}.get(name)
    path = numbered_video(30, 24, name=name, codec=codec, options=options)
    decoded = decode_clip(Clip(str(path)), ClipStandard(9, 8, **SMALL))
    assert numbers(decoded) == list(range(0, 27, 3))


def test_a_faster_source_is_sampled_by_time(numbered_video):
    path = numbered_video(60, 30)
    decoded = decode_clip(Clip(str(path)), ClipStandard(17, 16, **SMALL))
    assert numbers(decoded) == [int(i * 30 / 16) for i in range(17)]


def test_a_slower_source_repeats_frames_and_says_so(numbered_video):
    path = numbered_video(9, 8)
    decoded = decode_clip(Clip(str(path)), ClipStandard(17, 16, **SMALL))
    assert numbers(decoded) == [i // 2 for i in range(17)]
    assert decoded.provenance.repeated_frames == 8
    assert decoded.provenance.source_fps == pytest.approx(8)


def test_milliseconds_of_matroska_do_not_double_or_drop_frames(numbered_video):
    path = numbered_video(33, 16, name="a.mkv")  # 62.5 ms is stored as 62 or 63
    assert numbers(decode_clip(Clip(str(path)), ClipStandard(33, 16, **SMALL))) == list(range(33))


def test_ntsc_rates_are_not_taken_for_whole_ones(numbered_video):
    path = numbered_video(100, 30000 / 1001)
    decoded = decode_clip(Clip(str(path)), ClipStandard(49, 16, **SMALL))
    assert numbers(decoded) == [int(i / 16 * 30000 / 1001 + 1e-6) for i in range(49)]


@given(
    gaps=st.lists(st.integers(5, 400), min_size=3, max_size=24),
    fps=st.sampled_from([5.0, 8.0, 12.5, 16.0]),
    start=st.integers(0, 1500),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_frame_timing_shows_what_a_player_shows(tmp_path, gaps, fps, start):
    times = np.concatenate([[0], np.cumsum(gaps)]) / 1000
    begin = min(start / 1000, times[-1] - 1e-3)
    frames = [frame_with_number(i) for i in range(len(times))]
    path = write_video(tmp_path / "vfr.mp4", frames, times=times, gop=5)
    count = max(2, int((times[-1] - begin) * fps) + 1)
    if begin + (count - 1) / fps > times[-1]:
        count = 2  # a frame lasts one output interval at least, so this always fits or is an error
    standard = ClipStandard(count, fps, **SMALL)
    targets = begin + np.arange(count) / fps
    if targets[-1] > times[-1] + 1 / fps - 1e-3:
        return
    decoded = decode_clip(Clip(str(path), start=begin), standard)
    expected = [max(i for i, t in enumerate(times) if t <= target + 2e-5) for target in targets]
    assert numbers(decoded) == expected
    assert decoded.provenance.frame_times == pytest.approx([times[i] for i in expected], abs=2e-5)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_span_starts_and_ends_where_it_says(numbered_video, name):
    path = numbered_video(64, 16, name=name)
    decoded = decode_clip(Clip(str(path), start=1.5, end=2.5), ClipStandard(16, 16, **SMALL))
    assert numbers(decoded) == list(range(24, 40))
    with pytest.raises(ClipError, match=r"too short: 1\.00 s \(16 frames\) from 1\.5 s"):
        decode_clip(Clip(str(path), start=1.5, end=2.5), ClipStandard(17, 16, **SMALL))


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("b.mp4", "libx264", {"preset": "medium", "bf": "3", "x264-params": "open-gop=1"}),
        ("b.ts", "libx264", {"preset": "medium", "bf": "3"}),
        ("b.mp4", "libx265", {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3"}),
        ("b.mpg", "mpeg2video", {"bf": "2", "b": "4M"}),
        ("b.avi", "mpeg4", {"bf": "2", "b": "4M"}),
    ],
)
def test_seeking_never_changes_which_frame_is_shown(numbered_video, name, codec, options):
    path = numbered_video(75, 25, name=name, codec=codec, options=options)
    for first in range(0, 70, 9):
        decoded = decode_clip(Clip(str(path), start=first / 25), ClipStandard(5, 25, **SMALL))
        assert numbers(decoded) == list(range(first, first + 5)), first


def test_a_container_that_cannot_seek_is_read_from_its_first_frame(numbered_video):
    path = numbered_video(40, 16)
    real = decode_module.timed_frames

    def lands_too_late(container, stream, start):
        return real(container, stream, None if start is None else start + 1)

    with mock.patch.object(decode_module, "timed_frames", lands_too_late):
        decoded = decode_clip(Clip(str(path), start=0.5), ClipStandard(9, 16, **SMALL))
    assert numbers(decoded) == list(range(8, 17))


def test_time_zero_is_the_first_frame_even_if_the_file_starts_late(tmp_path):
    frames = [frame_with_number(i) for i in range(20)]
    path = write_video(tmp_path / "late.mkv", frames, times=[5 + i / 16 for i in range(20)])
    decoded = decode_clip(Clip(str(path), start=0.25), ClipStandard(9, 16, **SMALL))
    assert numbers(decoded) == list(range(4, 13))
    assert decoded.provenance.frame_times[0] == pytest.approx(0.25, abs=2e-3)


def test_exactly_enough_frames_pass_and_one_less_is_too_short(numbered_video):
    path = numbered_video(17, 16)
    assert decode_clip(Clip(str(path)), ClipStandard(17, 16, **SMALL)).pixels.shape[0] == 17
    with pytest.raises(ClipError) as error:
        decode_clip(Clip(str(path)), ClipStandard(18, 16, **SMALL))
    message = str(error.value)
    assert "\n" not in message
    assert "1.06 s (17 frames)" in message
    assert "18 frames at 16 fps need 1.12 s" in message
    assert "--frames 17" in message


def test_five_seconds_at_24_fps_are_81_frames_at_16(numbered_video):
    path = numbered_video(120, 24)
    decoded = decode_clip(Clip(str(path)), ClipStandard(81, 16, **SMALL))
    assert numbers(decoded)[-1] == 119


def test_short_clips_repeat_their_last_frame_only_on_request(numbered_video):
    path = numbered_video(5, 16)
    decoded = decode_clip(Clip(str(path)), ClipStandard(9, 16, **SMALL), short="repeat")
    assert numbers(decoded) == [0, 1, 2, 3, 4, 4, 4, 4, 4]
    assert decoded.provenance.repeated_frames == 4
    assert len(decoded.provenance.frame_times) == 9


def test_a_single_frame_is_too_short_and_suggests_no_frame_count(numbered_video):
    path = numbered_video(1, 16)
    with pytest.raises(ClipError, match=r"too short: 0\.06 s \(1 frames?\).*use a longer clip$"):
        decode_clip(Clip(str(path)), ClipStandard(5, 16, **SMALL))


def test_decoding_stops_when_the_last_frame_is_known(numbered_video):
    path = numbered_video(200, 16)
    real, seen = decode_module.timed_frames, []

    def counting(*args):
        for frame in real(*args):
            seen.append(frame.time)
            yield frame

    with mock.patch.object(decode_module, "timed_frames", counting):
        decode_clip(Clip(str(path), start=6.0), ClipStandard(9, 16, **SMALL))
    assert len(seen) < 12 + 9 + 2  # at most one group of pictures before, one frame after


def test_decoding_twice_gives_identical_pixels(numbered_video):
    path = numbered_video(30, 25, size=(50, 70))
    first, second = (
        decode_clip(Clip(str(path)), ClipStandard(9, 16, 24, 40)).pixels for _ in range(2)
    )
    assert torch.equal(first, second)


def quarters(height: int, width: int) -> np.ndarray:
    """Red, green / blue, white quarters: shows turns, mirroring and crops."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (255, 0, 0)
    image[: height // 2, width // 2 :] = (0, 255, 0)
    image[height // 2 :, : width // 2] = (0, 0, 255)
    image[height // 2 :, width // 2 :] = 255
    return image


@pytest.mark.parametrize(("degrees", "turns"), [(0, 0), (90, 1), (180, 2), (-90, 3)])
def test_rotated_phone_videos_stand_upright(tmp_path, degrees, turns):
    image = quarters(32, 64)
    path = write_video(tmp_path / "phone.mp4", [image] * 5, rotation=degrees)
    upright = np.rot90(image, turns)
    height, width = upright.shape[:2]
    decoded = decode_clip(Clip(str(path)), ClipStandard(5, 16, height, width))
    difference = np.abs(decoded.pixels[0].numpy().astype(int) - upright)
    assert np.median(difference) < 8
    assert decoded.provenance.source_height == height
    assert (probe(path).height, probe(path).width) == (height, width)


def test_non_square_pixels_keep_circles_round(tmp_path):
    image = np.zeros((64, 64, 3), np.uint8)  # displayed 128 wide
    image[:, 24:40] = 255  # a bar of 32 displayed pixels
    path = write_video(tmp_path / "wide.mp4", [image] * 5, pixel_aspect=Fraction(2, 1))
    decoded = decode_clip(Clip(str(path)), ClipStandard(5, 16, 64, 64))
    lit = (decoded.pixels[0, 32, :, 0] > 127).sum()
    assert int(lit) == pytest.approx(32, abs=1)
    assert decoded.provenance.crop == pytest.approx((0, 16, 64, 32))
    assert probe(path).pixel_aspect == 2


@pytest.mark.parametrize(
    ("height", "width"), [(480, 64), (64, 480), (2, 2), (16, 600), (600, 16), (34, 50)]
)
def test_any_shape_fills_the_standard(tmp_path, height, width):
    path = write_video(tmp_path / "shape.mp4", [quarters(height, width)] * 3)
    decoded = decode_clip(Clip(str(path)), ClipStandard(3, 16, 48, 48))
    top, left, kept_height, kept_width = decoded.provenance.crop
    assert decoded.pixels.shape == (3, 48, 48, 3)
    assert top + kept_height / 2 == pytest.approx(height / 2, abs=1)
    assert left + kept_width / 2 == pytest.approx(width / 2, abs=1)


def test_odd_sizes_and_other_pixel_formats_are_read(tmp_path):
    image = quarters(33, 47)
    for name, codec, pixel_format in [
        ("rgb.mkv", "ffv1", "bgr0"),
        ("grey.mkv", "ffv1", "gray"),
        ("deep.mkv", "ffv1", "yuv444p10le"),
    ]:
        path = write_video(tmp_path / name, [image] * 3, codec=codec, pixel_format=pixel_format)
        decoded = decode_clip(Clip(str(path)), ClipStandard(3, 16, 33, 47))
        grey = decoded.pixels[0].double().mean(2).numpy()
        assert grey[4, 4] < grey[28, 43], name


def test_unknown_short_policy_is_a_usage_error(numbered_video):
    with pytest.raises(UsageError, match="short"):
        decode_clip(Clip(str(numbered_video(3))), ClipStandard(3, 16, **SMALL), short="pad")


def test_probe_reports_what_the_file_holds(numbered_video):
    facts = probe(numbered_video(20, 25))
    assert (facts.fps, facts.frames, facts.codec) == (25, 20, "h264")
    assert (facts.height, facts.width) == (32, 64)
    assert facts.duration == pytest.approx(0.8)

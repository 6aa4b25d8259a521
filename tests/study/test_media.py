"""Videos in a study play everywhere and say nothing about their origin."""

import av
import numpy as np
import pytest

from motive.clips import probe
from motive.errors import ClipError
from motive.study.media import bring_known_bad, bring_video
from moving_squares import square_video
from numbered_videos import frame_with_number, number_on_frame, write_video


def frames_of(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def telling_video(path):
    """H.264 with all that generators like to write into a file, and sound."""
    with av.open(str(path), "w") as container:
        container.metadata.update({"title": "motive-secret", "comment": "workflow motive-secret"})
        stream = container.add_stream("libx264", rate=16)
        stream.metadata["handler_name"] = "motive-secret"
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        sound = container.add_stream("aac", rate=16000)
        for number in range(9):
            frame = av.VideoFrame.from_ndarray(frame_with_number(number), "rgb24")
            container.mux(stream.encode(frame))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        samples.rate = 16000
        container.mux(sound.encode(samples))
        container.mux(sound.encode())
        container.mux(stream.encode())
    return path


def test_pictures_are_copied_bit_for_bit_and_nothing_else_is(tmp_path):
    source = telling_video(tmp_path / "motive-secret.mp4")
    assert b"motive-secret" in source.read_bytes()
    assert b"x264" in source.read_bytes()
    video = bring_video(source, tmp_path / "videos")
    copy = tmp_path / "videos" / video.file
    for word in (b"secret", b"x264", b"libx264", b"workflow"):
        assert word not in copy.read_bytes()
    with av.open(str(copy)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    before, after = frames_of(source), frames_of(copy)
    assert len(after) == 9
    assert all((a == b).all() for a, b in zip(before, after, strict=True))
    assert (video.width, video.height) == (64, 32)
    assert video.seconds == pytest.approx(9 / 16)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip.mov", {"codec": "mpeg4"}),
        ("clip.mp4", {"pixel_format": "yuv444p"}),
        ("clip.webm", {"codec": "libvpx-vp9"}),
        ("clip.mp4", {"rotation": 90}),
    ],
)
def test_other_kinds_are_converted_to_what_browsers_play(tmp_path, name, options):
    size = (64, 64)
    frames = [frame_with_number(number, *size) for number in range(8)]
    source = write_video(tmp_path / name, frames, 8, **options)
    video = bring_video(source, tmp_path / "videos")
    copy = tmp_path / "videos" / video.file
    facts = probe(copy)
    assert (facts.codec, facts.frames, facts.height, facts.width) == ("h264", 8, *size)
    assert facts.fps == pytest.approx(8)
    if "rotation" not in options:
        assert [number_on_frame(frame) for frame in frames_of(copy)] == list(range(8))


def test_a_gif_is_a_video_too(tmp_path):
    frames = [frame_with_number(number) for number in range(6)]
    source = write_video(tmp_path / "clip.gif", frames, 10, codec="gif", pixel_format="rgb8")
    copy = tmp_path / "videos" / bring_video(source, tmp_path / "videos").file
    assert [number_on_frame(frame) for frame in frames_of(copy)] == list(range(6))


def test_what_is_no_video_is_refused_and_leaves_nothing(tmp_path):
    videos = tmp_path / "videos"
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    picture = write_video(tmp_path / "one.mp4", [frame_with_number(1)], 8)
    whole = square_video(tmp_path / "whole.mp4", 1, frames=40, size=(64, 64))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    for path, message in (
        (text, "not a video"),
        (picture, "holds one picture only"),
        (cut, "damaged|corrupt"),
        (tmp_path / "gone.mp4", "file not found"),
    ):
        with pytest.raises(ClipError, match=message):
            bring_video(path, videos)
    assert not videos.exists() or not list(videos.iterdir())


@pytest.mark.parametrize("size", [(64, 64), (240, 416)])
def test_a_spoilt_video_is_jumbled_and_coarse_and_just_as_long(tmp_path, size):
    frames = [frame_with_number(number, *size) for number in range(16)]
    source = write_video(tmp_path / "good.mp4", frames, 8)
    good = bring_video(source, tmp_path / "videos")
    bad = bring_known_bad(source, tmp_path / "videos", 0)
    assert (bad.seconds, bad.width, bad.height) == (good.seconds, good.width, good.height)
    spoilt = frames_of(tmp_path / "videos" / bad.file)
    assert len(spoilt) == 16
    difference = np.abs(np.stack(spoilt).astype(int) - np.stack(frames)).mean()
    assert difference > 20

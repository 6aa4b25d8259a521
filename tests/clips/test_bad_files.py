"""Every bad file is one clear line: what is wrong with which file, and what to do."""

from __future__ import annotations

import os
import random
import wave
from contextlib import suppress

import numpy as np
import pytest

from motive.clips import Clip, ClipStandard, decode_clip, probe
from motive.errors import ClipError
from numbered_videos import frame_with_number, number_on_frame, write_video

STANDARD = ClipStandard(9, 16, 32, 64)


def refusal(path, **span) -> str:
    """The message with which a file is refused, after checking its form."""
    with pytest.raises(ClipError) as error:
        decode_clip(Clip(str(path), **span), STANDARD)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_missing_empty_and_special_files_are_named_as_such(tmp_path):
    assert "file not found" in refusal(tmp_path / "gone.mp4")
    (tmp_path / "empty.mp4").touch()
    assert "empty file" in refusal(tmp_path / "empty.mp4")
    assert "is a folder" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "not a regular file" in refusal(tmp_path / "pipe.mp4")
    assert "cannot be read" in refusal(tmp_path / ("x" * 300 + ".mp4"))


def test_an_entry_without_a_path_says_so():
    with pytest.raises(ClipError, match="no video path"):
        decode_clip(Clip(""), STANDARD)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_is_named_as_such(numbered_video):
    path = numbered_video(9)
    path.chmod(0)
    assert "cannot be opened" in refusal(path)


def test_addresses_are_refused_before_anything_is_opened():
    assert "is an address" in refusal("https://example.org/a.mp4")


@pytest.mark.parametrize(
    "content",
    [
        b"hello world, this is a text\n" * 100,
        b"\x00" * 5000,
        random.Random(0).randbytes(20000),
        b"PK\x03\x04" + b"\x00" * 100,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother.mp4\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile other.mp4\n",
        b"\x1b[2J\x1b[31mansi art\x1b[0m\n" * 50,
    ],
    ids=["text", "zeros", "noise", "zip", "playlist", "concat", "ansi"],
)
def test_other_kinds_of_files_are_not_videos(tmp_path, numbered_video, content):
    numbered_video(9, name="other.mp4")  # what the playlist points to must not be used either
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    assert "not a video" in refusal(path)


def test_sound_and_images_are_not_videos(tmp_path):
    with wave.open(str(tmp_path / "sound.mp4"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\x00\x01" * 8000)
    assert "holds only sound" in refusal(tmp_path / "sound.mp4")
    write_video(tmp_path / "picture.png", [frame_with_number(1)], codec="png", pixel_format="rgb24")
    (tmp_path / "picture.png").rename(tmp_path / "picture.mp4")
    assert "not a video" in refusal(tmp_path / "picture.mp4")


def test_a_header_without_frames_holds_no_video(tmp_path):
    path = tmp_path / "header.y4m"
    path.write_bytes(b"YUV4MPEG2 W64 H32 F16:1 Ip A1:1 C420\n")
    assert "no video frame" in refusal(path)
    with pytest.raises(ClipError, match="no video frame"):
        probe(path)


def test_a_truncated_mp4_without_index_cannot_be_read(tmp_path, numbered_video):
    whole = numbered_video(30).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    assert "not a video that FFmpeg can read (corrupt, truncated" in refusal(path)


def noisy_video(path, count):
    """Frames that cost many bytes each, so that damage hits them evenly."""
    rng = np.random.default_rng(0)
    frames = []
    for i in range(count):
        image = np.repeat(frame_with_number(i)[:, :, :1], 3, axis=2).astype(int)
        frames.append((image * 0.7 + rng.integers(0, 70, image.shape)).astype(np.uint8))
    return write_video(path, frames, gop=100, options={"bf": "0"})


def test_damage_after_the_needed_frames_does_no_harm(tmp_path):
    whole = bytearray(noisy_video(tmp_path / "whole.mp4", 40).read_bytes())
    index = whole.index(b"moov")
    end = index - len(whole) // 8
    whole[end : index - 8] = bytes(len(whole[end : index - 8]))
    path = tmp_path / "tail.mp4"
    path.write_bytes(whole)
    decoded = decode_clip(Clip(str(path)), STANDARD)
    assert [number_on_frame(frame) for frame in decoded.pixels] == list(range(9))


def test_damage_within_the_needed_frames_is_an_error_not_a_guess(tmp_path):
    whole = noisy_video(tmp_path / "whole.mp4", 12).read_bytes()
    data = whole.index(b"mdat") + 800  # past the encoder's own message and the header
    for where in (0.3, 0.5):
        broken = bytearray(whole)
        position = data + int((whole.index(b"moov") - data) * where)
        broken[position : position + 200] = bytes(200)
        path = tmp_path / f"broken{where}.mp4"
        path.write_bytes(broken)
        assert "damaged at" in refusal(path)


def test_a_download_that_broke_off_is_recognised(tmp_path):
    noisy_video(tmp_path / "whole.mkv", 60)
    whole = (tmp_path / "whole.mkv").read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole[: len(whole) // 12])
    message = refusal(path)
    assert "too short" in message
    assert "its header promises 3.75 s: truncated?" in message


def test_impossible_spans_are_named(numbered_video):
    path = numbered_video(30, 16)
    assert "starts at 9 s, but the video ends at 1.88 s" in refusal(path, start=9.0)
    assert "is not after start" in refusal(path, start=1.0, end=1.0)
    assert "must be 0 or later" in refusal(path, start=-1.0)
    assert "must be 0 or later" in refusal(path, start=float("nan"))
    assert "is not after start" in refusal(path, end=float("nan"))


def test_ffmpeg_keeps_quiet_about_bad_files(tmp_path, numbered_video, capfd):
    whole = numbered_video(30).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    refusal(tmp_path / "cut.mp4")
    noise = bytearray(whole)
    noise[900:1000] = bytes(100)
    (tmp_path / "noise.mp4").write_bytes(noise)
    with suppress(ClipError):
        decode_clip(Clip(str(tmp_path / "noise.mp4")), STANDARD)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""

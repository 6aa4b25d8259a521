"""Written videos hold what was given, at the rate that was given, or do not exist."""

from __future__ import annotations

import errno
from unittest import mock

import numpy as np
import pytest
import torch

from motive.clips import Clip, ClipStandard, decode_clip, probe, write_mp4
from motive.errors import MotiveError, UsageError
from numbered_videos import frame_with_number, number_on_frame


def numbered(count: int, height: int = 32, width: int = 64) -> np.ndarray:
    return np.stack([frame_with_number(i, height, width) for i in range(count)])


def test_frames_return_in_order_at_their_rate(tmp_path):
    path = tmp_path / "new" / "a.mp4"
    write_mp4(path, torch.from_numpy(numbered(33)), 16)
    facts = probe(path)
    assert (facts.fps, facts.frames, facts.codec) == (16, 33, "h264")
    decoded = decode_clip(Clip(str(path)), ClipStandard(33, 16, 32, 64))
    assert [number_on_frame(frame) for frame in decoded.pixels] == list(range(33))
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("fps", [8, 12.5, 23.976, 24000 / 1001, 29.97, 60])
def test_the_rate_is_written_to_the_thousandth(tmp_path, fps):
    write_mp4(tmp_path / "a.mp4", numbered(20), fps)
    assert probe(tmp_path / "a.mp4").fps == pytest.approx(fps, rel=1e-5)


def test_colours_survive_the_round_trip(tmp_path):
    palette = np.array(
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [12, 200, 90], [250, 250, 250]],
        np.uint8,
    )
    image = np.repeat(np.repeat(palette[None], 16, axis=1), 32, axis=0)  # 32 x 96
    write_mp4(tmp_path / "a.mp4", np.stack([image] * 5), 16, crf=1)
    decoded = decode_clip(Clip(str(tmp_path / "a.mp4")), ClipStandard(5, 16, 32, 96))
    centres = decoded.pixels[2, 16, 8::16].numpy().astype(int)
    assert np.abs(centres - palette).max() <= 6


@pytest.mark.parametrize(("height", "width"), [(33, 47), (1, 1), (32, 47), (33, 64)])
def test_odd_sizes_gain_an_edge_line(tmp_path, height, width):
    pixels = np.full((3, height, width, 3), 50, np.uint8)
    pixels[:, -1], pixels[:, :, -1] = 200, 200
    write_mp4(tmp_path / "a.mp4", pixels, 16, crf=1)
    facts = probe(tmp_path / "a.mp4")
    assert (facts.height, facts.width) == (height + height % 2, width + width % 2)
    decoded = decode_clip(
        Clip(str(tmp_path / "a.mp4")), ClipStandard(3, 16, facts.height, facts.width)
    )
    assert decoded.pixels[1, -1, -1].tolist() == pytest.approx([200] * 3, abs=15)


def test_browsers_can_start_before_the_whole_file_is_there(tmp_path):
    write_mp4(tmp_path / "a.mp4", numbered(9), 16)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_the_same_frames_give_the_same_bytes(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_mp4(tmp_path / name, numbered(9), 16)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_full_disk_leaves_the_old_file_and_no_half_one(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        mock.patch("motive.files.os.replace", side_effect=full),
        pytest.raises(MotiveError, match="the disk is full"),
    ):
        write_mp4(path, numbered(5), 16)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("pixels", "fps", "crf", "word"),
    [
        (np.zeros((3, 8, 8, 3), np.float32), 16, 16, "uint8"),
        (np.zeros((3, 8, 8), np.uint8), 16, 16, "uint8"),
        (np.zeros((0, 8, 8, 3), np.uint8), 16, 16, "f, h, w > 0"),
        (np.zeros((3, 8, 8, 3), np.uint8), 0, 16, "fps"),
        (np.zeros((3, 8, 8, 3), np.uint8), float("nan"), 16, "fps"),
        (np.zeros((3, 8, 8, 3), np.uint8), 16, 99, "crf"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, pixels, fps, crf, word):
    with pytest.raises(UsageError, match=word):
        write_mp4(tmp_path / "a.mp4", pixels, fps, crf=crf)
    assert not list(tmp_path.iterdir())

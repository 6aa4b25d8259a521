"""Motion vectors of files whose motion is known."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
import torch

from motive.clips import Clip, ClipStandard, decode_clip
from motive.errors import ClipError, UsageError
from motive.motion import CodecTracker, MotionConfig, measure_motion


def shifted(velocity, frames=9, height=96, width=128) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(height + 80, width + 80, 3))
    big = cv2.GaussianBlur(noise, (0, 0), 2.0)
    big = 127 + 100 * big / np.abs(big).max()
    clip = []
    for f in range(frames):
        matrix = np.float64([[1, 0, velocity[0] * f], [0, 1, velocity[1] * f]])
        clip.append(cv2.warpAffine(big, matrix, big.shape[1::-1])[40:-40, 40:-40])
    return np.stack(clip).round().clip(0, 255).astype(np.uint8)


def write(path, frames, codec="mpeg4", rate=16, **options) -> Clip:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.options = "yuv420p", options
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return Clip(str(path))


def flow_of(clip: Clip, standard: ClipStandard) -> torch.Tensor:
    decoded = decode_clip(clip, standard)
    return CodecTracker().consecutive_in_file(
        clip, decoded.provenance, (standard.height, standard.width)
    )


def test_vectors_of_p_frames_are_the_motion(tmp_path):
    clip = write(tmp_path / "a.mp4", shifted((3.0, -2.0)))
    flow = flow_of(clip, ClipStandard(9, 16, 96, 128))
    assert flow.shape == (9, 96, 128, 2)
    inner = flow[:, 16:-16, 16:-16]
    assert (inner - torch.tensor([3.0, -2.0])).norm(dim=-1).mean() < 0.1


def test_b_frames_and_i_frames_are_read_too(tmp_path):
    clip = write(tmp_path / "b.mp4", shifted((3.0, -2.0)), "libx264", bf="2", refs="1", g="4")
    flow = flow_of(clip, ClipStandard(9, 16, 96, 128))[:, 16:-16, 16:-16]
    mean = flow.mean(dim=(1, 2))
    assert mean[:, 0].numpy() == pytest.approx(3, abs=1.3)
    assert mean[:, 1].numpy() == pytest.approx(-2, abs=0.9)


def test_steps_between_output_frames_add_up_and_scale_with_the_size(tmp_path):
    clip = write(tmp_path / "c.mp4", shifted((2.0, 0.0)), rate=16)
    flow = flow_of(clip, ClipStandard(4, 8, 48, 64))  # every second frame at half the size
    assert flow[:, 8:-8, 8:-8, 0].mean() == pytest.approx(2.0, abs=0.1)


def test_spans_begin_where_they_say(tmp_path):
    frames = np.concatenate([shifted((2.0, 0.0)), shifted((0.0, 2.0))])
    clip = write(tmp_path / "d.mp4", frames)
    span = Clip(clip.source, start=10 / 16)
    flow = flow_of(span, ClipStandard(6, 16, 96, 128))[:, 16:-16, 16:-16]
    assert flow.mean(dim=(0, 1, 2)).tolist() == pytest.approx([0, 2], abs=0.1)


def test_still_clips_do_not_move(tmp_path):
    clip = write(tmp_path / "e.mp4", np.repeat(shifted((0, 0), 1), 6, 0), "libx264")
    assert flow_of(clip, ClipStandard(6, 16, 96, 128)).abs().max() < 0.6


def test_codecs_without_vectors_are_named(tmp_path):
    clip = write(tmp_path / "f.mp4", shifted((2.0, 0.0)), "libx264", g="1")
    with pytest.raises(ClipError, match=r"f\.mp4: its codec \(h264\) gives no motion vectors"):
        flow_of(clip, ClipStandard(5, 16, 96, 128))


def test_the_codec_tracker_needs_a_file_and_only_steps(tmp_path):
    frames = shifted((2.0, 0.0))
    clip = write(tmp_path / "g.mp4", frames)
    decoded = decode_clip(clip, ClipStandard(9, 16, 96, 128))
    config = MotionConfig(tracker="codec")
    motion = measure_motion(decoded.pixels, config, clip=clip, provenance=decoded.provenance)
    assert motion.magnitude[:, 16:-16, 16:-16].mean() == pytest.approx(2, abs=0.1)
    with pytest.raises(UsageError, match="reads motion from the video file"):
        measure_motion(decoded.pixels, config)
    with pytest.raises(UsageError, match="only knows steps"):
        MotionConfig(tracker="codec", displacement="anchor").settings  # noqa: B018

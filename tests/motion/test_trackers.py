"""Flow of synthetic shifts whose truth is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.errors import UsageError
from motive.motion import TRACKERS, DISTracker, FarnebackTracker, get_tracker


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random picture, float "h w 3"."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return 127 + 100 * smooth / np.abs(smooth).max()


def shifted_clip(velocity, frames: int = 4, height: int = 96, width: int = 128) -> torch.Tensor:
    """The texture moving by `velocity` (dx, dy) px per frame."""
    margin = 40
    big = texture(height + 2 * margin, width + 2 * margin)
    clip = []
    for f in range(frames):
        matrix = np.float64([[1, 0, velocity[0] * f], [0, 1, velocity[1] * f]])
        moved = cv2.warpAffine(big, matrix, big.shape[1::-1], flags=cv2.INTER_CUBIC)
        clip.append(moved[margin:-margin, margin:-margin])
    return torch.from_numpy(np.stack(clip).round().clip(0, 255).astype(np.uint8))


def inner(flow: torch.Tensor) -> torch.Tensor:
    return flow[:, 16:-16, 16:-16]


@pytest.mark.parametrize("velocity", [(2.0, 0.0), (0.0, -3.0), (1.5, 0.5), (-2.25, 1.0)])
def test_consecutive_flow_is_the_shift_to_the_next_frame_in_every_frame(velocity):
    flow = DISTracker().consecutive(shifted_clip(velocity))
    assert flow.shape == (4, 96, 128, 2)
    assert flow.dtype == torch.float32
    error = (inner(flow) - torch.tensor(velocity)).norm(dim=-1)
    assert error.mean(dim=(1, 2)).max() < 0.15  # the last frame too, with the same sign


def test_farneback_follows_shifts_too():
    frames = shifted_clip((2.0, -1.0), frames=6)
    error = (inner(FarnebackTracker().consecutive(frames)) - torch.tensor([2.0, -1.0])).norm(dim=-1)
    assert error.mean() < 0.2
    mean = FarnebackTracker().anchor(frames)[5, 32:-32, 32:-32].mean(dim=(0, 1))
    assert mean.tolist() == pytest.approx([10, -5], abs=0.5)


def test_the_last_frame_gets_minus_its_way_back():
    frames = shifted_clip((2.0, 1.0), frames=3)
    flow = DISTracker().consecutive(frames)
    back = DISTracker().consecutive(frames.flip(0))[0]
    assert torch.equal(flow[-1], -back)


def test_anchored_flow_accumulates_from_frame_zero():
    flow = DISTracker().anchor(shifted_clip((2.0, -1.0), frames=7))
    assert torch.equal(flow[0], torch.zeros_like(flow[0]))
    for f in range(1, 7):
        mean = flow[f, 32:-32, 32:-32].mean(dim=(0, 1))
        assert mean.tolist() == pytest.approx([2.0 * f, -1.0 * f], abs=0.3)


def test_a_weight_sits_where_the_object_is_in_that_frame():
    background = texture(64, 64)
    clip = np.stack([background] * 5)
    for f in range(5):
        clip[f, 20:36, 8 + 4 * f : 24 + 4 * f] = texture(16, 16, seed=1)
    frames = torch.from_numpy(clip.astype(np.uint8))
    moved = DISTracker(min_side=256).consecutive(frames).norm(dim=-1)
    for f in range(5):
        columns = moved[f, 20:36].mean(0)
        centre = float((columns * torch.arange(64)).sum() / columns.sum())
        assert centre == pytest.approx(16 + 4 * f, abs=4), f


def test_identical_frames_do_not_move():
    frames = torch.from_numpy(texture(64, 64).astype(np.uint8)).expand(3, -1, -1, -1)
    assert DISTracker().consecutive(frames).abs().max() == 0
    assert DISTracker().anchor(frames).abs().max() == 0


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_frames_of_any_size_are_tracked(height, width, count):
    frames = torch.from_numpy(
        np.random.default_rng(0).integers(0, 255, (count, height, width, 3)).astype(np.uint8)
    )
    for tracker in (DISTracker(preset="ultrafast", min_side=32), FarnebackTracker(min_side=32)):
        for flow in (tracker.consecutive(frames), tracker.anchor(frames)):
            assert flow.shape == (count, height, width, 2)
            assert flow.isfinite().all()


def test_enlarging_small_frames_keeps_flow_in_their_own_pixels():
    frames = shifted_clip((1.5, -1.0), height=48, width=64)
    plain, enlarged = (
        DISTracker(min_side=side).consecutive(frames)[:-1, 12:-12, 12:-12].mean(dim=(0, 1, 2))
        for side in (48, 192)
    )
    assert plain.tolist() == pytest.approx([1.5, -1.0], abs=0.15)
    assert enlarged.tolist() == pytest.approx([1.5, -1.0], abs=0.15)


def test_flow_depends_neither_on_threads_nor_on_other_clips():
    frames = shifted_clip((2.0, 0.5), height=120, width=160)
    tracker = DISTracker()
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        alone = tracker.consecutive(frames)
        cv2.setNumThreads(4)
        tracker.anchor(shifted_clip((0.0, 5.0)))
        assert torch.equal(tracker.consecutive(frames), alone)
    finally:
        cv2.setNumThreads(threads)


def test_trackers_are_found_by_name_with_their_settings():
    tracker = get_tracker("dis", preset="fast", min_side=64)
    assert tracker.settings == {"name": "dis", "preset": "fast", "min_side": 64}
    assert set(TRACKERS) >= {"dis", "farneback", "codec", "raft", "cotracker3"}


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("raftt", {}, "must be one of dis"),
        ("dis", {"presets": "fast"}, "presets"),
        ("dis", {"preset": "best"}, "ultrafast, fast, medium"),
        ("dis", {"min_side": 8}, "at least 32"),
        ("farneback", {"window": 2}, "at least 3"),
        ("farneback", {"preset": "fast"}, "preset"),
        ("codec", {"min_side": 64}, "CodecTracker"),
    ],
)
def test_wrong_names_and_options_are_usage_errors(name, options, word):
    with pytest.raises(UsageError, match=word):
        get_tracker(name, **options)


def test_frames_of_another_type_are_refused():
    with pytest.raises(UsageError, match="uint8 'f h w 3'"):
        DISTracker().consecutive(torch.zeros(2, 8, 8, 3))

"""AllTracker as a tracker among others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from motive.errors import ModelError, UsageError
from motive.motion import ReliableTracker, get_tracker
from motive.motion.alltracker import AllTracker, tracker
from seeded_alltracker import seeded_clip, seeded_state_dict


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(seeded_state_dict("tiny"), path)
    return path


@pytest.fixture
def quick(checkpoint) -> AllTracker:
    return AllTracker(checkpoint, iterations=1, device="cpu")


def test_consecutive_flow_goes_from_each_frame_to_the_next_and_back_from_the_last(quick):
    frames = seeded_clip(3, 128, 128)
    flow = quick.consecutive(frames)
    assert flow.shape == (3, 128, 128, 2)
    assert flow.dtype == torch.float32
    for f in range(2):
        torch.testing.assert_close(flow[f], quick.anchor(frames[f : f + 2])[1])
    torch.testing.assert_close(flow[2], -quick.anchor(frames[1:].flip(0))[1])


def test_tracks_forward_and_backward_from_a_query_frame(quick):
    frames = seeded_clip(4, 128, 128)
    tracks = quick.track(frames, query=2)
    assert tracks.flow.shape == (4, 128, 128, 2)
    assert tracks.visibility.shape == tracks.confidence.shape == (4, 128, 128)
    torch.testing.assert_close(tracks.flow[3], quick.anchor(frames[2:])[1])
    torch.testing.assert_close(tracks.flow[:3], quick.anchor(frames[:3].flip(0)).flip(0))


def test_the_query_frame_itself_rests_and_is_seen(quick):
    tracks = quick.track(seeded_clip(2, 128, 128), query=1)
    assert tracks.flow[1].abs().max() == 0
    assert tracks.flow[0].abs().max() > 0
    assert tracks.visibility[1].min() == tracks.confidence[1].min() == 1
    assert 0 <= tracks.visibility[0].min() <= tracks.visibility[0].max() <= 1


def test_reliability_is_visibility_times_confidence(quick):
    frames = seeded_clip(2, 128, 128)
    flow, reliability = quick.with_reliability(frames, "consecutive")
    tracks = quick.track_consecutive(frames)
    assert torch.equal(flow, tracks.flow)
    assert torch.equal(reliability, tracks.visibility * tracks.confidence)
    anchored, reliability = quick.with_reliability(frames, "anchor")
    assert torch.equal(anchored, quick.anchor(frames))
    assert torch.equal(reliability[0], torch.ones(128, 128))


@pytest.mark.parametrize("size", [(1, 1), (8, 20), (50, 70), (130, 100)])
def test_frames_of_any_size_are_tracked(quick, size):
    flow = quick.consecutive(seeded_clip(2, *size))
    assert flow.shape == (2, *size, 2)
    assert flow.isfinite().all()


def test_flow_of_enlarged_frames_is_in_their_own_pixels(checkpoint):
    frames = seeded_clip(2, 64, 96)
    twice = torch.nn.functional.interpolate(
        frames.permute(0, 3, 1, 2).float(), scale_factor=2, mode="bicubic"
    )
    twice = twice.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    small = AllTracker(checkpoint, iterations=1, min_side=128, device="cpu").anchor(frames)[1]
    large = AllTracker(checkpoint, iterations=1, min_side=1, device="cpu").anchor(twice)[1]
    mean = large.unflatten(0, (64, 2)).unflatten(2, (96, 2)).mean(dim=(1, 3)) / 2
    assert float((small - mean).norm() / mean.norm()) < 0.05  # the pixels are rounded here


def test_a_single_frame_does_not_move(quick):
    frames = seeded_clip(1, 40, 40)
    assert quick.consecutive(frames).abs().max() == 0
    assert quick.anchor(frames).abs().max() == 0
    assert quick.track(frames).visibility.min() == 1


def test_a_clip_does_not_depend_on_what_was_tracked_before(quick):
    frames = seeded_clip(2, 128, 128)
    first = quick.consecutive(frames)
    quick.consecutive(seeded_clip(2, 64, 200, seed=5))
    assert torch.equal(quick.consecutive(frames), first)


def test_the_flow_can_be_worked_on_in_place(quick):
    quick.consecutive(seeded_clip(2, 30, 30)).mul_(2).requires_grad_()


def test_the_network_is_opened_once_for_all_trackers_of_a_process(checkpoint, monkeypatch):
    opened = []
    original = tracker.load_alltracker
    monkeypatch.setattr(
        tracker, "load_alltracker", lambda *args: opened.append(args) or original(*args)
    )
    tracker._open.cache_clear()
    for _ in range(3):
        AllTracker(checkpoint, device="cpu", iterations=1)._net()
    assert len(opened) == 1


def test_it_is_found_by_name_and_its_settings_name_the_checkpoint(checkpoint, tmp_path):
    found = get_tracker("alltracker", weights=str(checkpoint), device="cpu", dtype="bfloat16")
    assert isinstance(found, ReliableTracker)
    assert found.settings == {
        "name": "alltracker",
        "checkpoint": found.settings["checkpoint"],
        "dtype": "bfloat16",
        "iterations": 4,
        "min_side": 128,
    }
    other = tmp_path / "other.safetensors"
    save_file(seeded_state_dict("tiny", seed=1), other)
    assert get_tracker("alltracker", weights=other).settings["checkpoint"] not in (
        "",
        found.settings["checkpoint"],
    )


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"dtype": "float16"}, "must be one of float32, bfloat16"),
        ({"device": "gpu9"}, "device='gpu9': cannot be used"),
        ({"variant": "huge"}, "must be one of full, tiny"),
        ({"iterations": 0}, "iterations=0: must be at least 1"),
        ({"min_side": 0}, "min_side=0"),
        ({"correlation_gib": 0}, "correlation_gib=0: must be positive"),
        ({"preset": "fast"}, "preset"),
    ],
)
def test_wrong_options_are_usage_errors(checkpoint, options, word):
    with pytest.raises(UsageError, match=word):
        get_tracker("alltracker", **({"weights": checkpoint} | options))


def test_wrong_frames_and_queries_are_usage_errors(quick):
    for frames in (torch.zeros(2, 8, 8, 3), torch.zeros(0, 8, 8, 3, dtype=torch.uint8)):
        with pytest.raises(UsageError, match="uint8 'f h w 3'"):
            quick.consecutive(frames)
    with pytest.raises(UsageError, match="frames 0 to 1"):
        quick.track(seeded_clip(2, 8, 8), query=2)


def test_a_missing_checkpoint_is_told_before_any_clip():
    with pytest.raises(ModelError, match="no such AllTracker checkpoint"):
        get_tracker("alltracker", weights="nowhere.pth")


def test_users_of_other_trackers_do_not_import_it():
    code = (
        "import sys; from motive.motion import ReliableTracker, get_tracker; get_tracker('dis'); "
        "sys.exit(any(name.startswith('motive.motion.alltracker') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_flow_agrees_between_cpu_and_gpu(checkpoint, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    frames = seeded_clip(18, 100, 150)
    here, there = (
        AllTracker(checkpoint, iterations=2, device=device).track(frames, query=5)
        for device in ("cpu", "cuda")
    )
    for name in ("flow", "visibility", "confidence"):
        cpu, gpu = getattr(here, name), getattr(there, name)
        assert float((cpu - gpu).abs().max() / cpu.abs().max()) < 1e-3

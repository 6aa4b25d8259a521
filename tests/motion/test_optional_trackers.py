"""RAFT and CoTracker3 with stand-ins for the packages that MOTIVE does not install."""

from __future__ import annotations

import importlib.machinery
import sys
from types import ModuleType
from urllib.error import URLError

import pytest
import torch

from motive.errors import MissingExtraError, ModelError, UsageError
from motive.motion import TRACKERS, ReliableTracker, get_tracker
from motive.motion.cotracker import CoTracker
from motive.motion.raft import RAFTTracker

FRAMES = torch.randint(0, 256, (4, 48, 64, 3), dtype=torch.uint8)


class PairFlow(torch.nn.Module):
    """Says that everything moves by (6, -3), or back if the first picture is the brighter one."""

    def __init__(self, weights):
        super().__init__()
        self.weights = weights
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, first, second):
        assert first.shape == second.shape
        assert first.min() >= -1
        assert first.max() <= 1
        assert min(first.shape[2:]) >= 128
        assert all(side % 8 == 0 for side in first.shape[2:])
        sign = -1.0 if first.mean() > second.mean() else 1.0
        flow = torch.tensor([6.0, -3.0]).view(1, 2, 1, 1) * sign * self.scale
        return [torch.zeros(1), flow.expand(1, 2, *first.shape[2:])]


@pytest.fixture
def torchvision(monkeypatch):
    """A torchvision that has nothing but flow models."""
    for name in ("torchvision", "torchvision.models", "torchvision.models.optical_flow"):
        module = ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    flows = sys.modules["torchvision.models.optical_flow"]
    flows.raft_large = lambda weights: PairFlow(weights)
    flows.raft_small = lambda weights: PairFlow(weights)


def brightening(frames=3):
    return torch.stack(
        [torch.full((48, 64, 3), 50 + 40 * f, dtype=torch.uint8) for f in range(frames)]
    )


def test_raft_flow_is_in_pixels_of_the_given_frames(torchvision):
    tracker = get_tracker("raft")
    flow = tracker.consecutive(brightening())  # enlarged threefold to reach 128 px
    assert flow.shape == (3, 48, 64, 2)
    assert torch.allclose(flow, torch.tensor([2.0, -1.0]).expand_as(flow))
    anchored = tracker.anchor(brightening())
    assert anchored[0].abs().max() == 0
    assert torch.allclose(anchored[1:], torch.tensor([2.0, -1.0]).expand(2, 48, 64, 2))
    assert tracker.consecutive(brightening(1)).abs().max() == 0


def test_raft_takes_torchvision_s_weights_or_a_file(torchvision, tmp_path):
    assert get_tracker("raft", model="small").settings["weights"] == "C_T_V2"
    path = tmp_path / "raft.pth"
    torch.save({"scale": torch.full((1,), 2.0)}, path)
    tracker = get_tracker("raft", weights=path)
    assert tracker.consecutive(brightening())[0, 0, 0].tolist() == [4.0, -2.0]
    assert len(tracker.settings["weights"]) == 32
    torch.save({"other": torch.ones(1)}, path)
    with pytest.raises(ModelError, match="no RAFT weights"):
        get_tracker("raft", weights=path).consecutive(brightening())


def test_raft_without_torchvision_says_so_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match="torchvision") as found:
        RAFTTracker().consecutive(brightening())
    assert "\n" not in str(found.value)


def test_wrong_options_are_usage_errors():
    with pytest.raises(UsageError, match="large, small"):
        RAFTTracker(model="huge")
    with pytest.raises(UsageError, match="step=0"):
        CoTracker(step=0)


class GridTracks(torch.nn.Module):
    """Everything moves 2 px right a frame; what starts in the left half is hidden after frame 1."""

    def forward(self, video, queries):
        assert video.shape[2] == 3
        assert queries[..., 0].max() == 0
        count = video.shape[1]
        steps = torch.arange(count).view(1, count, 1, 1) * torch.tensor([2.0, 0.0])
        tracks = queries[:, None, :, 1:] + steps
        hidden = (queries[..., 1] < video.shape[4] / 2)[:, None] & (torch.arange(count) > 1)[
            :, None
        ]
        return tracks, ~hidden


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(torch.hub, "load", lambda *args, **kwargs: GridTracks())


def test_cotracker_s_grid_becomes_dense_displacement(hub):
    tracker = get_tracker("cotracker3", step=4)
    flow = tracker.anchor(FRAMES)
    for f in range(4):
        assert torch.allclose(flow[f], torch.tensor([2.0 * f, 0.0]).expand(48, 64, 2), atol=1e-4)


def test_cotracker_s_steps_sit_where_the_tracks_are(hub):
    steps, seen = get_tracker("cotracker3", step=4).with_reliability(FRAMES, "consecutive")
    assert torch.allclose(steps[2, :, 4:, 0], torch.full((48, 60), 2.0), atol=1e-4)
    assert steps[2, :, :3].abs().max() == 0  # nothing known of what came into view
    assert seen[2, :, 40:].min() > 0.99
    assert seen[2, :, 6:32].max() < 0.01


def test_cotracker_knows_reliability_and_dis_does_not():
    assert isinstance(CoTracker(), ReliableTracker)
    assert not isinstance(get_tracker("dis"), ReliableTracker)


def test_cotracker_that_cannot_be_fetched_is_one_line(monkeypatch):
    def fail(*args, **kwargs):
        raise URLError("no route")

    monkeypatch.setattr(torch.hub, "load", fail)
    with pytest.raises(MissingExtraError, match="needs the internet once") as found:
        CoTracker().anchor(FRAMES)
    assert "\n" not in str(found.value)


def test_every_tracker_says_whether_it_can_run_and_under_which_licence(torchvision, monkeypatch):
    assert TRACKERS["dis"].state() == (True, TRACKERS["dis"].about)
    ready, text = TRACKERS["raft"].state()
    assert ready
    assert "BSD-3" in text
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "/nowhere")
    ready, text = TRACKERS["cotracker3"].state()
    assert not ready
    assert "CC-BY-NC-4.0" in text


def test_a_tracker_whose_package_is_missing_is_not_built(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert TRACKERS["raft"].missing() == ("torchvision",)
    with pytest.raises(MissingExtraError, match="torchvision is not installed"):
        get_tracker("raft")

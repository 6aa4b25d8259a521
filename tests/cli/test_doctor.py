"""`motive doctor` says of every tracker whether it can run, what is missing, and its licence."""

import importlib.util

import pytest

from motive.motion import TRACKERS
from motive.motion.alltracker import loading


def trackers(motive):
    checks = motive("doctor", "--json").json["checks"]
    prefix = "tracker "
    return {c["name"].removeprefix(prefix): c for c in checks if c["name"].startswith(prefix)}


def test_every_tracker_has_a_line(motive):
    assert list(trackers(motive)) == list(TRACKERS)
    text = motive("doctor").out
    for name in TRACKERS:
        assert f" tracker {name}: " in text


def test_trackers_without_weights_can_always_run(motive):
    found = trackers(motive)
    assert all(found[name]["ok"] for name in ("dis", "farneback", "codec"))
    assert all("weights" not in found[name]["text"] for name in ("dis", "farneback", "codec"))


def test_the_licence_of_weights_is_named_whether_they_are_here_or_not(motive):
    found = trackers(motive)
    assert "MIT" in found["alltracker"]["text"]
    assert "BSD-3-Clause" in found["raft"]["text"]
    assert "CC-BY-NC-4.0 (no commercial use)" in found["cotracker3"]["text"]


@pytest.mark.parametrize("here", [False, True])
def test_what_is_missing_is_said_with_how_to_get_it(motive, monkeypatch, here):
    monkeypatch.setattr(loading, "fetched", lambda: here)
    original = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec",
        lambda name, *rest: (here or None) if name == "torchvision" else original(name, *rest),
    )  # fmt: skip
    found = trackers(motive)
    assert (found["alltracker"]["ok"], found["raft"]["ok"]) == (here, here)
    if not here:
        assert "weights=PATH of alltracker.pth" in found["alltracker"]["text"]
        assert "torchvision missing: install" in found["raft"]["text"]

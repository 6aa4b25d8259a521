"""Options of motion weights: what the fingerprint notices, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from motive.errors import UsageError
from motive.motion import MotionConfig

CHANGES = (
    {"displacement": "anchor"},
    {"displacement": "anchor-literal"},
    {"pool": "max"},
    {"zeta": 1e-3},
    {"antialias": False},
    {"tracker_options": {"preset": "fast"}},
    {"tracker": "farneback"},
    {"tracker": "codec"},
    {"weight_by": "residual"},
    {"weight_by": "residual", "camera_model": "homography"},
    {"weight_by": "residual", "evidence": False},
    {"evidence": True},
    {"track_side": 240},
    {"noise_floor": 0.3},
    {"split_cuts": True},
    {"normalise": "robust"},
    {"normalise": "robust", "percentile": 99.5},
    {"tracker": "cotracker3", "reliability": True},
)


def test_settings_name_everything_that_changes_the_weights():
    found = [json.dumps(MotionConfig(**change).settings) for change in ({}, *CHANGES)]
    assert len(set(found)) == len(found)


def test_settings_of_the_first_release_are_unchanged():
    """Caches and indexes that were made before the newer options existed stay valid."""
    assert MotionConfig().settings == {
        "tracker": {"name": "dis", "preset": "medium", "min_side": 128},
        "displacement": "consecutive",
        "pool": "mean",
        "zeta": 1e-6,
        "antialias": True,
    }
    literal = MotionConfig(displacement="anchor-literal").settings
    assert literal["displacement"] == "anchor"
    assert "placed" not in literal


def test_the_paper_s_setting_is_one_call_away():
    paper = MotionConfig.paper("dis", {"preset": "fast"})
    assert paper.tracker_options == {"preset": "fast"}
    assert (paper.displacement, paper.weight_by, paper.normalise) == (
        "anchor-literal",
        "raw",
        "minmax",
    )
    assert (paper.noise_floor, paper.antialias, paper.zeta) == (0.0, False, 1e-6)
    assert not paper.reliability
    assert not paper.split_cuts
    assert MotionConfig.paper().tracker == "alltracker"


def test_presets_are_settings_with_other_values_on_top():
    assert MotionConfig.preset("default") == MotionConfig()
    assert MotionConfig.preset("objects", tracker=None) == MotionConfig.objects()
    mixed = MotionConfig.preset("paper", tracker="dis", pool="max", evidence=None)
    assert mixed == replace(MotionConfig.paper("dis"), pool="max")
    with pytest.raises(UsageError, match="'best': must be one of default, objects, paper"):
        MotionConfig.preset("best")
    with pytest.raises(UsageError, match="no option 'speed'"):
        MotionConfig.preset("objects", speed=2)


def test_motion_against_the_camera_must_be_proven_unless_told_otherwise():
    assert MotionConfig(weight_by="residual").asks_evidence
    assert not MotionConfig(weight_by="residual", evidence=False).asks_evidence
    assert not MotionConfig().asks_evidence
    assert MotionConfig(evidence=True).asks_evidence
    explicit = MotionConfig(weight_by="residual", evidence=True)
    assert explicit.settings == MotionConfig(weight_by="residual").settings


def test_a_tracker_that_reads_files_tracks_at_their_resolution():
    with pytest.raises(UsageError, match="track_side=240: tracker 'codec'"):
        MotionConfig(tracker="codec", track_side=240).settings  # noqa: B018


@pytest.mark.parametrize(
    "wrong",
    [
        {"displacement": "next"},
        {"pool": "min"},
        {"zeta": 0.0},
        {"zeta": float("nan")},
        {"weight_by": "object"},
        {"camera_model": "rigid"},
        {"normalise": "zscore"},
        {"track_side": 15},
        {"noise_floor": -0.1},
        {"noise_floor": float("nan")},
        {"percentile": 50},
        {"percentile": 101},
    ],
)
def test_wrong_configurations_are_usage_errors(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))) as found:
        MotionConfig(**wrong)
    assert "\n" not in str(found.value)


def test_reliability_is_refused_where_the_tracker_has_none():
    with pytest.raises(UsageError, match="tracker 'dis' gives no visibility or confidence"):
        MotionConfig(reliability=True).settings  # noqa: B018

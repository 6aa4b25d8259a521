"""The whole way from pixels to magnitude and facts, with the clips that spoil weights."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
import torch

from motive.motion import DISTracker, MotionConfig, compute_motion_weights, measure_motion
from motive.motion.trackers import TRACKERS, TrackerCard

RAW = MotionConfig()
RESIDUAL = MotionConfig(weight_by="residual", evidence=False)
EVERYTHING = MotionConfig(
    weight_by="residual",
    evidence=True,
    normalise="robust",
    noise_floor=0.2,
    split_cuts=True,
)


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return (127 + 100 * smooth / np.abs(smooth).max()).astype(np.uint8)


def scene(frames=5, pan=0, speed=0, seed=0, height=96, width=128) -> torch.Tensor:
    """A camera that pans over a texture, and a square of 32 px at (32, 40) that moves in view."""
    big = texture(height, width + pan * frames, seed)
    clip = np.stack([big[:, pan * f : pan * f + width].copy() for f in range(frames)])
    if speed is not None:
        for f in range(frames):
            x = 40 + speed * f
            clip[f, 32:64, x : x + 32] = texture(32, 32, seed + 1)
    return torch.from_numpy(clip)


def square(frames=5, speed=0) -> torch.Tensor:
    mask = torch.zeros(frames, 96, 128, dtype=torch.bool)
    for f in range(frames):
        mask[f, 36:60, 44 + speed * f : 68 + speed * f] = True
    return mask


def contrast(magnitude: torch.Tensor, mask: torch.Tensor) -> float:
    return float(magnitude[mask].mean() / magnitude[~mask].mean().clamp_min(1e-6))


def test_residual_motion_is_the_object_s_when_the_camera_pans():
    pixels = scene(pan=3, speed=0)  # the camera follows the square: it stays where it is in view
    raw, residual = measure_motion(pixels, RAW), measure_motion(pixels, RESIDUAL)
    assert contrast(raw.magnitude, square()) < 0.3
    assert contrast(residual.magnitude, square()) > 5
    assert residual.magnitude[square()].mean() == pytest.approx(3, abs=0.4)


def test_facts_of_a_pan_with_an_object():
    facts = measure_motion(scene(pan=3, speed=0, frames=7), RAW).facts
    assert facts.camera == "pan"
    assert facts.camera_magnitude == pytest.approx(3, abs=0.2)
    assert facts.object_magnitude == pytest.approx(3, abs=0.6)
    assert facts.moving_area == pytest.approx(32 * 32 / (96 * 128), rel=0.5)
    assert np.argmax(facts.directions) == 0  # against a background that goes left: right
    assert (facts.static, facts.camera_only, facts.micro_motion) == (False, False, False)
    assert facts.cuts == ()


def test_facts_do_not_depend_on_how_weights_are_made():
    pixels = scene(pan=2, speed=3)
    expected = measure_motion(pixels, RAW).facts
    for config in (RESIDUAL, EVERYTHING, MotionConfig(normalise="robust", noise_floor=1.0)):
        assert measure_motion(pixels, config).facts == expected
    json.dumps(asdict(expected))  # plain numbers: they go into tables and manifests


def test_a_pan_over_a_still_scene_is_camera_only():
    facts = measure_motion(scene(pan=3, speed=None), RAW).facts
    assert facts.camera_only
    assert facts.camera_share > 0.95
    assert facts.uniformity > 0.95


def test_an_object_before_a_still_camera_is_no_camera():
    facts = measure_motion(scene(speed=3), RESIDUAL).facts
    assert facts.camera == "static"
    assert not facts.camera_only
    assert facts.object_magnitude == pytest.approx(3, abs=0.8)


def test_motion_that_fills_the_picture_is_the_camera_s():
    motion = measure_motion(scene(pan=4, speed=None), RESIDUAL)
    assert motion.magnitude.mean() < 0.15


@pytest.mark.parametrize("config", [RAW, RESIDUAL, EVERYTHING])
@pytest.mark.parametrize("displacement", ["consecutive", "anchor", "anchor-literal"])
def test_clips_with_nothing_to_see_give_zeros(config, displacement):
    config = replace(config, displacement=displacement)
    for value in (0, 16, 255):
        pixels = torch.full((4, 40, 56, 3), value, dtype=torch.uint8)
        found = compute_motion_weights(pixels, [[0], [1, 2, 3]], (5, 7), config)
        assert found.weights.abs().max() == 0
        assert found.facts.static
    one = compute_motion_weights(scene(frames=1), [[0]], (12, 16), config)
    assert one.weights.abs().max() == 0
    assert one.facts.static


def test_compression_noise_is_not_stretched_to_motion():
    rng = np.random.default_rng(0)
    pixels = scene().numpy().astype(int)[:1] + rng.integers(-2, 3, (5, 96, 128, 3))
    pixels = torch.from_numpy(pixels.clip(0, 255).astype(np.uint8))
    found = compute_motion_weights(pixels, [[0], [1, 2, 3, 4]], (12, 16), EVERYTHING)
    assert found.weights.mean() < 0.02
    assert not found.facts.camera_only


def cut_clip() -> torch.Tensor:
    return torch.cat([scene(frames=4, speed=2), scene(frames=4, speed=2, seed=7)])


def test_a_cut_is_reported_and_does_not_enter_the_facts():
    facts = measure_motion(cut_clip(), RAW).facts
    assert facts.cuts == (4,)
    assert facts.max_magnitude < 6
    assert facts.camera == "static"


def test_shots_are_measured_one_by_one_when_asked():
    pixels = cut_clip()
    whole = measure_motion(pixels, RAW).magnitude
    split = measure_motion(pixels, replace(RAW, split_cuts=True))
    first, second = (measure_motion(part, RAW).magnitude for part in (pixels[:4], pixels[4:]))
    assert torch.equal(split.magnitude, torch.cat([first, second]))
    assert whole[3].mean() > 3 * split.magnitude[3].mean()
    assert split.facts.cuts == (4,)
    anchored = measure_motion(pixels, replace(RAW, split_cuts=True, displacement="anchor"))
    assert anchored.magnitude[4].abs().max() == 0  # the second shot has its own anchor


def test_a_flash_of_black_is_two_cuts():
    pixels = scene(frames=7, speed=2)
    pixels[3] = 0
    motion = measure_motion(pixels, replace(EVERYTHING))
    assert motion.facts.cuts == (3, 4)
    assert motion.magnitude[3].abs().max() == 0
    assert motion.magnitude.isfinite().all()


def test_letterbox_bars_are_not_objects_when_the_camera_pans():
    pixels = scene(pan=3, speed=None)
    pixels[:, :16] = 16
    pixels[:, -16:] = 16
    motion = measure_motion(pixels, RESIDUAL)
    assert motion.magnitude[:, :16].abs().max() == 0
    assert motion.magnitude[:, -16:].abs().max() == 0
    assert motion.facts.camera == "pan"
    assert motion.facts.camera_magnitude == pytest.approx(3, abs=0.3)


def test_the_noise_floor_zeroes_small_motion_and_leaves_the_rest():
    pixels = scene(speed=3)
    raw = measure_motion(pixels, RAW).magnitude
    floored = measure_motion(pixels, replace(RAW, noise_floor=1.0)).magnitude
    assert torch.equal(floored, torch.where(raw < 1.0, 0.0, raw))


class Exact(DISTracker):
    """Knows that the square of `scene(speed=5)` goes right by 5 px a frame and nothing else."""

    name = "exact"

    def anchor(self, frames):
        flow = torch.zeros(*frames.shape[:3], 2)
        flow[:, 32:64, 40:72, 0] = 5.0 * torch.arange(len(frames))[:, None, None]
        return flow


@pytest.mark.parametrize("tracker", ["exact", "dis"])
def test_anchored_weights_sit_where_the_object_is_in_each_frame(monkeypatch, tracker):
    monkeypatch.setitem(TRACKERS, "exact", TrackerCard("exact", Exact, "for tests"))
    pixels = scene(frames=6, speed=5)
    placed, literal = (
        measure_motion(pixels, MotionConfig(tracker=tracker, displacement=kind)).magnitude[5]
        for kind in ("anchor", "anchor-literal")
    )
    now, left_behind = square(6, 5)[5], square(6)[5]
    left_behind[:, 64:] = False  # the square stands at 65 to 96 now
    assert placed[now].mean() == pytest.approx(25, abs=3)
    assert literal[left_behind].mean() == pytest.approx(25, abs=3)
    # DIS carries some of the background along in the square's wake.
    assert placed[left_behind].mean() < (1e-6 if tracker == "exact" else 12)


def test_anchored_facts_know_the_camera_per_frame():
    facts = measure_motion(
        scene(frames=6, pan=2, speed=None), MotionConfig(displacement="anchor")
    ).facts
    assert facts.camera == "pan"
    assert facts.camera_magnitude == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("displacement", ["consecutive", "anchor"])
def test_plain_surfaces_have_no_evidence_of_motion_and_objects_keep_theirs(displacement):
    pixels = scene(pan=2, speed=2)
    pixels[:, :24] = 170  # a plain sky: it looks the same however it moves
    config = MotionConfig(weight_by="residual", displacement=displacement)
    plain = measure_motion(pixels, replace(config, evidence=False)).magnitude
    proven = measure_motion(pixels, config).magnitude
    sky, objects = plain[:, :18], square(speed=2)
    assert sky.mean() > 4 * proven[:, :18].mean()
    assert proven[1:][objects[1:]].mean() > 0.6 * plain[1:][objects[1:]].mean()
    raw = measure_motion(pixels, MotionConfig(evidence=True)).magnitude
    assert raw[:, 70:].mean() > 1  # against standing still, the panned background does move


class Doubtful(DISTracker):
    """DIS that trusts the left half only."""

    name = "doubtful"

    def with_reliability(self, frames, displacement):
        flow = self.consecutive(frames) if displacement == "consecutive" else self.anchor(frames)
        trust = torch.ones(flow.shape[:3])
        trust[:, :, 64:] = 0.0
        return flow, trust


@pytest.fixture
def doubtful(monkeypatch):
    monkeypatch.setitem(TRACKERS, "doubtful", TrackerCard("doubtful", Doubtful, "for tests"))


@pytest.mark.parametrize("displacement", ["consecutive", "anchor", "anchor-literal"])
def test_motion_that_the_tracker_doubts_counts_less(doubtful, displacement):
    config = MotionConfig(tracker="doubtful", displacement=displacement)
    pixels = scene(speed=0, pan=2)
    plain = measure_motion(pixels, config).magnitude
    trusted = measure_motion(pixels, replace(config, reliability=True)).magnitude
    assert trusted[1:, :, 72:].abs().max() == 0
    same = (trusted - plain)[:, :, :48].abs() < 0.01
    # Under "anchor" trust also decides which of two tracks that end in one place is seen.
    assert same.float().mean() > (0.95 if displacement == "anchor" else 0.9999)

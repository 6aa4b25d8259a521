"""Facts of made-up motion, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.motion import CameraMotion, motion_uniformity
from motive.motion.facts import (
    DIRECTIONS,
    FactsOfFrames,
    classify_camera,
    frame_magnitude,
    frame_objects,
)


def camera(matrices, size=(90, 160)) -> CameraMotion:
    return CameraMotion(np.asarray(matrices, float), np.ones(len(matrices)), size)


def step(dx=0.0, dy=0.0, growth=0.0, turn=0.0, shear=0.0):
    return [[1 + growth, shear - turn, dx], [turn + shear, 1 + growth, dy], [0, 0, 1]]


def wave(size, frames=16):
    return [step(dx=size * np.cos(1.9 * f), dy=size * np.sin(2.3 * f)) for f in range(frames)]


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("static", [step()] * 9),
        ("static", [step(dx=0.03)] * 9),
        ("pan", [step(dx=2)] * 9),
        ("pan", [step(dy=-0.5, growth=0.002)] * 9),
        ("zoom", [step(growth=0.02)] * 9),
        ("zoom", [step(growth=-0.02, dx=0.4)] * 9),
        ("rotation", [step(turn=0.02)] * 9),
        ("rotation", [step(shear=0.01, dx=0.2)] * 9),
        ("shake", wave(1.5)),
    ],
)
def test_the_camera_is_named_after_what_it_does(kind, steps):
    assert classify_camera(camera(steps), range(len(steps)))[0] == kind


def test_the_magnitude_of_a_shift_is_its_length_and_no_frames_is_static():
    assert classify_camera(camera([step(dx=3, dy=4)] * 4), range(4))[1] == pytest.approx(5)
    assert classify_camera(camera([step(dx=3)]), []) == ("static", 0.0)


def collected(residuals, raws=None, camera_px=0.0) -> FactsOfFrames:
    frames = FactsOfFrames()
    for number, residual in enumerate(residuals):
        raw = residual if raws is None else raws[number]
        left, proven = residual.norm(dim=-1), torch.ones(residual.shape[:2])
        frames.add(
            frame_magnitude(raw.norm(dim=-1)), frame_objects(residual, left, proven, camera_px)
        )
    return frames


def mover(direction, share=0.1) -> torch.Tensor:
    flow = torch.zeros(20, 50, 2)
    flow[:, : round(50 * share)] = torch.tensor(direction)
    return flow


def test_an_object_s_area_speed_and_direction():
    facts = collected([mover((3.0, 0.0)), mover((0.0, -3.0))]).facts("static", 0.0, ())
    assert facts.moving_area == pytest.approx(0.1)
    assert facts.object_magnitude == pytest.approx(3)
    assert facts.mean_magnitude == pytest.approx(0.3)
    assert facts.moving_fraction == pytest.approx(0.1)
    found = dict(zip(DIRECTIONS, facts.directions, strict=True))
    assert found["right"] == pytest.approx(0.5)
    assert found["up"] == pytest.approx(0.5)  # y points down in the picture
    assert (facts.static, facts.camera_only, facts.micro_motion) == (False, False, False)


@pytest.mark.parametrize("number", range(8))
def test_directions_go_round_in_eighths(number):
    angle = number * np.pi / 4 + 0.3
    flow = mover((2 * np.cos(angle), -2 * np.sin(angle)))
    assert np.argmax(collected([flow]).facts("static", 0.0, ()).directions) == number


def test_a_camera_alone_is_camera_only():
    raw, nothing = torch.full((20, 50, 2), 2.0), torch.zeros(20, 50, 2)
    facts = collected([nothing] * 3, [raw] * 3, camera_px=2.8).facts("pan", 2.8, ())
    assert facts.camera_only
    assert facts.camera_share == 1
    assert facts.uniformity == pytest.approx(1)
    assert facts.directions == (0.0,) * 8


def test_small_slow_motion_is_micro_motion_and_none_is_static():
    slow = torch.zeros(20, 50, 2)
    slow[5:15, 10:30, 0] = 0.3
    facts = collected([slow] * 3).facts("static", 0.0, ())
    assert facts.micro_motion
    assert not facts.static
    assert collected([torch.zeros(20, 50, 2)]).facts("static", 0.0, ()).static


def test_noise_is_static_and_a_small_slow_mover_is_not():
    noise = torch.zeros(9, 64, 64, 2)
    noise[..., 0] = torch.rand(9, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.004
    noise[3, 5, 5] = 0.7  # one compression artefact
    slow = noise.clone()
    slow[:, 30:37, 30:37, 0] = 1.0
    assert collected(noise).facts("static", 0.0, ()).static
    assert not collected(slow).facts("static", 0.0, ()).static


def test_no_frames_at_all_is_static():
    facts = FactsOfFrames().facts("static", 0.0, (1,))
    assert facts.static
    assert facts.mean_magnitude == 0
    assert facts.cuts == (1,)


@given(st.floats(0.01, 1.0), st.floats(0.1, 50))
@settings(max_examples=50, deadline=None)
def test_uniformity_is_the_share_of_pixels_that_move_alike(share, speed):
    magnitude = torch.zeros(3, 10, 100)
    columns = max(1, round(share * 100))
    magnitude[:, :, :columns] = speed
    assert motion_uniformity(magnitude) == pytest.approx(columns / 100)


def test_uniformity_tells_a_pan_from_a_small_mover_even_with_flow_noise():
    noise = torch.from_numpy(np.random.default_rng(0).uniform(0, 0.05, (8, 64, 64))).float()
    small = noise.clone()
    small[:, 20:30, 20:30] += 3
    assert motion_uniformity(noise + 3) > 0.99
    assert motion_uniformity(small) < 0.1
    assert motion_uniformity(torch.zeros(3, 4, 4)) == 0

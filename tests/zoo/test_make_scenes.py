"""What MotionZoo shows: factors, physics, solids and captions, without rendering."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.zoo import physics
from motive.zoo.captions import caption
from motive.zoo.motions import MOTIONS
from motive.zoo.scenes import build_scene, draw_factors
from motive.zoo.shading import PATTERNS, bake_texture
from motive.zoo.shapes import SHAPES, deform, fragments, solid

TIMES = np.arange(17) / 16.0


def volume(surface):
    a, b, c = (surface.vertices[surface.triangles[:, k]] for k in range(3))
    return float(np.einsum("ni,ni->n", a, np.cross(b, c)).sum() / 6.0)


def parts_of(motion, seed):
    rng = np.random.default_rng(seed)
    factors = draw_factors(rng, motion)
    return factors, build_scene(motion, factors, rng, frames=17, fps=16.0).parts


def scene_of(motion, seed):
    return parts_of(motion, seed)[1]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_factors_other_than_the_solid_do_not_depend_on_the_motion(seed):
    drawn = [
        dataclasses.replace(draw_factors(np.random.default_rng(seed), m), shape="") for m in MOTIONS
    ]
    assert all(factors == drawn[0] for factors in drawn)


def test_every_solid_moves_in_every_way_that_physics_allows():
    seen = {
        m: {draw_factors(np.random.default_rng([s, i]), m).shape for s in range(60)}
        for i, m in enumerate(MOTIONS)
    }
    assert seen.pop("roll") == {"ball", "cylinder"}
    assert seen.pop("slide") == {"cube", "cylinder"}
    assert all(shapes == set(SHAPES) for shapes in seen.values())


@pytest.mark.parametrize("motion", MOTIONS)
def test_captions_name_motion_solid_and_colour(motion):
    stem = {
        "compress": r"compress",
        "bounce": r"bounc",
        "roll": r"roll",
        "explode": r"explod",
        "float": r"float",
        "free fall": r"fall",
        "slide": r"slid",
        "spin": r"spin",
        "stretch": r"stretch",
        "swing": r"swing",
    }[motion]
    texts = set()
    for seed in range(80):
        rng = np.random.default_rng(seed)
        factors = draw_factors(rng, motion)
        text = caption(motion, factors, rng)
        assert re.search(stem, text)
        assert factors.shape in text
        assert factors.colour in text
        assert "{" not in text
        texts.add(text.replace(factors.colour, "").replace(factors.shape, "")[:14])
    assert len(texts) >= 6


def test_bounce_keeps_the_restitution_share_of_its_speed():
    fine = np.arange(0.0, 1.2, 1e-4)
    height = physics.bouncing_height(fine, 1.0, 0.0, 0.8)
    first = int(np.argmin(height[:6000]))
    assert fine[first] == pytest.approx(np.sqrt(2.0 / physics.GRAVITY), abs=1e-3)
    # The rebound climbs to e^2 of the drop.
    assert height[first:].max() == pytest.approx(0.64, abs=1e-3)


def test_free_fall_lands_and_stays():
    height = physics.bouncing_height(TIMES, 1.5, 0.0, 0.0)
    free = 1.5 - 0.5 * physics.GRAVITY * TIMES**2
    np.testing.assert_allclose(height, np.maximum(free, 0.0), atol=1e-9)


def test_pendulum_keeps_its_energy():
    angle = physics.pendulum_angle(np.arange(0, 4, 0.001), 1.3, -0.9, 0.0)
    omega = np.gradient(angle, 0.001)
    energy = 0.5 * omega**2 - physics.GRAVITY / 1.3 * np.cos(angle)
    assert np.ptp(energy[2:-2]) < 0.02 * physics.GRAVITY / 1.3


def test_braked_body_stops_after_v_squared_over_2a():
    assert physics.braked_distance(np.array([9.0]), 2.0, 4.0)[0] == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(4))
def test_rolling_is_without_slip(seed):
    factors, (body,) = parts_of("roll", seed)
    radius = factors.size * (1.0 if factors.shape == "ball" else 0.85)
    travelled = np.linalg.norm(body.positions[-1] - body.positions[0])
    step = np.abs((body.turns[1:] * body.turns[:-1]).sum(axis=1)).clip(0, 1)
    assert (2.0 * np.arccos(step)).sum() * radius == pytest.approx(travelled, rel=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_sliding_never_turns_and_spinning_never_travels(seed):
    (slider,), (spinner,) = scene_of("slide", seed), scene_of("spin", seed)
    assert np.ptp(slider.turns, axis=0).max() == 0
    assert np.linalg.norm(np.ptp(slider.positions, axis=0)) > 0.5
    assert np.ptp(spinner.positions, axis=0).max() == 0
    assert np.abs((spinner.turns[0] * spinner.turns[4]).sum()) < 0.95


@pytest.mark.parametrize("seed", range(4))
def test_floating_rises_and_explosions_spread(seed):
    (balloon,), pieces = scene_of("float", seed), scene_of("explode", seed)
    assert balloon.positions[-1, 2] > balloon.positions[0, 2] + 0.3
    centres = np.array([p.positions for p in pieces])
    assert 12 <= len(pieces) <= 27
    assert centres[:, 8].std(axis=0).sum() > 1.4 * centres[:, 0].std(axis=0).sum()
    assert centres[..., 2].min() > 0


@pytest.mark.parametrize("motion", MOTIONS)
def test_bodies_start_inside_the_frame(motion):
    for seed in range(20):
        factors, parts = parts_of(motion, seed)
        start = np.mean([p.positions[0] for p in parts if p.texture is not None], axis=0)
        assert abs(start[0]) < 1.6
        assert start[2] < 2.7 + factors.size


@pytest.mark.parametrize("shape", SHAPES)
def test_fragments_fill_the_whole_body(shape):
    cuts = np.array([-1.0, -0.3, 0.4, 1.0])
    pieces = fragments(shape, (cuts, cuts, cuts))
    total = sum(volume(surface) for surface, _ in pieces)
    assert len(pieces) == 27
    assert total == pytest.approx(volume(solid(shape, 24)), rel=0.05)
    assert all(volume(surface) > 0 for surface, _ in pieces)


@given(ratio=st.floats(0.35, 2.5), bulge=st.floats(-0.3, 0.4))
@settings(max_examples=25, deadline=None)
def test_deformation_keeps_the_volume_of_a_straight_body(ratio, bulge):
    rest = solid("cylinder", 16)
    assert volume(deform(rest, 2, ratio, bulge)) == pytest.approx(volume(rest), rel=0.02)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.8])
def test_normals_are_those_of_the_deformed_surface(shape, ratio):
    surface = deform(solid(shape, 24), 2, ratio, 0.25)
    corners = surface.vertices[surface.triangles]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(flat, axis=1, keepdims=True)
    smooth = surface.normals[surface.triangles].mean(axis=1)
    agreement = (flat / area * smooth).sum(axis=1)
    assert np.average(agreement, weights=area[:, 0]) > 0.97


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_texture_shows_a_turn(shape, pattern):
    image = bake_texture(shape, pattern, "red", "white")
    sides = image[:, : 4 * image.shape[0]].reshape(-1, 3)  # the four faces around the axis
    share = (sides[:, 1] > 128).mean()
    assert 0.1 < share < 0.9

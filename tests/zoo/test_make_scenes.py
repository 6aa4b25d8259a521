"""What MotionZoo shows: factors, physics, solids and captions, without rendering."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.zoo import physics
from motive.zoo.captions import caption
from motive.zoo.factors import draw_factors
from motive.zoo.motions import MOTIONS, RADIUS, simulate
from motive.zoo.shading import PATTERNS, bake_texture
from motive.zoo.shapes import SHAPES, deform, fragments, solid

TIMES = np.arange(17) / 16.0
BLANK = np.zeros((4, 32, 3), dtype=np.uint8)


def volume(surface):
    a, b, c = (surface.vertices[surface.triangles[:, k]] for k in range(3))
    return float(np.einsum("ni,ni->n", a, np.cross(b, c)).sum() / 6.0)


def parts_of(motion, seed, **change):
    rng = np.random.default_rng(seed)
    factors = replace(draw_factors(rng), **change)
    return factors, simulate(motion, factors, TIMES, BLANK, rng)


def body_of(motion, seed, **change):
    return parts_of(motion, seed, rod="none", **change)[1]


@pytest.mark.parametrize("motion", [*MOTIONS, "none"])
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
        "none": r"still|not move|without motion",
    }[motion]
    texts = set()
    for seed in range(80):
        rng = np.random.default_rng(seed)
        factors = draw_factors(rng)
        text = caption(motion, factors, rng)
        assert re.search(stem, text)
        assert factors.shape in text
        assert factors.colour in text
        assert "{" not in text
        texts.add(text.replace(factors.colour, "").replace(factors.shape, "")[:14])
    assert len(texts) >= 4


def test_captions_use_few_words():
    rng = np.random.default_rng(0)
    words = set()
    for motion in [*MOTIONS, "none"]:
        for _ in range(150):
            text = caption(motion, draw_factors(rng), rng)
            words.update(re.findall(r"[a-z-]+", text))
    assert len(words) < 140


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


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lying", [False, True])
def test_rolling_touches_the_floor_and_turns_with_topspin(shape, lying):
    lying = lying and shape in ("cylinder", "capsule")
    factors, (body,) = parts_of("roll", 1, rod="none", shape=shape, lying=lying, speed="fast")
    lowest = physics.turn_points(body.turns, body.surface.vertices)[..., 2].min(axis=1)
    np.testing.assert_allclose(body.positions[:, 2] + lowest, 0.0, atol=0.01)
    step = np.abs((body.turns[1:] * body.turns[:-1]).sum(axis=1)).clip(0, 1)
    turned = (2.0 * np.arccos(step)).sum() / (2.0 * np.pi)
    travelled = np.linalg.norm((body.positions[-1] - body.positions[0])[:2])
    assert travelled == pytest.approx(factors.travel * 2 * RADIUS / factors.apparent)
    if shape == "ball":
        assert turned == pytest.approx(2.0 * travelled / (2.0 * np.pi * RADIUS), rel=1e-3)
    assert turned > 0.3


def test_a_rolling_body_turns_forward():
    _, (body,) = parts_of("roll", 0, rod="none", shape="ball", heading=0.0, azimuth=0.0)
    turn = physics.compose(body.turns[1], body.turns[0] * np.array([-1.0, -1.0, -1.0, 1.0]))
    top = physics.turn_points(turn[None], np.array([[0.0, 0.0, 1.0]]))[0, 0]
    assert body.positions[-1, 0] > body.positions[0, 0]
    assert top[0] > 0.05


@pytest.mark.parametrize("seed", range(4))
def test_sliding_never_turns_and_spinning_turns_most_of_a_circle(seed):
    (slider,), (spinner,) = body_of("slide", seed), body_of("spin", seed)
    assert np.ptp(slider.turns, axis=0).max() == 0
    travel = [part.positions[-1] - part.positions[0] for part in (slider, spinner)]
    np.testing.assert_allclose(travel[0], travel[1])
    step = np.abs((spinner.turns[1:] * spinner.turns[:-1]).sum(axis=1)).clip(0, 1)
    assert (2.0 * np.arccos(step)).sum() > 0.8 * 2.0 * np.pi


@pytest.mark.parametrize("seed", range(4))
def test_floating_rises_and_explosions_spread(seed):
    (balloon,), pieces = body_of("float", seed), body_of("explode", seed)
    assert balloon.positions[-1, 2] > balloon.positions[0, 2] + 0.3
    centres = np.array([p.positions for p in pieces])
    assert 12 <= len(pieces) <= 27
    assert centres[:, 8].std(axis=0).sum() > 1.4 * centres[:, 0].std(axis=0).sum()
    assert centres[..., 2].min() > 0


@pytest.mark.parametrize("seed", range(6))
def test_bouncing_hits_the_floor_and_rises_within_a_second(seed):
    _, (body,) = parts_of("bounce", seed, rod="none", shape="ball")
    gap = body.positions[:, 2] - RADIUS
    hit = int(gap.argmin())
    assert 1 < hit < 12 or gap[:12].min() < 0.25
    assert gap[: hit + 1].max() > 0.4
    assert np.ptp(gap[: np.argmin(gap[:8]) + 9]) > 0.4


@pytest.mark.parametrize("seed", range(6))
def test_a_swing_turns_round_on_its_arc(seed):
    (body,) = body_of("swing", seed, heading=90.0, azimuth=0.0)
    side = body.positions[:, 0]
    assert np.ptp(side) > 0.5
    assert 0 < np.abs(side).argmax() < 16


@pytest.mark.parametrize(("motion", "share"), [("compress", 0.43), ("stretch", 2.0)])
def test_soft_bodies_reach_their_length_on_the_floor(motion, share):
    for load in (0.5, 0.9):  # vertical, across
        _, (body,) = parts_of(motion, 0, rod="none", lift=0.0, variant=(0.5, 0.5, load, 0.5, 0, 0))
        soft = body.deformation
        assert soft.ratios[-1] == pytest.approx(share, abs=0.01)
        for frame in (0, 8, 16):
            shape = deform(body.surface, soft.axis, soft.ratios[frame], soft.bulges[frame])
            lowest = shape.vertices[:, 2].min()
            assert body.positions[frame, 2] + lowest == pytest.approx(0.0, abs=1e-9)


def test_every_motion_drifts_alike():
    ways = []
    for motion in MOTIONS:
        parts = body_of(motion, 5, shape="ball", heading=90.0, azimuth=0.0, lift=0.0)
        path = np.mean([part.positions for part in parts], axis=0)
        if motion != "explode":  # its fragments lose speed on the floor
            ways.append(path[-1, 1] - path[0, 1])
    np.testing.assert_allclose(ways, ways[0])


def test_rods_of_all_motions_have_one_law_in_a_frame():
    tilts = {}
    for motion in ("swing", "slide", "bounce"):
        tilts[motion] = []
        for seed in range(150):
            _, parts = parts_of(motion, seed, rod="drifting", azimuth=0.0)
            rod = next(part for part in parts if part.name == "rod")
            tilts[motion].append(2.0 * np.arcsin(rod.turns[8, 1]))
    spread = [np.std(values) for values in tilts.values()]
    assert max(spread) < 1.35 * min(spread)
    assert abs(np.mean(tilts["swing"]) - np.mean(tilts["slide"])) < 0.2


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

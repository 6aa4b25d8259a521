"""MotionZoo is crossed: nothing that is drawn, and no gross position, tells the motion."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from motive.zoo.camera import aimed_camera
from motive.zoo.factors import CAMERAS, draw_factors, place_name
from motive.zoo.make import clip_generator
from motive.zoo.motions import MOTIONS, simulate
from motive.zoo.scenes import body_centres
from motive.zoo.shading import PATTERNS
from motive.zoo.shapes import SHAPES

CATEGORIES = (
    "shape",
    "colour",
    "accent",
    "pattern",
    "floor",
    "background",
    "camera",
    "direction",
    "speed",
    "place",
    "rod",
)
NUMBERS = ("place_x", "place_y", "apparent", "travel", "lift", "azimuth", "elevation")


@pytest.fixture(scope="module")
def drawn():
    """Motion numbers and factors of 2,000 clips of a balanced split."""
    factors = [draw_factors(clip_generator(0, "candidates", k)) for k in range(2000)]
    return np.arange(2000) % len(MOTIONS), factors


def chi_square_p(rows, columns):
    """p of independence of two label arrays, by the upper incomplete gamma function."""
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    statistic = ((table - expected) ** 2 / expected).sum()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    halves = torch.tensor([freedom / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(halves[0], halves[1]))


def neighbour_accuracy(points, labels, neighbours=15):
    """Leave-one-out accuracy of the nearest neighbours' majority."""
    distance = ((points[:, None] - points[None]) ** 2).sum(-1)
    np.fill_diagonal(distance, np.inf)
    near = labels[np.argsort(distance, axis=1)[:, :neighbours]]
    votes = (near[..., None] == np.arange(labels.max() + 1)).sum(axis=1)
    return float((votes.argmax(axis=1) == labels).mean())


def chance_limit(count):
    """Accuracy that chance exceeds once in a thousand draws among ten classes."""
    return 0.1 + 3.1 * np.sqrt(0.09 / count)


@pytest.mark.parametrize("name", CATEGORIES)
def test_motion_is_independent_of_every_category(drawn, name):
    motions, factors = drawn
    values = np.unique([str(getattr(f, name)) for f in factors], return_inverse=True)[1]
    assert chi_square_p(motions, values) > 0.001


def test_the_independence_test_finds_a_weak_link(drawn):
    motions, factors = drawn
    values = np.array([SHAPES.index(f.shape) for f in factors])
    linked = np.where((motions == 2) & (np.arange(2000) % 3 == 0), 0, values)
    assert chi_square_p(motions, linked) < 0.001


def test_numbers_drawn_do_not_predict_the_motion(drawn):
    motions, factors = drawn
    points = np.array([[getattr(f, name) for name in NUMBERS] for f in factors])
    points = ((points - points.mean(axis=0)) / points.std(axis=0))[:1000]
    assert neighbour_accuracy(points, motions[:1000]) < chance_limit(1000)


def test_the_drawn_categories_are_all_there(drawn):
    _, factors = drawn
    assert {f.shape for f in factors} == set(SHAPES)
    assert {f.pattern for f in factors} == set(PATTERNS)
    assert {f.camera for f in factors} == set(CAMERAS)
    assert len({f.place for f in factors}) == 9
    share = np.mean([f.camera == "static" for f in factors])
    assert share == pytest.approx(0.5, abs=0.04)
    counts = np.bincount([len(f.distractors) for f in factors]) / len(factors)
    np.testing.assert_allclose(counts, [0.45, 0.40, 0.15], atol=0.04)
    assert all(f.colour != thing.colour for f in factors for thing in f.distractors)


def test_travel_is_moderate_and_goes_every_way(drawn):
    _, factors = drawn
    travel = np.array([f.travel for f in factors])
    assert 0.12 < travel.min() < travel.max() < 0.42
    headings = np.histogram([f.heading for f in factors], bins=12, range=(0, 360))[0]
    assert headings.min() > 40
    sideways = np.mean([abs(np.cos(np.radians(f.heading))) > 0.8 for f in factors])
    assert sideways > 0.6


@pytest.fixture(scope="module")
def trajectories():
    """Image paths of the bodies in 250 clips, "n f 2", without rendering."""
    paths, times = [], np.arange(9) / 8.0
    blank = np.zeros((4, 32, 3), dtype=np.uint8)
    for k in range(250):
        factors = draw_factors(clip_generator(0, "candidates", k))
        rng = clip_generator(0, "candidates", k, stream=1)
        centres = body_centres(simulate(MOTIONS[k % 10], factors, times, blank, rng))
        camera = aimed_camera(factors, times, centres)
        paths.append(camera.project(centres[:, None])[:, 0])
        goal = factors.place_x, factors.place_y
        np.testing.assert_allclose(paths[-1].mean(axis=0), goal, atol=1e-6)
    return np.array(paths)


def test_mean_image_position_does_not_predict_the_motion(trajectories):
    motions = np.arange(250) % 10
    assert neighbour_accuracy(trajectories.mean(axis=1), motions) < chance_limit(250)


def test_bodies_stay_in_the_frame(trajectories):
    inside = (np.abs(trajectories) < 0.5).all(axis=2)
    assert inside.mean() > 0.99
    assert inside.mean(axis=1).min() > 0.7


def test_sideways_travel_is_the_same_for_motions_that_add_none(trajectories):
    net = np.abs(trajectories[:, -1, 0] - trajectories[:, 0, 0])
    means = [net[k::10].mean() for k, m in enumerate(MOTIONS) if m not in ("swing", "float")]
    assert max(means) - min(means) < 0.1


def test_places_have_names():
    assert place_name(-0.1, 0.1) == "top left"
    assert place_name(0.0, 0.0) == "centre middle"
    assert place_name(0.14, -0.14) == "bottom right"

"""From labels to a row: controls, leakage, and the average precision of each motion."""

import numpy as np
import pytest

from motive.bench.methods import FromFile
from motive.bench.methods.random_scores import RANDOM
from motive.bench.problem import BenchClip, Problem
from motive.bench.retrieval import measure_retrieval
from motive.bench.rows import Measured, board_row, contrast, leakage, measure_method, per_motion
from motive.bench.scoring import Scored
from motive.clips import Clip

COLOURS, SHAPES = ("red", "blue", "green"), ("ball", "cube")


def a_clip(prefix, n, decoy=None):
    clip = Clip(f"{prefix}{n}.mp4", digest=f"{prefix}{n}".encode())
    factors = {"colour": COLOURS[n % 3], "shape": SHAPES[(n // 3) % 2], "camera": str(n % 4)}
    return BenchClip(clip, f"{prefix}{n}", ("roll", "spin")[n % 2], decoy, factors)


PROBLEM = Problem(
    tuple(a_clip("c", n, "corner" if n >= 44 else None) for n in range(48)),
    tuple(a_clip("q", n) for n in range(12)),
)


def perfect(part):
    """1 where a part of the truth agrees, else 0."""
    asked = [part(query) for query in PROBLEM.queries]
    return np.array([[part(c) == value for c in PROBLEM.candidates] for value in asked], float)


def measured(scores, method=RANDOM, **options):
    return Measured(method, scores, 0.0, measure_retrieval(scores, PROBLEM), {}, **options)


def test_a_score_that_knows_the_motion_has_precision_one_and_leaks_nothing():
    row = board_row(measured(perfect(lambda clip: clip.motion)), PROBLEM)
    assert row.values["map"].value == row.values["p1"].value == 1.0
    assert row.per_motion == {"roll": 1.0, "spin": 1.0}
    assert abs(row.values["appearance"].value) < 0.1


def test_a_score_that_knows_the_colour_leaks_appearance_and_not_the_camera():
    row = board_row(measured(perfect(lambda clip: clip.factors["colour"])), PROBLEM)
    assert row.values["appearance"].low > 0.2
    assert abs(row.values["camera"].value) < 0.15
    assert row.factors["colour"] > 0.5 > abs(row.factors["shape"])
    assert "position" not in row.values  # these clips have no such factor


def test_leakage_is_the_mean_over_factors_of_precision_above_chance():
    scores = np.random.default_rng(0).random((12, 48))
    factors = measure_retrieval(scores, PROBLEM).factors
    rows = [factors["colour"], factors["shape"]]
    assert leakage(rows).value == pytest.approx(np.mean([row.lift for row in rows]))


def test_motions_are_averaged_over_their_own_queries():
    scores = np.random.default_rng(1).random((12, 48))
    row = measure_retrieval(scores, PROBLEM).motion
    expected = [np.mean(row.per_query[0::2]), np.mean(row.per_query[1::2])]
    assert list(per_motion(row, PROBLEM).values()) == pytest.approx(expected)


def test_counterfactual_columns_join_the_row():
    from bench_boards import around

    row = board_row(measured(perfect(lambda c: c.motion)), PROBLEM, {"lds_loss": around(0.3)})
    assert row.values["lds_loss"] == around(0.3)
    assert row.values["decoys"].value <= 1


def test_a_contrast_is_paired_over_queries():
    good, bad = perfect(lambda c: c.motion), np.random.default_rng(0).random((12, 48))
    rows = [measure_retrieval(scores, PROBLEM).motion for scores in (good, bad)]
    found = contrast("mask", "good minus bad", *rows)
    assert found.verdict == "higher"
    expected = rows[0].average_precision - rows[1].average_precision
    assert found.estimate.value == pytest.approx(expected)


class Book:
    """Gives the same scores on every view and remembers the views."""

    def __init__(self):
        self.views = []

    def scores(self, method, view="moving"):
        self.views.append(view)
        return Scored(np.ones((12, 48)) * np.arange(48), 1.0, False)


def test_only_methods_that_see_pixels_are_measured_on_control_views(tmp_path):
    book = Book()
    found = measure_method(RANDOM, book, PROBLEM)
    assert (book.views, found.same) == (["moving"], ("frozen", "shuffled"))
    other = FromFile("mine", tmp_path / "mine.npy")
    assert measure_method(other, Book(), PROBLEM).same == ()  # not known, so not called the same

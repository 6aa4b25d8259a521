"""VBench's formulas give the values that a calculation by hand, or VBench's own loops, give."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motive.evaluation.metrics import formulas

magnitudes = st.lists(st.floats(0, 50), min_size=1, max_size=40)


def test_consistency_averages_the_likeness_to_the_previous_and_to_the_first_frame():
    features = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    # Frame 1 is orthogonal to frame 0; frame 2 is at 45 degrees to both.
    assert formulas.consistency_terms(features) == pytest.approx([0.0, math.sqrt(0.5)])


def test_opposite_features_count_as_unlike_not_as_negative():
    assert formulas.consistency_terms(np.array([[1.0, 0.0], [-1.0, 0.0]])).tolist() == [0.0]


def test_consistency_agrees_with_the_loop_of_vbench():
    features = np.random.default_rng(0).standard_normal((6, 5))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    known = [
        (max(0.0, unit[i] @ unit[i - 1]) + max(0.0, unit[i] @ unit[0])) / 2 for i in range(1, 6)
    ]
    assert formulas.consistency_terms(features) == pytest.approx(known)


def test_smoothness_is_the_rest_of_255():
    assert formulas.smoothness([5.1, 0.0]) == pytest.approx((255 - 2.55) / 255)


@pytest.mark.parametrize(
    ("fps", "interval"), [(0, 1), (4, 1), (8, 1), (12, 2), (16, 2), (20, 2), (24, 3), (60, 8)]
)
def test_dynamic_degree_looks_at_about_eight_frames_per_second(fps, interval):
    assert formulas.sampling_interval(fps) == interval


def test_the_top_magnitude_is_the_mean_of_the_largest_five_percent():
    flow = np.zeros((10, 10, 2), np.float32)
    flow[0, :5] = [3.0, 4.0]  # 5 of 100 pixels move by 5
    assert formulas.top_magnitude(flow) == pytest.approx(5.0)
    flow[0, 0] = [30.0, 40.0]
    assert formulas.top_magnitude(flow) == pytest.approx((4 * 5 + 50) / 5)


def test_the_threshold_is_six_pixels_at_a_height_of_256():
    assert formulas.motion_threshold(256, 999) == 6.0
    assert formulas.motion_threshold(832, 480) == pytest.approx(11.25)


def test_a_quarter_of_the_sampled_frames_must_move():
    # 16 sampled frames need round(4 * 16 / 16) = 4 of 15 pairs above 6 px.
    still, moving = [1.0] * 12, [6.1] * 3
    assert not formulas.is_dynamic(still + moving, 256, 256)
    assert formulas.is_dynamic(still[:-1] + moving + [6.1], 256, 256)
    assert not formulas.is_dynamic([6.0] * 15, 256, 256)  # at the threshold is not above it


def test_two_frames_are_always_dynamic_because_no_pair_is_needed():
    assert formulas.needed_pairs(2) == 0
    assert formulas.is_dynamic([0.0], 256, 256)


def vbench_check_move(scores, height, width):
    """`check_move` and `set_params` as in vbench/dynamic_degree.py."""
    threshold, count_num = 6.0 * (min(height, width) / 256.0), round(4 * ((len(scores) + 1) / 16.0))
    count = 0
    for score in scores:
        if score > threshold:
            count += 1
        if count >= count_num:
            return True
    return False


@given(magnitudes, st.integers(8, 600), st.integers(8, 600))
def test_dynamic_degree_agrees_with_vbench(scores, height, width):
    assert formulas.is_dynamic(scores, height, width) == vbench_check_move(scores, height, width)


@given(magnitudes.filter(lambda m: len(m) > 1), st.integers(8, 600))
def test_the_margin_passes_one_exactly_where_the_answer_is_yes(scores, side):
    assert (formulas.dynamic_margin(scores, side, side) > 1) == formulas.is_dynamic(
        scores, side, side
    )


def test_quality_scores_are_brought_to_one():
    assert formulas.aesthetic_quality(np.array([4.0, 5.0])) == pytest.approx(0.45)
    assert formulas.imaging_quality(np.array([60.0, 70.0])) == pytest.approx(0.65)

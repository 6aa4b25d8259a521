"""The linear datamodeling score against independent computations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from motive.errors import UsageError
from motive.evaluation.datamodel import (
    linear_datamodeling_score,
    noise_floor,
    random_subsets,
)


def test_the_score_is_the_rank_correlation_of_summed_scores_and_targets():
    generator = np.random.default_rng(0)
    scores, targets = generator.standard_normal((3, 10)), generator.standard_normal((20, 3))
    masks = random_subsets(10, 20, 0.5, seed=0)
    expected = []
    for query in range(3):
        predicted = [
            sum(scores[query, clip] for clip in range(10) if masks[row, clip]) for row in range(20)
        ]
        expected.append(spearmanr(predicted, targets[:, query])[0])
    found = linear_datamodeling_score(scores, masks, targets)
    np.testing.assert_allclose(found.per_query, expected, rtol=1e-12)
    assert found.value == pytest.approx(np.mean(expected))
    assert found.interval[0] <= found.value <= found.interval[1]


def _least_squares_world():
    """Regression on 80 points: minus the loss on each query, retrained on halves of the points."""
    generator = np.random.default_rng(1)
    points = generator.standard_normal((80, 4))
    truth = generator.standard_normal(4)
    values = points @ truth + 0.5 * generator.standard_normal(80)
    queries = generator.standard_normal((12, 4))
    # Far from every answer the squared error has a slope; at its minimum it has none to predict.
    answers = queries @ truth + generator.choice([-3.0, 3.0], 12)
    masks = random_subsets(80, 60, 0.5, seed=0)
    targets = np.empty((60, 12))
    for row, mask in enumerate(masks):
        fitted = np.linalg.lstsq(points[mask], values[mask], rcond=None)[0]
        targets[row] = -((queries @ fitted - answers) ** 2)
    # Influence function of least squares: grad_q^T H^-1 grad_i, both at the full fit.
    fitted = np.linalg.lstsq(points, values, rcond=None)[0]
    of_points = (points @ fitted - values)[:, None] * points
    of_queries = (queries @ fitted - answers)[:, None] * queries
    influence = of_queries @ np.linalg.solve(points.T @ points, of_points.T)
    return influence, masks, targets


def test_exact_influence_predicts_retraining_of_least_squares():
    found = linear_datamodeling_score(*_least_squares_world())
    assert found.value > 0.9


def test_random_scores_predict_nothing():
    influence, masks, targets = _least_squares_world()
    scores = np.random.default_rng(2).standard_normal((20, *influence.shape))
    found = [linear_datamodeling_score(one, masks, targets).value for one in scores]
    assert abs(np.mean(found)) < 0.05


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3), st.floats(-5, 5))
def test_neither_the_scale_of_scores_nor_that_of_targets_matters(seed, scale, shift):
    generator = np.random.default_rng(seed)
    scores, targets = generator.standard_normal((2, 6)), generator.standard_normal((8, 2))
    masks = random_subsets(6, 8, 0.5, seed)
    first = linear_datamodeling_score(scores, masks, targets).per_query
    # Sets of equal size: a constant added to all scores moves every prediction alike.
    second = linear_datamodeling_score(scores * scale + shift, masks, np.exp(targets)).per_query
    np.testing.assert_allclose(first, second, atol=1e-9)


def test_sums_that_differ_by_rounding_alone_are_ties():
    masks = np.array([[1, 1, 1, 0], [1, 1, 0, 1], [0, 1, 1, 1], [1, 0, 1, 1]], dtype=bool)
    scores = np.array([[0.1, 0.2, 0.3, 0.1], [0.1, 0.1, 0.1, 0.1]])
    targets = np.array([[3.0, 1.0], [1.0, 4.0], [3.0, 2.0], [2.0, 3.0]])
    found = linear_datamodeling_score(scores, masks, targets).per_query
    # 0.1 + 0.2 + 0.3 is 0.2 + 0.3 + 0.1: sets 0 and 2 tie. Constant predictions count as none.
    assert found[0] == pytest.approx(spearmanr([6, 4, 6, 5], targets[:, 0])[0])
    assert found[1] == 0.0


def test_the_noise_floor_finds_the_share_of_signal():
    generator = np.random.default_rng(3)
    signal = generator.standard_normal((2000, 6))
    targets = signal + generator.standard_normal((2, 2000, 6))  # as much noise as signal
    floor = noise_floor(targets)
    assert floor.seeds == 2
    assert floor.single.value == pytest.approx(0.5, abs=0.05)
    assert floor.mean_of_seeds == pytest.approx(2 / 3, abs=0.05)
    reached = [spearmanr(signal[:, q], targets.mean(axis=0)[:, q])[0] for q in range(6)]
    assert floor.ceiling == pytest.approx(np.mean(reached), abs=0.04)
    assert floor.ceiling_interval[0] <= floor.ceiling <= floor.ceiling_interval[1]


def test_retraining_without_agreement_leaves_no_room():
    targets = np.random.default_rng(4).standard_normal((1, 50, 4))
    floor = noise_floor(np.concatenate([targets, -targets]))
    assert floor.single.value == pytest.approx(-1.0)
    assert (floor.mean_of_seeds, floor.ceiling) == (0.0, 0.0)


@pytest.mark.parametrize("count", [3, 5])
def test_more_sets_leave_the_first_ones_as_they_were(count):
    few, many = (random_subsets(21, m, 0.5, seed=7) for m in (count, 9))
    assert np.array_equal(few, many[:count])
    assert (many.sum(axis=1) == 10).all()
    assert len({row.tobytes() for row in many}) == 9


_SCORES, _MASKS, _TARGETS = np.ones((2, 4)), np.ones((5, 4), dtype=bool), np.ones((5, 2))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((_SCORES.T, _MASKS, _TARGETS), "queries x clips"),
        ((_SCORES, _MASKS, _TARGETS.T), "5 sets x 2 queries"),
        ((np.full((2, 4), np.nan), _MASKS, _TARGETS), "scores: 8 values are not finite"),
        ((_SCORES, _MASKS, np.full((5, 2), np.inf)), "targets: 10 values are not finite"),
        ((_SCORES, _MASKS[:2], _TARGETS[:2]), "too few"),
    ],
)
def test_input_that_does_not_fit_is_refused_in_one_line(arguments, words):
    with pytest.raises(UsageError, match=words) as caught:
        linear_datamodeling_score(*arguments)
    assert "\n" not in str(caught.value)


def test_one_seed_has_no_noise_floor():
    with pytest.raises(UsageError, match="at least two seeds"):
        noise_floor(np.zeros((1, 5, 2)))


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_sets_of_nothing_or_everything_are_refused(fraction):
    with pytest.raises(UsageError, match="tell nothing apart"):
        random_subsets(10, 3, fraction, 0)

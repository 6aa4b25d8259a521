"""Coefficients against published values and independent computations."""

import numpy as np
import pytest
from scipy.optimize import minimize

from motive.study.agreement import fleiss_kappa, krippendorff_alpha
from motive.study.ranking import bradley_terry


def counted(ratings, answers):
    """Ratings "raters units" with gaps (None) as counts "units answers"."""
    return np.array(
        [[sum(row[u] == a for row in ratings) for a in answers] for u in range(len(ratings[0]))]
    )


def test_fleiss_kappa_of_the_worked_example():
    # 10 subjects, 14 raters, 5 categories: the textbook table, kappa 0.210.
    counts = np.array(
        [
            [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
        ]
    )  # fmt: skip
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)


def test_krippendorff_alpha_of_the_worked_example():
    # Krippendorff 2011, example C: 4 observers, 12 units, gaps; nominal 0.743, ordinal 0.815.
    gap = None
    ratings = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, gap, gap, gap],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, gap, 3],
        [gap, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, gap],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, gap],
    ]
    counts = counted(ratings, [1, 2, 3, 4, 5])
    assert krippendorff_alpha(counts) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(counts, "ordinal") == pytest.approx(0.815, abs=5e-4)


def test_random_answers_agree_as_chance_does_and_equal_ones_perfectly():
    answers = np.random.default_rng(0).integers(0, 3, (17, 400))
    counts = np.stack([(answers == a).sum(axis=0) for a in range(3)], axis=1)
    for found in (fleiss_kappa(counts), krippendorff_alpha(counts)):
        assert found == pytest.approx(0, abs=0.02)
    same = np.array([[5, 0, 0], [0, 5, 0], [0, 0, 5]])
    assert fleiss_kappa(same) == krippendorff_alpha(same) == 1
    assert krippendorff_alpha(same, "ordinal") == 1


@pytest.mark.parametrize("counts", [[[1, 0, 0], [0, 1, 0]], [[4, 0, 0], [3, 0, 0]], [[0, 0, 0]]])
def test_agreement_that_nothing_tells_is_none(counts):
    assert fleiss_kappa(np.array(counts)) is None
    assert krippendorff_alpha(np.array(counts)) is None
    assert krippendorff_alpha(np.array(counts), "ordinal") is None


def test_the_order_of_answers_matters_to_the_ordinal_coefficient_alone():
    near = np.array([[6, 2, 0], [0, 2, 6], [6, 2, 0], [0, 2, 6]])
    far = near[:, [0, 2, 1]]
    assert krippendorff_alpha(near) == pytest.approx(krippendorff_alpha(far))
    assert krippendorff_alpha(near, "ordinal") > krippendorff_alpha(far, "ordinal")


def test_bradley_terry_of_the_worked_example():
    # Four players; geometric mean 1: strengths 0.640, 1.043, 0.660, 2.270.
    wins = np.array([[0, 2, 0, 1], [3, 0, 5, 0], [0, 3, 0, 1], [4, 0, 3, 0]])
    assert np.exp(bradley_terry(wins, prior=0)) == pytest.approx(
        [0.640, 1.043, 0.660, 2.270], abs=1e-3
    )


def test_bradley_terry_maximises_the_likelihood():
    generator = np.random.default_rng(3)
    wins = generator.integers(0, 30, (5, 5)).astype(float)
    np.fill_diagonal(wins, 0)

    def loss(s):
        return (wins * np.logaddexp(0, s[None, :] - s[:, None])).sum() + s.sum() ** 2

    expected = minimize(loss, np.zeros(5), tol=1e-12).x
    assert bradley_terry(wins, prior=0) == pytest.approx(expected, abs=1e-4)
    many = bradley_terry(np.stack([wins, wins.T]), prior=0)
    assert many[0] == pytest.approx(-many[1], abs=1e-6)


def test_a_condition_that_never_loses_stays_finite_and_first():
    strengths = bradley_terry(np.array([[0, 50, 50], [0, 0, 0], [0, 0, 0]]))
    assert np.isfinite(strengths).all()
    assert strengths[0] > strengths[1] == pytest.approx(strengths[2])

"""Estimators against their definitions, and what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motive.errors import UsageError
from motive.index import FeatureTable
from motive.influence import cosine_scores, dot_product_scores, ridge_kernel_scores


def features(count, dim, seed):
    rng = np.random.default_rng(seed)
    raw = rng.standard_normal((count, dim)) * rng.uniform(0.1, 9, (count, 1))
    norms = np.linalg.norm(raw, axis=1)
    table = FeatureTable(
        [str(n) for n in range(count)],
        (raw / norms[:, None]).astype(np.float32),
        norms.astype(np.float32),
        norms.astype(np.float32),
        norms.astype(np.float32),
    )
    return raw, table


def test_dot_products_are_those_of_the_unnormalised_projections():
    (raw_query, query), (raw_train, train) = features(3, 16, 0), features(20, 16, 1)
    np.testing.assert_allclose(dot_product_scores(query, train), raw_query @ raw_train.T, rtol=1e-4)


@given(st.integers(2, 60), st.integers(2, 24), st.floats(0.01, 100))
def test_the_ridge_kernel_agrees_with_its_dual_form(count, dim, damping):
    """Push-through: (ΦᵀΦ/n + λI)⁻¹ φ may be computed in the space of clips instead."""
    (_, query), (_, train) = features(4, dim, 2), features(count, dim, 3)
    phi = train.vectors.astype(np.float64)
    strength = damping * (phi**2).sum() / count / dim
    gram = phi @ phi.T / count + strength * np.eye(count)
    expected = query.vectors @ phi.T @ np.linalg.inv(gram)
    found = ridge_kernel_scores(query, train, damping)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8 * np.abs(expected).max())


def test_with_much_damping_the_ridge_kernel_orders_like_the_cosine():
    (_, query), (_, train) = features(3, 16, 4), features(30, 16, 5)
    found = ridge_kernel_scores(query, train, 1e9)
    cosines = cosine_scores(query.vectors, train.vectors)
    np.testing.assert_array_equal(np.argsort(found), np.argsort(cosines))


def test_the_ridge_kernel_discounts_what_all_clips_share():
    """One direction is in every clip, another in one clip; the query has both alike."""
    shared, own = np.eye(2)
    rows = np.stack([shared] * 9 + [own]).astype(np.float32)
    ones = np.ones(10, np.float32)
    train = FeatureTable([""] * 10, rows, ones, ones, ones)
    query = FeatureTable([""], ((shared + own) / 2**0.5)[None], ones[:1], ones[:1], ones[:1])
    scores = ridge_kernel_scores(query, train, 0.1)[0]
    assert scores[9] > 4 * scores[0]


@pytest.mark.parametrize("damping", [0.0, -1.0, float("nan")])
def test_damping_must_be_positive(damping):
    _, table = features(3, 4, 0)
    with pytest.raises(UsageError, match="must be positive"):
        ridge_kernel_scores(table, table, damping)

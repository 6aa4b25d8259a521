"""Scores, ranks and retrieval against literal implementations."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from motive.errors import MotiveError, UsageError
from motive.influence import (
    average_precision,
    bootstrap_interval,
    chance_average_precision,
    cosine_scores,
    count_of_share,
    precision_at,
    ranked_hits,
    ranks,
    retrieval,
    top_clips,
)

# Few distinct values, so that ties are common.
tied_scores = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 9)),
    elements=st.sampled_from([-0.5, 0.0, 0.25, 0.5]),
)


def names(count, seed=0):
    return [f"clip{n}" for n in np.random.default_rng(seed).permutation(count)]


def unit(shape, seed):
    rows = np.random.default_rng(seed).standard_normal(shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_scores_are_cosines_in_float32_between_minus_one_and_one():
    queries, train = unit((3, 64), 0), unit((20, 64), 1)
    train[4], train[5] = queries[0], -queries[0]
    scores = cosine_scores(queries, train)
    expected = np.array([[np.dot(q.astype(float), t) for t in train] for q in queries])
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert scores.dtype == np.float32
    assert np.abs(scores).max() <= 1.0
    assert (scores[0, 4], scores[0, 5]) == pytest.approx((1.0, -1.0))


def test_features_of_other_sizes_or_shapes_cannot_be_compared():
    with pytest.raises(MotiveError, match="D' must agree"):
        cosine_scores(unit((2, 8), 0), unit((2, 16), 1))
    with pytest.raises(MotiveError, match="D' must agree"):
        cosine_scores(unit((2, 8), 0)[0], unit((2, 8), 1))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_named(bad):
    queries, train = unit((2, 8), 0), unit((5, 8), 1)
    train[3, 2] = bad
    with pytest.raises(MotiveError, match="1 training features are not finite, first in row 3"):
        cosine_scores(queries, train)
    with pytest.raises(MotiveError, match="1 query features are not finite, first in row 3"):
        cosine_scores(train, queries)


@given(tied_scores)
def test_ranks_count_better_scores_and_smaller_ids_among_equals(scores):
    ids = names(scores.shape[1])
    expected = [
        [
            sum((-other, ids[m]) < (-value, ids[n]) for m, other in enumerate(row))
            for n, value in enumerate(row)
        ]
        for row in scores.tolist()
    ]
    assert ranks(scores, ids).tolist() == expected


@given(tied_scores, st.randoms())
def test_ranks_do_not_depend_on_the_order_of_clips(scores, random):
    ids = names(scores.shape[1])
    order = list(range(len(ids)))
    random.shuffle(order)
    shuffled = ranks(scores[:, order], [ids[n] for n in order])
    np.testing.assert_array_equal(shuffled, ranks(scores, ids)[:, order])


@given(tied_scores, st.integers(0, 12))
def test_top_clips_are_the_ends_of_the_sorted_list_and_never_overlap(scores, count):
    ids = names(scores.shape[1])
    row = scores[0]
    positive, negative = top_clips(row, ids, count)
    ordered = sorted(range(len(ids)), key=lambda n: (-row[n], ids[n]))
    assert positive == ordered[: len(positive)]
    assert negative == ordered[::-1][: len(negative)]
    assert not set(positive) & set(negative)
    assert len(positive) == (min(count, len(ids) // 2) if len(ids) > 1 else min(count, 1))


def test_a_negative_count_shows_nothing():
    assert top_clips(np.array([0.1, 0.2, 0.3]), ["a", "b", "c"], -1) == ([], [])


def literal_average_precision(scores, relevant):
    """Mean over relevant clips of the precision at that clip's place."""
    order = sorted(range(len(scores)), key=lambda n: (-scores[n], n))
    found, total = 0, 0.0
    for place, n in enumerate(order, start=1):
        if relevant[n]:
            found += 1
            total += found / place
    return total / found


@given(st.integers(0, 10_000), st.integers(3, 40), st.integers(1, 5))
def test_retrieval_agrees_with_the_definition(seed, clips, queries):
    rng = np.random.default_rng(seed)
    labels = [str(label) for label in [*range(3), *rng.integers(0, 3, clips - 3)]]
    query_labels = [str(label) for label in rng.integers(0, 3, queries)]
    scores = rng.choice([-0.2, 0.0, 0.1, 0.3, 0.9], (queries, clips)).astype(np.float32)
    found = retrieval(scores, labels, query_labels)
    for q, label in enumerate(query_labels):
        relevant = [name == label for name in labels]
        order = sorted(range(clips), key=lambda n: (-scores[q, n], n))[:10]
        expected = literal_average_precision(scores[q].tolist(), relevant)
        assert found.per_query_average_precision[q] == pytest.approx(expected)
        at_10 = sum(relevant[n] for n in order) / len(order)
        assert found.per_query_precision_at_10[q] == pytest.approx(at_10)
    chance = np.mean([labels.count(label) / clips for label in query_labels])
    assert found.chance == pytest.approx(chance)
    assert found.average_precision == pytest.approx(found.per_query_average_precision.mean())


def test_perfect_and_worst_rankings_have_known_values():
    labels = ["spin"] * 2 + ["roll"] * 2
    best = retrieval(np.array([[0.9, 0.8, 0.2, 0.1]]), labels, ["spin"])
    worst = retrieval(np.array([[0.1, 0.2, 0.8, 0.9]]), labels, ["spin"])
    assert best.average_precision == 1.0
    assert worst.average_precision == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_labels_that_do_not_fit_the_scores_are_refused():
    with pytest.raises(UsageError, match="2 clip labels and 1 query labels for scores"):
        retrieval(np.zeros((1, 3)), ["a", "b"], ["a"])
    with pytest.raises(UsageError, match="no clip is labelled 'c'"):
        retrieval(np.zeros((2, 3)), ["a", "b", "a"], ["a", "c"])


@given(st.integers(1, 6), st.integers(0, 6))
def test_chance_average_precision_is_the_mean_over_all_orders(relevant, others):
    clips = relevant + others
    hits = np.array(
        [[n in chosen for n in range(clips)] for chosen in combinations(range(clips), relevant)]
    )
    expected = average_precision(hits).mean()
    assert chance_average_precision(relevant, clips) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("share", "clips", "count"), [(0.01, 420, 5), (0.1, 420, 42), (0.07, 100, 7), (0.001, 10, 1)]
)
def test_a_share_of_clips_is_rounded_up(share, clips, count):
    assert count_of_share(share, clips) == count


def test_a_share_of_nothing_is_refused():
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(UsageError, match="share"):
            count_of_share(share, 10)


def test_precision_counts_relevant_clips_among_the_best():
    scores = np.array([[0.1, 0.9, 0.5, 0.5], [0.4, 0.3, 0.2, 0.1]])
    hits = ranked_hits(scores, np.array([[True, False, False, True], [True, False, True, False]]))
    assert hits.tolist() == [[False, False, True, True], [True, False, True, False]]
    assert precision_at(hits, 1).tolist() == [0.0, 1.0]
    assert precision_at(hits, 3).tolist() == pytest.approx([1 / 3, 2 / 3])
    assert precision_at(hits, 9).tolist() == [0.5, 0.5]


def test_the_bootstrap_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        low, high = bootstrap_interval(rng.normal(0.3, 1.0, 40), seed)
        covered += low <= 0.3 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_the_bootstrap_interval_is_reproducible_and_contains_the_sample_mean():
    values = np.random.default_rng(1).random(25)
    assert bootstrap_interval(values, 3) == bootstrap_interval(values, 3)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high
    assert bootstrap_interval(np.full(4, 0.5)) == (0.5, 0.5)
    narrow = bootstrap_interval(values, level=0.5)
    assert low < narrow[0] < narrow[1] < high

"""Diversity trades relevance for unlikeness exactly as its formula says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motive.errors import UsageError
from motive.selection import Diversity, diversify, majority_vote


def literal(order, features, count, weight):
    """The formula with loops over everything."""
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    total, chosen = len(order), []
    while len(chosen) < count:
        best, best_gain = None, None
        for place, n in enumerate(order):
            if n in chosen:
                continue
            gain = (1 - weight) * (1 - place / max(1, total - 1))
            if chosen:
                gain -= weight * max(float(unit[n] @ unit[s]) for s in chosen)
            if best_gain is None or gain > best_gain + 1e-6:
                best, best_gain = n, gain
        chosen.append(best)
    return chosen


@given(st.integers(1, 9), st.floats(0, 1), st.integers(0, 99), st.data())
def test_every_step_takes_the_largest_gain(total, weight, seed, data):
    generator = np.random.default_rng(seed)
    features, order = generator.standard_normal((total, 4)), generator.permutation(total)
    count = data.draw(st.integers(1, total))
    found = [n for n, _, _ in diversify(order, features, count, weight)]
    assert found == literal(order.tolist(), features, count, weight)


def test_without_diversity_the_order_is_kept():
    order = np.array([3, 1, 0, 2])
    found = diversify(order, np.random.default_rng(0).random((4, 2)), 4, 0.0)
    assert [n for n, _, _ in found] == [3, 1, 0, 2]


def test_two_copies_of_a_clip_are_not_both_chosen_early():
    features = np.array([[1.0, 0], [1.0, 0], [0, 1.0], [0.7, 0.7]])
    found = diversify(np.arange(4), features, 4, 0.7)
    assert [n for n, _, _ in found][:2] == [0, 2]
    assert found[-1][0] == 1
    assert found[-1][1:] == (0, pytest.approx(1.0))


def test_a_selection_says_its_place_by_votes_and_its_nearest_choice():
    scores = np.array([[0.9, 0.8, 0.1]], np.float32)
    features = np.array([[1.0, 0.0], [1.0, 0.001], [0.0, 1.0]])
    found = majority_vote(scores, ["a", "b", "c"], ["q"], top=2, diversity=Diversity(0.6, features))
    assert [c.clip_id for c in found.choices] == ["a", "c"]
    assert [c.votes for c in found.choices] == [1, 0]  # the vote itself is unchanged
    assert found.choices[0].reason.endswith("; place 1 by votes")
    assert found.choices[1].reason.endswith("; place 3 by votes, most like a (cosine 0.00)")


@pytest.mark.parametrize(("count", "weight"), [(0, 0.5), (4, 0.5), (1, -0.1), (1, 1.1)])
def test_what_is_out_of_range_is_wrong_use(count, weight):
    with pytest.raises(UsageError):
        diversify(np.arange(3), np.eye(3), count, weight)

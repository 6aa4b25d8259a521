"""Randomness of a training: a function of seed, clip and epoch, wherever one begins to read it."""

from collections import Counter

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.finetuning.draws import Visits, draws, noise_levels, training_noise

NAMES = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True)


@settings(deadline=None, max_examples=40)
@given(NAMES, st.integers(0, 99), st.integers(0, 40), st.integers(0, 12))
def test_visits_are_the_same_wherever_reading_begins(names, seed, first, count):
    whole = Visits(names, seed).span(0, first + count)
    assert Visits(names, seed).span(first, count) == whole[first:]
    again = Visits(list(reversed(names)), seed)
    assert again.span(first, count) + again.span(0, first) == whole[first:] + whole[:first]


@settings(deadline=None, max_examples=40)
@given(NAMES, st.integers(0, 99), st.integers(1, 60))
def test_no_clip_is_visited_more_than_once_more_than_another(names, seed, count):
    visits = Counter(name for name, _ in Visits(names, seed).span(0, count))
    times = [visits[name] for name in names]
    assert max(times) - min(times) <= 1


def test_orders_differ_between_epochs_and_seeds():
    names = [f"clip{number}" for number in range(12)]
    orders = [
        tuple(name for name, _ in Visits(names, seed).span(12 * epoch, 12))
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    assert len(set(orders)) == 4


def test_noise_is_standard_normal_and_of_each_visit_alone():
    visits = [("a", 0), ("b", 0), ("a", 1)]
    noise = training_noise((40, 50), 3, visits)
    assert noise.dtype == torch.float32
    assert noise.shape == (3, 40, 50)
    assert abs(float(noise.mean())) < 0.05
    assert abs(float(noise.std()) - 1) < 0.03
    assert torch.equal(training_noise((40, 50), 3, [("b", 0)])[0], noise[1])
    assert not torch.equal(noise[0], noise[2])
    assert not torch.equal(training_noise((40, 50), 4, visits)[0], noise[0])


def test_levels_cover_the_unit_interval_evenly_over_the_epochs_of_a_clip():
    levels = np.sort(noise_levels(0, [("a", epoch) for epoch in range(100)]).numpy())
    assert abs(levels - (np.arange(100) + 0.5) / 100).max() < 0.02


def test_purposes_do_not_share_their_numbers():
    first = {draws(0, "a", 0, purpose).random() for purpose in ("place", "level", "noise")}
    assert len(first) == 3

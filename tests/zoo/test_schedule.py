"""Plans of MotionZoo splits: balance, mixtures and decoys."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.errors import UsageError
from motive.zoo.motions import MOTIONS
from motive.zoo.schedule import DECOYS, plan_clips


def test_clip_k_shows_motion_k_mod_10_by_default():
    assert [plan.motion for plan in plan_clips(35)] == [MOTIONS[k % 10] for k in range(35)]


def test_a_tenth_of_decoys_takes_turns_and_leaves_the_rest_balanced():
    plans = plan_clips(420, decoys=0.1)
    kinds = Counter(plan.decoy for plan in plans)
    assert kinds == {None: 378, **dict.fromkeys(DECOYS, 14)}
    motions = Counter(plan.motion for plan in plans if plan.decoy is None)
    assert set(motions) == set(MOTIONS)
    assert set(motions.values()) == {37, 38}
    assert Counter(plan.label for plan in plans)["none"] == 28


@given(
    weights=st.lists(st.floats(0.0, 5.0), min_size=10, max_size=10).filter(lambda w: sum(w) > 0.1),
    clips=st.integers(1, 120),
)
@settings(max_examples=40, deadline=None)
def test_every_prefix_of_a_mixture_is_within_a_few_clips_of_its_shares(weights, clips):
    counts = Counter(
        p.motion for p in plan_clips(clips, mixture=dict(zip(MOTIONS, weights, strict=True)))
    )
    for motion, weight in zip(MOTIONS, weights, strict=True):
        assert abs(counts[motion] - clips * weight / sum(weights)) < 2.0


@given(decoys=st.floats(0.0, 0.9), clips=st.integers(1, 80), more=st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_a_longer_split_begins_with_the_shorter_one(decoys, clips, more):
    assert plan_clips(clips + more, decoys=decoys)[:clips] == plan_clips(clips, decoys=decoys)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"decoys": 1.0}, "decoys is 1.0"),
        ({"decoys": float("nan")}, "decoys is nan"),
        ({"mixture": {"fly": 1.0}}, "names 'fly'"),
        ({"mixture": {"roll": -1.0}}, "weight of roll is -1.0"),
        ({"mixture": {"roll": 0.0}}, "no motion with a weight above 0"),
    ],
)
def test_bad_shares_are_one_clear_line(change, words):
    with pytest.raises(UsageError, match=words):
        plan_clips(10, **change)

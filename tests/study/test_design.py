"""Order and sides: balanced, different for everybody, and the same for ever."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.study.design import (
    COMPARISON,
    IDENTICAL,
    KNOWN_BAD,
    arrange,
    check_pairs,
    comparison_pairs,
)

PROMPTS = [f"p{i}" for i in range(50)]
PAIRINGS = [("motive", "base"), ("motive", "random")]


def pairs_of(prompts=PROMPTS, checks=None):
    pairs = comparison_pairs(prompts, PAIRINGS)
    return pairs + check_pairs(prompts, ["motive", "base"], len(pairs), checks, 0)


def test_every_prompt_meets_every_pairing_once_and_checks_alternate():
    pairs = pairs_of()
    assert [pair.number for pair in pairs] == list(range(1, 105))
    assert {(p.prompt, p.first, p.second) for p in pairs if p.kind == COMPARISON} == {
        (prompt, *pairing) for prompt in PROMPTS for pairing in PAIRINGS
    }
    assert [pair.kind for pair in pairs[100:]] == [KNOWN_BAD, IDENTICAL, KNOWN_BAD, IDENTICAL]
    assert all(pair.first == pair.second for pair in pairs[100:])
    assert len(check_pairs(PROMPTS, ["motive"], 10, None, 0)) == 2
    assert check_pairs(PROMPTS, ["motive"], 10, 0, 0) == []


@settings(max_examples=25, deadline=None)
@given(
    st.text(min_size=1, max_size=8), st.integers(0, 2**31), st.integers(1, 9), st.integers(0, 30)
)
def test_everybody_judges_every_pair_once_with_balanced_sides(name, seed, prompts, checks):
    pairs = pairs_of(PROMPTS[:prompts], checks)
    placed = arrange(pairs, name, seed)
    assert sorted(p.pair for p in placed) == [pair.number for pair in pairs]
    swapped = {p.pair: p.swapped for p in placed}
    for pairing in PAIRINGS:
        sides = [swapped[p.number] for p in pairs if (p.first, p.second) == pairing]
        assert abs(2 * sum(sides) - len(sides)) <= 1
    assert arrange(pairs, name, seed) == placed


def test_annotators_and_seeds_differ_in_order_and_sides():
    pairs = pairs_of()
    orders = [arrange(pairs, name, seed) for name, seed in (("anna", 0), ("ben", 0), ("anna", 1))]
    for i, one in enumerate(orders):
        for other in orders[i + 1 :]:
            assert [p.pair for p in one] != [p.pair for p in other]
            assert {p.pair: p.swapped for p in one} != {p.pair: p.swapped for p in other}


def test_the_order_is_the_same_in_every_version():
    # Written down once: a changed order would mix two designs in a study that is under way.
    placed = arrange(pairs_of(PROMPTS[:3], 2), "annotator-01", 0)
    assert [p.pair for p in placed] == [1, 4, 3, 8, 6, 7, 5, 2]
    assert [p.pair for p in placed if p.swapped] == [1, 4, 3, 8, 5]


def test_checks_are_spread_from_beginning_to_end():
    pairs = pairs_of(checks=10)
    for name in ("anna", "ben", "clara"):
        kinds = [pairs[p.pair - 1].kind for p in arrange(pairs, name, 0)]
        places = [i for i, kind in enumerate(kinds) if kind != COMPARISON]
        assert len([place for place in places if place < 55]) == pytest.approx(5, abs=1)
        assert all(b - a <= 22 for a, b in pairwise(places))

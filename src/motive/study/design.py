"""Which pairs there are, and in which order and on which sides each annotator meets them.

Invariant: an annotator's order and sides follow from the study's seed and the annotator's name
alone, by hashing, so they are the same on every machine and in every version of any library. Over
the pairs of a pairing every condition is on the left half of the time (give or take one).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Kinds of pairs: a comparison, the same video twice, and a good video beside a spoilt one.
COMPARISON, IDENTICAL, KNOWN_BAD = "comparison", "identical", "known-bad"

_PAIRS_PER_CHECK = 25


@dataclass(frozen=True)
class Pair:
    """Two videos of one prompt.

    Attributes:
        number: Counts the pairs of the study from 1.
        kind: `COMPARISON`, `IDENTICAL` or `KNOWN_BAD`.
        prompt: Id of the prompt.
        first: Condition of the first video.
        second: Condition of the second; for checks the first one again.
    """

    number: int
    kind: str
    prompt: str
    first: str
    second: str


@dataclass(frozen=True)
class Placed:
    """A pair as one annotator meets it; `swapped` puts the first video on the right."""

    pair: int
    swapped: bool


def comparison_pairs(prompts: Sequence[str], pairings: Sequence[tuple[str, str]]) -> list[Pair]:
    """Every prompt once in every pairing."""
    cells = [(first, second, prompt) for first, second in pairings for prompt in prompts]
    return [
        Pair(number, COMPARISON, prompt, first, second)
        for number, (first, second, prompt) in enumerate(cells, 1)
    ]


def check_pairs(
    prompts: Sequence[str],
    conditions: Sequence[str],
    comparisons: int,
    wanted: int | None,
    seed: int,
) -> list[Pair]:
    """Attention checks, alternately known-bad and identical, on prompts drawn by the seed.

    Args:
        prompts: Ids of all prompts.
        conditions: Names; their videos take turns.
        comparisons: Number of pairs in the study, after which checks are numbered.
        wanted: How many; None is one per 25 pairs, at least two.
        seed: Of the study.
    """
    count = max(2, comparisons // _PAIRS_PER_CHECK) if wanted is None else wanted
    order = sorted(prompts, key=lambda prompt: _hash(seed, "check", prompt))
    pairs = []
    for i in range(count):
        condition = conditions[i // 2 % len(conditions)]
        kind = IDENTICAL if i % 2 else KNOWN_BAD
        number = comparisons + i + 1
        pairs.append(Pair(number, kind, order[i % len(order)], condition, condition))
    return pairs


def arrange(pairs: Sequence[Pair], annotator: str, seed: int) -> list[Placed]:
    """Order and sides of all pairs for one annotator.

    Comparisons come in random order; one check falls at a random place in each of as many equal
    stretches as there are checks, so that attention is tested from beginning to end.
    """
    shuffled = sorted(pairs, key=lambda pair: _hash(seed, annotator, "order", pair.number))
    comparisons = [pair for pair in shuffled if pair.kind == COMPARISON]
    checks = [pair for pair in shuffled if pair.kind != COMPARISON]
    places: dict[int, list[Pair]] = {}
    for i, check in enumerate(checks):
        start = i * len(comparisons) // len(checks)
        stretch = max(1, (i + 1) * len(comparisons) // len(checks) - start)
        offset = int.from_bytes(_hash(seed, annotator, "place", check.number)) % stretch
        places.setdefault(start + offset, []).append(check)
    order: list[Pair] = []
    for i, pair in enumerate(comparisons):
        order += [pair, *places.get(i, [])]
    sides = _sides(pairs, annotator, seed)
    return [Placed(pair.number, sides[pair.number]) for pair in order]


def _sides(pairs: Sequence[Pair], annotator: str, seed: int) -> Mapping[int, bool]:
    """Pair number -> whether its first video is on the right; halves within each pairing."""
    groups: dict[tuple[str, ...], list[Pair]] = {}
    for pair in pairs:
        is_check = pair.kind != COMPARISON
        groups.setdefault(("check",) if is_check else (pair.first, pair.second), []).append(pair)
    sides: dict[int, bool] = {}
    for name, group in groups.items():
        group = sorted(group, key=lambda pair: _hash(seed, annotator, "side", pair.number))
        odd = _hash(seed, annotator, "odd", *name)[0] % 2  # who gets the larger half
        sides |= {pair.number: bool((i + odd) % 2) for i, pair in enumerate(group)}
    return sides


def _hash(*parts: object) -> bytes:
    """16 bytes that depend on every part and on where one part ends."""
    return hashlib.blake2b(repr(parts).encode("utf-8"), digest_size=16).digest()

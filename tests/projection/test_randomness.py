"""Counter-based randomness: known answers, and the properties Fastfood needs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.projection.randomness import (
    block_randomness,
    gaussian_table,
    name_words,
    philox4x32,
)

# Known answers of Philox4x32-10, from the Random123 distribution (kat_vectors).
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


def philox_in_python(counter, key):
    """An independent, scalar Philox4x32-10 with Python's unbounded integers."""
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [
            (p1 >> 32) ^ c[1] ^ k0,
            p1 & 0xFFFFFFFF,
            (p0 >> 32) ^ c[3] ^ k1,
            p0 & 0xFFFFFFFF,
        ]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_gives_the_published_known_answers(counter, key, expected):
    words = philox4x32(torch.tensor(counter), key).tolist()
    assert " ".join(f"{word:08x}" for word in words) == expected


@given(
    st.tuples(*[st.integers(0, 2**32 - 1)] * 4),
    st.tuples(*[st.integers(0, 2**32 - 1)] * 2),
)
def test_philox_equals_unbounded_integer_arithmetic(counter, key):
    assert philox4x32(torch.tensor(counter), key).tolist() == philox_in_python(counter, key)


def test_gaussian_table_has_zero_mean_and_unit_variance():
    table = gaussian_table().double()
    assert abs(table.mean()) < 1e-7
    assert abs(table.square().mean() - 1) < 1e-6
    # Kurtosis of a Gaussian is 3; the cut tails cost little.
    assert abs(table.pow(4).mean() - 3) < 0.05


@settings(max_examples=25)
@given(st.integers(0, 2**64 - 1), st.text(max_size=20), st.integers(2, 11), st.integers(0, 1000))
def test_every_block_gets_a_true_permutation(seed, name, bits, first):
    size = 1 << bits
    made = block_randomness(seed, name, first, 2, size)
    for row in made.permutation:
        assert sorted(row.tolist()) == list(range(size))


def test_a_block_does_not_depend_on_which_blocks_were_made_with_it():
    together = block_randomness(7, "w", 0, 4, 64)
    alone = block_randomness(7, "w", 2, 1, 64)
    for many, one in zip(together, alone, strict=True):
        assert torch.equal(many[2:3], one)


@pytest.mark.parametrize("other", [(8, "w", 0), (7, "v", 0), (7, "w", 1)])
def test_seed_name_and_block_each_change_everything(other):
    here = block_randomness(7, "w", 0, 1, 1024)
    there = block_randomness(*other, 1, 1024)
    agreement = (here.signs == there.signs).float().mean()
    assert 0.4 < agreement < 0.6
    assert (here.permutation == there.permutation).float().mean() < 0.02


def test_signs_and_gaussians_and_permutation_are_uncorrelated():
    made = block_randomness(0, "w", 0, 64, 4096)
    signs, gaussians = made.signs.numpy().ravel(), made.gaussians.numpy().ravel()
    bound = 4 / np.sqrt(signs.size)
    assert abs(np.corrcoef(signs, gaussians)[0, 1]) < bound
    assert abs(signs.mean()) < bound
    position = np.tile(np.arange(4096), 64)
    assert abs(np.corrcoef(made.permutation.numpy().ravel(), position)[0, 1]) < bound


def test_name_words_differ_between_names():
    names = [f"blocks.{i}.attn1.to_{p}.weight" for i in range(40) for p in "qkv"]
    assert len({name_words(name) for name in names}) == len(names)

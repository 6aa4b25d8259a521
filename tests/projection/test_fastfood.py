"""Fastfood: equal to its definition, linear, and as good as theory says."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.errors import UsageError
from motive.projection import BlockedFastfood, DenseGaussian, fastfood_matrix
from motive.projection.fastfood import hadamard
from motive.projection.randomness import block_randomness


def hadamard_by_definition(size):
    """Entry (i, j) is (-1)^(number of common one-bits of i and j)."""
    entries = [[(-1.0) ** bin(i & j).count("1") for j in range(size)] for i in range(size)]
    return torch.tensor(entries, dtype=torch.float64)


def by_definition(gradient, name, dim, seed, block):
    """Dense matrices per block, by the paper's formula, in float64."""
    flat = gradient.double().reshape(-1)
    total = torch.zeros(dim, dtype=torch.float64)
    full, tail = divmod(len(flat), block)
    sizes = [block] * full + ([max(dim, 1 << math.ceil(math.log2(tail)))] if tail else [])
    start = 0
    for index, size in enumerate(sizes):
        piece = flat[start : start + size]
        padded = torch.zeros(size, dtype=torch.float64)
        padded[: len(piece)] = piece
        total += fastfood_matrix(block_randomness(seed, name, index, 1, size), dim) @ padded
        start += size
    return total


@pytest.mark.parametrize("size", [1, 2, 8, 64])
def test_hadamard_is_in_sylvester_order(size):
    assert torch.equal(hadamard(size), hadamard_by_definition(size))


@pytest.mark.parametrize("elements", [1, 5, 64, 65, 128, 200, 1000])
@pytest.mark.parametrize("dim", [8, 32])
def test_blocked_streaming_equals_the_definition(elements, dim):
    gradient = torch.randn(elements, generator=torch.Generator().manual_seed(elements))
    projection = BlockedFastfood(dim, seed=3, block=64)
    found = projection.finish(projection.partial("layer.weight", gradient))
    expected = by_definition(gradient, "layer.weight", dim, seed=3, block=64)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_low_precision_gradients_are_summed_in_float32(dtype):
    gradient = torch.randn(300).to(dtype)
    projection = BlockedFastfood(16, block=64)
    found = projection.finish(projection.partial("w", gradient))
    expected = by_definition(gradient, "w", 16, seed=0, block=64)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.floats(-10, 10), st.floats(-10, 10), st.integers(0, 2**32 - 1))
def test_projection_is_linear(elements, a, b, seed):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, elements, generator=generator, dtype=torch.float64)
    projection = BlockedFastfood(16, seed=seed, block=64)
    p = lambda v: projection.finish(projection.partial("w", v))  # noqa: E731
    torch.testing.assert_close(p(a * x + b * y), a * p(x) + b * p(y), rtol=1e-9, atol=1e-9)


def test_parameters_can_be_added_up_in_any_order():
    gradients = {f"p{i}": torch.randn(50 + i, dtype=torch.float64) for i in range(8)}
    projection = BlockedFastfood(32, block=64)
    forward = sum(projection.partial(n, g) for n, g in gradients.items())
    backward = sum(projection.partial(n, g) for n, g in reversed(gradients.items()))
    torch.testing.assert_close(forward, backward, rtol=1e-12, atol=1e-12)


def test_a_bounded_cache_of_randomness_does_not_change_the_numbers():
    gradient = torch.randn(500)
    kept, none = BlockedFastfood(16, block=64), BlockedFastfood(16, block=64, cache_bytes=0)
    for _ in range(2):
        assert torch.equal(kept.partial("w", gradient), none.partial("w", gradient))


def test_more_rows_extend_fewer_rows():
    gradient = torch.randn(300, dtype=torch.float64)
    small, large = BlockedFastfood(16, block=64), BlockedFastfood(64, block=64)
    # The tail block is padded to D' at least, so prefixes agree where blocks are full.
    full = gradient[:256]
    a = small.finish(small.partial("w", full)) * math.sqrt(16)
    b = large.finish(large.partial("w", full)) * math.sqrt(64)
    torch.testing.assert_close(a, b[:16])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dim": 100}, "power of two"),
        ({"dim": 0}, "power of two"),
        ({"dim": 512, "block": 256}, "between the projection size"),
        ({"dim": 512, "block": 3000}, "power of two"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_sizes_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        BlockedFastfood(**options)


SEEDS = 400


def heavy_tailed_pair():
    """Two vectors like gradients: heavy tails, scales that differ by layer, known cosine."""
    generator = np.random.default_rng(0)
    x = generator.standard_t(2.5, 3000) * np.repeat([1.0, 0.03, 8.0], 1000)
    noise = generator.standard_t(2.5, 3000) * np.repeat([1.0, 0.03, 8.0], 1000)
    y = 0.5 * x + noise
    return torch.from_numpy(x), torch.from_numpy(y)


def one_block(dim, seed):
    """The paper's operator: a single block at least as long as the gradient."""
    return BlockedFastfood(dim, seed, block=4096)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda dim, seed: DenseGaussian(dim, seed), id="dense-gaussian"),
        pytest.param(one_block, id="fastfood-one-block"),
        pytest.param(lambda dim, seed: BlockedFastfood(dim, seed, block=512), id="fastfood-blocks"),
    ],
)
@pytest.mark.parametrize("dim", [64, 256])
def test_projected_inner_products_and_cosines_match_theory(make, dim):
    x, y = heavy_tailed_pair()
    truth = float(x @ y / (x.norm() * y.norm()))
    inner, cosine = [], []
    for seed in range(SEEDS):
        projection = make(dim, seed)
        px, py = (projection.finish(projection.partial("w", v)) for v in (x, y))
        inner.append(float(px @ py / (x.norm() * y.norm())))
        cosine.append(float(px @ py / (px.norm() * py.norm())))
    # Theory for Gaussian rows: E = truth, Var(inner) = (1 + c²)/D', Var(cosine) = (1 - c²)²/D'.
    sd_inner = math.sqrt((1 + truth**2) / dim)
    sd_cosine = (1 - truth**2) / math.sqrt(dim)
    assert abs(np.mean(inner) - truth) < 4 * sd_inner / math.sqrt(SEEDS)
    assert abs(np.mean(cosine) - truth) < 4 * sd_cosine / math.sqrt(SEEDS) + truth / (2 * dim)
    assert 0.8 < np.std(cosine) / sd_cosine < 1.25

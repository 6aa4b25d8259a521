"""What every projection promises: linear, additive over shards, unbiased, of known variance."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.errors import UsageError
from motive.projection import (
    BlockedFastfood,
    BlockedSRHT,
    DenseGaussian,
    HashedSJLT,
    ShardProjection,
    fastfood_matrix,
    srht_matrix,
)
from motive.projection.blocks import runs
from motive.projection.randomness import block_randomness, element_words

KINDS = {
    "fastfood": lambda dim, seed=0: BlockedFastfood(dim, seed, block=64),
    "srht": lambda dim, seed=0: BlockedSRHT(dim, seed, block=64),
    "sjlt": lambda dim, seed=0: HashedSJLT(dim, seed),
    "sjlt of 4": lambda dim, seed=0: HashedSJLT(dim, seed, nonzeros=4),
    "dense": lambda dim, seed=0: DenseGaussian(dim, seed),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
precisions = st.sampled_from([torch.float32, torch.float64])


def apply(projection, gradient, name="w"):
    return projection.finish(projection.partial(name, gradient))


def vectors(count, elements, seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, elements, generator=generator, dtype=torch.float64).to(dtype)


def assert_near(found, expected):
    """Up to rounding of sums in the precision at hand."""
    accuracy = 1e-10 if expected.dtype == torch.float64 else 1e-4
    bound = accuracy * max(float(expected.abs().max()), 1e-3)
    torch.testing.assert_close(found, expected, rtol=accuracy, atol=bound)


@every_kind
def test_it_is_a_shard_projection(kind):
    assert isinstance(KINDS[kind](16), ShardProjection)


@every_kind
@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 400),
    st.floats(-10, 10),
    st.floats(-10, 10),
    st.integers(0, 2**63),
    precisions,
)
def test_it_is_linear(kind, elements, a, b, seed, dtype):
    x, y = vectors(2, elements, seed % 1000, dtype)
    projection = KINDS[kind](16, seed)
    found = apply(projection, a * x + b * y)
    expected = a * apply(projection, x) + b * apply(projection, y)
    scale = float((abs(a) * x.abs() + abs(b) * y.abs()).sum())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * scale + 1e-30)


@every_kind
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 500), st.lists(st.integers(0, 500), max_size=5), precisions)
def test_slices_of_a_parameter_add_up_to_the_whole(kind, elements, cuts, dtype):
    gradient = vectors(1, elements, elements, dtype)[0]
    projection = KINDS[kind](16)
    edges = sorted({0, elements, *(cut for cut in cuts if cut < elements)})
    pieces = [
        projection.partial("w", gradient[start:stop], start, elements)
        for start, stop in pairwise(edges)
    ]
    assert_near(sum(pieces), projection.partial("w", gradient))


@every_kind
@settings(max_examples=15, deadline=None)
@given(st.permutations(range(6)), precisions)
def test_the_order_of_parameters_does_not_matter(kind, order, dtype):
    gradients = [vectors(1, 30 + 17 * index, index, dtype)[0] for index in range(6)]
    projection = KINDS[kind](16)
    forward = sum(projection.partial(f"p{i}", gradients[i]) for i in range(6))
    shuffled = sum(projection.partial(f"p{i}", gradients[i]) for i in order)
    assert_near(shuffled, forward)


@every_kind
def test_an_empty_slice_contributes_nothing(kind):
    found = KINDS[kind](16).partial("w", torch.empty(0), 70, 200)
    assert torch.equal(found, torch.zeros(16))


@pytest.mark.parametrize("start", [0, (1 << 31) - 100, (1 << 33) + 40, (1 << 35) + 7 - 150])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_places_beyond_2_to_the_31_need_no_memory(start, dtype):
    """A slice of 150 of 34 thousand million elements, against matrices of the blocks it touches."""
    whole, block, dim = (1 << 35) + 7, 64, 16
    gradient = vectors(1, 150, 5, dtype)[0]
    for make, matrix in ((BlockedFastfood, fastfood_matrix), (BlockedSRHT, srht_matrix)):
        expected = torch.zeros(dim, dtype=torch.float64)
        for index in range(start // block, -(-(start + 150) // block)):
            begin = index * block
            size = block if begin + block <= whole else 16  # 7 left over, padded to D'
            piece = torch.zeros(size, dtype=torch.float64)
            inside = [i for i in range(size) if start <= begin + i < start + 150]
            for place in inside:
                piece[place] = gradient[begin + place - start]
            expected += matrix(block_randomness(3, "w", index, 1, size), dim) @ piece
        projection = make(dim, seed=3, block=block)
        found = projection.finish(projection.partial("w", gradient, start, whole))
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("start", "nonzeros"), [(0, 1), ((1 << 33) - 70, 2), (1 << 34, 8)])
def test_sjlt_adds_each_coordinate_to_the_sums_that_its_words_name(start, nonzeros, dtype):
    gradient = vectors(1, 150, 6, dtype)[0]
    dim, unit = 32, 1 << 15
    width = dim // nonzeros
    expected = torch.zeros(dim, dtype=torch.float64)
    words = {
        (number, r): element_words(3, "w", number, 1, unit, repetition=r)[0]
        for number in {start // unit, (start + 149) // unit}
        for r in range(nonzeros)
    }
    for index, value in enumerate(gradient.tolist()):
        number, place = divmod(start + index, unit)
        for r in range(nonzeros):
            word = int(words[number, r][place])
            expected[r * width + word % width] += value if word < 1 << 31 else -value
    projection = HashedSJLT(dim, seed=3, nonzeros=nonzeros)
    found = projection.finish(projection.partial("w", gradient, start, 1 << 35))
    torch.testing.assert_close(found.double(), expected / math.sqrt(nonzeros), rtol=1e-5, atol=1e-5)


@settings(max_examples=200)
@given(
    st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(1, 1 << 40), st.integers(5, 15)
)
def test_blocks_cover_a_slice_once_whatever_its_size(start, stop, whole, bits):
    block = 1 << bits
    start, stop = sorted((min(start, whole), min(stop, whole)))
    stop = min(stop, start + 500 * block)
    found = list(runs(start, stop, whole, block, 16, 4 * block))
    covered = 0
    place = start // block
    for run in found:
        assert run.first == place
        assert run.last > run.first
        assert run.last - run.first <= 4
        assert (run.first // 4) == (run.last - 1) // 4  # where runs are cut depends on no slice
        place = run.last
        end = run.last * block if run.size == block else whole
        covered += min(stop, end) - max(start, run.first * block)
        assert run.size >= 16
        assert run.size & (run.size - 1) == 0
        assert run.size >= min(whole - run.first * block, block)
    assert covered == stop - start or start == stop


def test_rows_are_a_prefix_of_more_rows_where_that_is_defined():
    """Up to the scale 1/√D', and for Hadamard projections in full blocks; SJLT folds instead."""
    gradient = vectors(1, 256, 0, torch.float64)[0]
    for kind in ("fastfood", "srht", "dense"):
        few, many = (apply(KINDS[kind](dim), gradient) * math.sqrt(dim) for dim in (16, 64))
        torch.testing.assert_close(few, many[:16])
    few, many = (apply(KINDS["sjlt"](dim), gradient) for dim in (16, 64))
    torch.testing.assert_close(few, many.view(4, 16).sum(0))


@every_kind
@pytest.mark.parametrize("spike", [False, True], ids=["heavy tails", "one large coordinate"])
def test_inner_products_are_unbiased_and_vary_as_in_theory(kind, spike):
    """For Gaussian rows: E = ⟨x, y⟩, Var = (‖x‖²‖y‖² + ⟨x, y⟩²) / D'."""
    generator = np.random.default_rng(0)
    scales = np.repeat([1.0, 0.03, 8.0, 0.5], 160)
    x, noise = generator.standard_t(2.5, (2, 640)) * scales
    if spike:
        x[77] = 3 * np.linalg.norm(x)
    y = 0.5 * x + noise
    x, y = (torch.from_numpy(v / np.linalg.norm(v)).float() for v in (x, y))
    truth, dim, seeds = float(x @ y), 64, 300
    found = [float(apply(p, x) @ apply(p, y)) for p in (KINDS[kind](dim, s) for s in range(seeds))]
    spread = math.sqrt((1 + truth**2) / dim)
    assert abs(np.mean(found) - truth) < 4 * max(np.std(found), 0.1 * spread) / math.sqrt(seeds)
    # Never much more noise than Gaussian rows. Blocks of 64 with D' = 64 are the hardest case for
    # Fastfood: a spike is spread over one block, whose Gaussian scale is drawn once.
    assert np.std(found) < (1.6 if spike else 1.25) * spread


def test_dtypes_layouts_and_slices_that_cannot_be_projected_are_named():
    for make in KINDS.values():
        projection = make(16)
        with pytest.raises(UsageError, match=r"blocks\.0\.weight: its gradient is int64, which"):
            projection.partial("blocks.0.weight", torch.ones(3, dtype=torch.int64))
        with pytest.raises(UsageError, match=r"blocks\.0\.weight: its gradient is float8_e4m3fn"):
            projection.partial("blocks.0.weight", torch.ones(3).to(torch.float8_e4m3fn))
        with pytest.raises(UsageError, match="embed: its gradient is sparse"):
            projection.partial("embed", torch.eye(3).to_sparse())
        with pytest.raises(UsageError, match="w: elements 8 to 11 are not a slice of its 10"):
            projection.partial("w", torch.ones(3), 8, 10)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dim": 100}, "power of two"),
        ({"nonzeros": 3}, "power of two"),
        ({"dim": 4, "nonzeros": 8}, "at most 4"),
        ({"seed": 1 << 64}, "seed"),
    ],
)
def test_impossible_sjlt_sizes_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        HashedSJLT(**options)


def test_identities_tell_every_choice_apart():
    made = [
        BlockedFastfood(16, 0, 64),
        BlockedFastfood(16, 1, 64),
        BlockedFastfood(32, 0, 64),
        BlockedFastfood(16, 0, 128),
        BlockedSRHT(16, 0, 64),
        HashedSJLT(16, 0),
        HashedSJLT(16, 0, nonzeros=2),
        DenseGaussian(16, 0),
    ]
    assert len({str(projection.identity()) for projection in made}) == len(made)
    # Features stored by earlier versions stay comparable.
    assert BlockedFastfood(512, 7).identity() == {
        "kind": "fastfood",
        "version": 1,
        "dim": 512,
        "seed": 7,
        "block": 1 << 15,
    }

"""Compiled kernels compute the same numbers as the definition, on any number of threads."""

import pytest
import torch

from motive.projection import BlockedFastfood, BlockedSRHT, HashedSJLT

pytest.importorskip("numba")

MAKERS = {
    "fastfood": lambda dim, block: BlockedFastfood(dim, seed=3 + (7 << 40), block=block),
    "srht": lambda dim, block: BlockedSRHT(dim, seed=3 + (7 << 40), block=block),
}


def relative_error(found, expected):
    return float((found.double() - expected.double()).norm() / expected.double().norm())


@pytest.fixture
def threads():
    """Sets the number of threads, and sets it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize(
    ("dim", "block"),
    [(8, 8), (8, 64), (16, 64), (32, 32), (64, 1024), (256, 4096), (512, 1 << 15), (512, 1 << 16)],
)
def test_compiled_code_equals_torch_operations(kind, dim, block):
    projection = MAKERS[kind](dim, block)
    generator = torch.Generator().manual_seed(block)
    for elements in {1, 7, 64, 65, 1000, block - 1, block, block + 1, min(3 * block, 70_000)}:
        gradient = torch.randn(elements, generator=generator)
        found = projection.partial("w", gradient)
        expected = projection.partial("w", gradient.double())  # float64 has no compiled kernel
        assert found.dtype == torch.float32
        assert relative_error(found, expected) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats_are_read_bit_by_bit(dtype):
    """All 65536 patterns but infinity and NaN: zeros of both signs, subnormals, largest values."""
    values = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(dtype)
    values = values[values.isfinite()]
    values = values[values.abs() < 1e30]  # sums of larger ones overflow float32
    for part in (values, values[values.abs() < 1e-4]):
        projection = BlockedFastfood(64, block=256)
        found = projection.partial("w", part)
        assert relative_error(found, projection.partial("w", part.double())) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [0, 333, 999])
def test_a_value_that_is_not_finite_never_disappears(dtype, bad, place):
    gradient = torch.ones(1000, dtype=dtype)
    gradient[place] = bad
    for projection in (BlockedFastfood(16, block=64), BlockedSRHT(16, block=64), HashedSJLT(16)):
        assert not projection.finish(projection.partial("w", gradient)).isfinite().all()


@pytest.mark.parametrize(
    "projection",
    [BlockedFastfood(512), BlockedSRHT(512), HashedSJLT(512, nonzeros=2)],
    ids=lambda p: p.identity()["kind"],
)
def test_the_number_of_threads_changes_no_bit(projection, threads):
    gradient = torch.randn(1_300_000, generator=torch.Generator().manual_seed(0))
    found = []
    for count in (1, 2, 3):
        threads(count)
        found.append(projection.partial("w", gradient))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_gradients_that_are_not_contiguous_are_read_in_their_order():
    gradient = torch.randn(30, 40).t()
    projection = BlockedFastfood(16, block=64)
    expected = projection.partial("w", gradient.contiguous())
    assert torch.equal(projection.partial("w", gradient), expected)

"""Many gradients in one call are the same bits as each by itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.errors import UsageError
from motive.projection import BlockedFastfood, BlockedSRHT, DenseGaussian, HashedSJLT, rows
from motive.projection.rows import has_row_kernel, project_rows


def random_gradients(sizes, clips, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(clips, size, generator=generator).to(dtype) for size in sizes]


def one_by_one(projection, names, gradients):
    return torch.stack(
        [
            torch.stack([projection.partial(name, row) for row in gradient])
            for name, gradient in zip(names, gradients, strict=True)
        ]
    )


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=4),
    clips=st.integers(1, 4),
    dim=st.sampled_from([8, 64, 256]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    kept=st.booleans(),
)
def test_the_bits_are_those_of_each_gradient_by_itself(sizes, clips, dim, dtype, kept):
    projection = BlockedFastfood(dim, seed=3, block=1024)
    names = [f"layer.{number}" for number in range(len(sizes))]
    gradients = random_gradients(sizes, clips, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_KEPT_BYTES", rows._KEPT_BYTES if kept else 0)
        found = project_rows(projection, names, gradients)
        again = project_rows(projection, names, gradients)  # with what was kept, if anything was
    assert torch.equal(found.projected, one_by_one(projection, names, gradients))
    assert torch.equal(found.projected, again.projected)
    norms = torch.stack([gradient.double().square().sum(1) for gradient in gradients])
    torch.testing.assert_close(found.squared_norms, norms, rtol=1e-6, atol=0)


@pytest.mark.parametrize("projection", [BlockedSRHT(64), HashedSJLT(64), DenseGaussian(64)])
def test_other_projections_are_asked_for_each_gradient(projection):
    gradients = random_gradients((100, 300), 2)
    assert not has_row_kernel(projection, gradients[0])
    found = project_rows(projection, ["a", "b"], gradients)
    assert torch.equal(found.projected, one_by_one(projection, ["a", "b"], gradients))
    norms = torch.stack([gradient.square().sum(1) for gradient in gradients])
    torch.testing.assert_close(found.squared_norms, norms)


def test_a_subclass_with_its_own_numbers_is_not_bypassed():
    class Doubled(BlockedFastfood):
        def partial(self, name, gradient, start=0, total=None):
            return 2 * super().partial(name, gradient, start, total)

    (gradient,) = random_gradients((500,), 1)
    plain, doubled = (
        project_rows(kind(64), ["a"], [gradient]).projected for kind in (BlockedFastfood, Doubled)
    )
    assert torch.equal(doubled, 2 * plain)


def test_the_number_of_threads_decides_no_bit():
    projection = BlockedFastfood(64, block=4096)
    names, gradients = ["a", "b", "c"], random_gradients((300_000, 200, 70_000), 2)
    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(project_rows(projection, names, gradients))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert torch.equal(other.projected, found[0].projected)
        assert torch.equal(other.squared_norms, found[0].squared_norms)


def test_gradients_that_are_not_contiguous_are_read_in_their_own_order():
    projection = BlockedFastfood(64, block=1024)
    gradient = torch.randn(3, 20, 40).transpose(1, 2)
    found = project_rows(projection, ["a"], [gradient])
    assert torch.equal(found.projected, one_by_one(projection, ["a"], [gradient]))


def test_infinities_and_nans_reach_the_result_of_their_clip_alone():
    (gradient,) = random_gradients((5000,), 3)
    expected = project_rows(BlockedFastfood(64), ["a"], [gradient])
    gradient[1, 17] = float("inf")
    found = project_rows(BlockedFastfood(64), ["a"], [gradient])
    assert not found.squared_norms[0, 1].isfinite()
    assert torch.equal(found.projected[0, [0, 2]], expected.projected[0, [0, 2]])


def test_a_gradient_of_an_unknown_kind_is_blamed_on_its_parameter():
    with pytest.raises(UsageError, match=r"parameter layer\.weight: its gradient is int64"):
        project_rows(BlockedFastfood(64), ["layer.weight"], [torch.ones(1, 5, dtype=torch.int64)])


def test_random_numbers_are_kept_for_small_models_only(monkeypatch):
    projection = BlockedFastfood(64, block=1024)
    monkeypatch.setattr(rows, "_KEPT_BYTES", 6 * 1100)
    for name, size in (("first", 1024), ("second", 1024), ("first", 1024)):
        project_rows(projection, [name], random_gradients((size,), 1))
    kept = [plan.kept[0].size for plan in rows._PLANS[projection].values()]
    assert kept == [1024, 0]


def test_random_numbers_of_short_blocks_have_room_for_the_vectors_that_make_them():
    """Codes are made 32 and places 16 at a time: a block of 8 must not write past the end."""
    projection = BlockedFastfood(8, block=8)
    gradients = random_gradients((3,), 2)
    found = project_rows(projection, ["a"], gradients)
    (plan,) = rows._PLANS[projection].values()
    assert [array.size for array in plan.kept] == [64, 64]
    assert torch.equal(found.projected, one_by_one(projection, ["a"], gradients))

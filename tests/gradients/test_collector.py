"""Which gradients are collected, from any module: tied, frozen, adapters, groups, broken ones."""

import weakref

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from motive.errors import ClipError, UsageError
from motive.gradients import GradientCollector, parameter_groups, sums
from motive.gradients.sums import GradientSums
from motive.projection import BlockedFastfood

DIM, BLOCK, SEED = 64, 256, 5


def projection():
    return BlockedFastfood(DIM, SEED, BLOCK)


def two_layers(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 3))


def projected_by_definition(model, loss, names=None):
    """Every gradient by autograd, projected by itself, then added up."""
    named = {n: p for n, p in model.named_parameters() if names is None or n in names}
    found = torch.autograd.grad(loss(), list(named.values()))
    one = projection()
    partial = sum(one.partial(name, g) for name, g in zip(named, found, strict=True))
    return one.finish(partial), sum(float(g.square().sum()) for g in found)


def test_gradients_that_wait_for_each_other_add_up_as_if_projected_one_by_one():
    model, x = two_layers(), torch.randn(4, 6)
    collector = GradientCollector(model, projection())
    with collector.active():
        found = collector.collect(lambda: model(x).square().sum())
    expected, squared = projected_by_definition(model, lambda: model(x).square().sum())
    torch.testing.assert_close(found.projected, expected, rtol=1e-5, atol=1e-6)
    assert found.squared_norm == pytest.approx(squared, rel=1e-5)
    assert set(found.squared_norms) == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_only_a_few_gradients_wait_at_any_time(monkeypatch):
    """However deep the model: gradients are projected and freed while backward goes on."""
    model = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(20)])
    monkeypatch.setattr(sums, "_WAITING_ELEMENTS", 200)
    whole, born, most = GradientSums.add, [], []

    def watched(self, name, gradients):
        born.append((weakref.ref(gradients), gradients.numel()))
        whole(self, name, gradients)
        most.append(sum(size for gradient, size in born if gradient() is not None))

    monkeypatch.setattr(GradientSums, "add", watched)
    collector = GradientCollector(model, projection())
    with collector.active():
        collector.collect(lambda: model(torch.randn(2, 8)).sum())
    assert len(most) == 40
    assert max(most) <= 200 + 64


def test_a_frozen_parameter_is_attributed_and_stays_frozen():
    model, x = two_layers(), torch.randn(4, 6)
    expected = projected_by_definition(model, lambda: model(x).square().sum())[0]
    model.requires_grad_(False)
    collector = GradientCollector(model, projection())
    with collector.active():
        found = collector.collect(lambda: model(x).square().sum())
    torch.testing.assert_close(found.projected, expected, rtol=1e-5, atol=1e-6)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_parameter_that_the_loss_does_not_reach_contributes_zero():
    model, x = two_layers(), torch.randn(4, 6)
    collector = GradientCollector(model, projection())
    with collector.active():
        found = collector.collect(lambda: model[0](x).square().sum())
    first = {"0.weight", "0.bias"}
    expected, _ = projected_by_definition(model, lambda: model[0](x).square().sum(), first)
    torch.testing.assert_close(found.projected, expected, rtol=1e-5, atol=1e-6)
    assert set(found.squared_norms) == first


def test_a_loss_that_reaches_nothing_is_an_error():
    model = two_layers()
    collector = GradientCollector(model, projection(), "1.weight")
    with collector.active(), pytest.raises(UsageError, match="does not depend on any attributed"):
        collector.collect(lambda: torch.ones(1, requires_grad=True).sum())


def test_a_gradient_in_two_parts_is_refused_because_its_norm_would_be_wrong():
    """Reentrant checkpointing runs a backward of its own for each use of a shared layer."""
    layer = torch.nn.Linear(4, 4)
    collector = GradientCollector(layer, projection())
    x = torch.randn(2, 4, requires_grad=True)

    def loss(reentrant):
        once = checkpoint(layer, x, use_reentrant=reentrant)
        return checkpoint(layer, once, use_reentrant=reentrant).sum()

    with collector.active():
        with pytest.raises(UsageError, match=r"parameter \w+: .* use_reentrant=False"):
            collector.collect(lambda: loss(True))
        found = collector.collect(lambda: loss(False))
        plain = collector.collect(lambda: layer(layer(x)).sum())
    torch.testing.assert_close(found.projected, plain.projected)


@pytest.mark.parametrize("pattern", [r"^\d", r"weight|bias", r"(\d)\.(weight)"])
def test_groups_add_up_to_the_whole(pattern):
    model, x = two_layers(), torch.randn(4, 6)
    whole = GradientCollector(model, projection())
    with whole.active():
        expected = whole.collect(lambda: model(x).square().sum())
    collector = GradientCollector(model, projection(), groups=pattern)
    with collector.active():
        found = collector.collect(lambda: model(x).square().sum())
    assert torch.equal(found.projected, expected.projected)
    parts = found.groups.values()
    assert len(parts) > 1
    total = sum(part.projected for part in parts)
    torch.testing.assert_close(total, found.projected, rtol=1e-5, atol=1e-6)
    assert sum(p.squared_norm for p in parts) == pytest.approx(found.squared_norm, rel=1e-6)
    assert sum(p.parameters for p in parts) == found.parameters


def test_each_group_is_what_its_parameters_alone_give():
    model, x = two_layers(), torch.randn(4, 6)
    collector = GradientCollector(model, projection(), groups=r"^\d")
    with collector.active():
        found = collector.collect(lambda: model(x).square().sum())
    for name, group in found.groups.items():
        alone = GradientCollector(model, projection(), rf"^{name}\.")
        with alone.active():
            expected = alone.collect(lambda: model(x).square().sum())
        assert torch.equal(group.projected, expected.projected)
        assert group.squared_norms == expected.squared_norms


def test_a_group_that_no_gradient_reaches_is_zero():
    model = two_layers()
    collector = GradientCollector(model, projection(), groups=r"^\d")
    with collector.active():
        found = collector.collect(lambda: model[0](torch.ones(1, 6)).sum())
    assert not found.groups["1"].projected.any()
    assert (found.groups["1"].squared_norm, found.groups["1"].parameters) == (0.0, 0)


def test_groups_that_match_nothing_show_what_names_look_like():
    with pytest.raises(UsageError, match=r"parameter groups 'attn': .* look like '0\.weight'"):
        parameter_groups(["0.weight"], "attn")
    with pytest.raises(UsageError, match="parameter groups"):
        GradientCollector(two_layers(), projection(), groups="(")


def test_a_gradient_that_is_not_finite_is_blamed_on_its_parameter():
    layer = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))
    collector = GradientCollector(layer, projection())
    x = torch.tensor([[1.0, float("inf"), 1.0, 1.0]])
    with collector.active():
        with pytest.raises(ClipError, match=r"gradient of 0\.weight is not finite"):
            collector.collect(lambda: layer[0](x).nan_to_num(0, 0, 0).sum())
        found = collector.collect(lambda: layer(torch.ones(1, 4)).sum())  # the next clip is fine
    assert found.projected.isfinite().all()


def test_a_gradient_of_an_unknown_kind_is_blamed_on_its_parameter():
    table = torch.nn.Embedding(10, 4, sparse=True)
    collector = GradientCollector(table, projection())
    with collector.active(), pytest.raises(UsageError, match=r"parameter weight: .* sparse=False"):
        collector.collect(lambda: table(torch.tensor([1, 2])).sum())


def test_a_pattern_that_matches_nothing_shows_what_names_look_like():
    with pytest.raises(UsageError, match="names look like"):
        GradientCollector(torch.nn.Linear(2, 2), projection(), "encoder")
    with pytest.raises(UsageError, match="pattern"):
        GradientCollector(torch.nn.Linear(2, 2), projection(), "(")


def test_a_tied_parameter_counts_once():
    first, second = torch.nn.Linear(8, 8, bias=False), torch.nn.Linear(8, 8, bias=False)
    second.weight = first.weight
    tied = torch.nn.Sequential(first, second)
    collector = GradientCollector(tied, projection())
    x = torch.randn(1, 8)
    with collector.active():
        found = collector.collect(lambda: tied(x).sum())
    expected = torch.autograd.grad(tied(x).sum(), first.weight)[0]
    assert found.parameters == 1
    assert found.squared_norm == pytest.approx(float(expected.square().sum()), rel=1e-5)


def test_mixed_precision_parameters_are_collected_in_float32():
    layer = torch.nn.Sequential(torch.nn.Linear(8, 8).bfloat16(), torch.nn.Linear(8, 8))
    collector = GradientCollector(layer, projection())
    x = torch.randn(2, 8)
    with collector.active():
        found = collector.collect(lambda: layer[1](layer[0](x.bfloat16()).float()).sum())
    assert found.projected.dtype == torch.float32
    assert found.parameters == 4

"""Clips of a batch have the features they have alone, or the batch is refused."""

import logging

import pytest
import torch
from torch import nn

from motive.backbones import load_backbone
from motive.errors import ClipError, UsageError
from motive.gradients import (
    BatchCollector,
    Feature,
    Featurizer,
    GradientCollector,
    NotSeparableError,
    Objective,
    ZeroGradientError,
    automatic_batch,
)
from motive.gradients.batch import disagreement
from motive.gradients.sums import Collected
from motive.projection import BlockedFastfood
from tiny_clips import make_clip

DIM, BLOCK = 64, 4096


@pytest.fixture(scope="module")
def backbone(tiny_wan):
    return load_backbone(tiny_wan, device="cpu")


def features(backbone, clips, objective=None, **options):
    featurizer = Featurizer(
        backbone, BlockedFastfood(DIM, block=BLOCK), objective or Objective(), **options
    )
    with featurizer.ready():
        return featurizer.features(clips)


def assert_same(found, expected, rtol=1e-5):
    for one, other in zip(found, expected, strict=True):
        assert float((one.vector - other.vector).norm()) < rtol
        assert one.projected_norm == pytest.approx(other.projected_norm, rel=rtol)
        assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=rtol)
        assert one.loss == pytest.approx(other.loss, rel=rtol)


@pytest.mark.parametrize(
    "objective",
    [
        Objective(),
        Objective(mask=False),
        Objective(residual="temporal difference"),
        Objective(timesteps=(300.0, 900.0), noise_seed=2),
    ],
    ids=["masked", "plain", "temporal", "two timesteps"],
)
def test_features_of_a_batch_are_those_of_each_clip_alone(backbone, objective):
    clips = [make_clip(seed) for seed in range(3)]
    alone = features(backbone, clips, objective)
    assert_same(features(backbone, clips, objective, batch=3), alone)


def test_features_of_wan_nano_in_a_batch_are_those_of_each_clip_alone():
    from motive.gradients import ClipInputs

    nano = load_backbone("wan-nano", device="cpu")
    generator = torch.Generator().manual_seed(0)
    clips = [
        ClipInputs(
            torch.randn(16, 5, 8, 8, generator=generator),
            nano.encode_text(caption),
            torch.rand(5, 8, 8, generator=generator),
            17,
        )
        for caption in ("a red ball bounces", "")
    ]
    assert_same(features(nano, clips, batch=2), features(nano, clips))


def test_no_bit_depends_on_what_else_is_in_the_batch_or_on_how_many(backbone):
    clips = [make_clip(seed) for seed in range(5)]
    whole = features(backbone, clips, batch=4)
    backward = features(backbone, clips[::-1], batch=4)[::-1]
    alone = [features(backbone, [clip], batch=4)[0] for clip in clips]
    for a, b, c in zip(whole, backward, alone, strict=True):
        assert torch.equal(a.vector, b.vector)
        assert torch.equal(a.vector, c.vector)
        assert (a.gradient_norm, a.loss) == (c.gradient_norm, c.loss)


def test_clips_of_several_shapes_are_not_put_together_and_keep_their_order(backbone):
    clips = [make_clip(n, (3, 8, 8) if n % 2 else (2, 8, 6)) for n in range(4)]
    assert_same(features(backbone, clips, batch=4), features(backbone, clips))


def test_a_broken_clip_does_not_spoil_the_others(backbone):
    clips = [make_clip(seed) for seed in range(4)]
    expected = features(backbone, clips)
    clips[1].latents[0, 0, 0, 0] = float("nan")
    clips[2] = clips[2]._replace(weights=torch.zeros_like(clips[2].weights))
    found = features(backbone, clips, batch=4)
    assert isinstance(found[1], ClipError)
    assert "gradient of proj_out.weight" in str(found[1])
    assert isinstance(found[2], ZeroGradientError)
    assert_same([found[0], found[3]], [expected[0], expected[3]])


def test_one_by_one_a_broken_clip_does_not_end_the_others_either(backbone):
    clips = [make_clip(seed) for seed in range(2)]
    clips[0].latents[0, 0, 0, 0] = float("inf")
    found = features(backbone, clips)
    assert isinstance(found[0], ClipError)
    assert isinstance(found[1], Feature)


def test_groups_are_the_same_in_a_batch(backbone):
    clips = [make_clip(seed) for seed in range(2)]
    options = {"groups": r"\.(attn\d|ffn)\.", "parameters": r"^blocks"}
    for one, other in zip(
        features(backbone, clips, batch=2, **options),
        features(backbone, clips, **options),
        strict=True,
    ):
        assert list(one.groups) == list(other.groups) == ["rest", "attn1", "attn2", "ffn"]
        assert_same(one.groups.values(), other.groups.values())
        total = sum(part.vector * part.projected_norm for part in one.groups.values())
        torch.testing.assert_close(total, one.vector * one.projected_norm, rtol=1e-4, atol=1e-6)


def test_the_model_is_as_before_after_a_batch(backbone):
    model = backbone.transformer
    before = dict(model.named_parameters())
    flags = [parameter.requires_grad for parameter in model.parameters()]
    features(backbone, [make_clip(0)], batch=2)
    after = dict(model.named_parameters())
    assert all(after[name] is before[name] for name in before)
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


# -- any module ----------------------------------------------------------------------------------


def collect(model, x, loss=None, clips=None):
    """The batch's result and each clip's own, of a loss "n"."""
    loss = loss or (lambda x: model(x).square().flatten(1).sum(1))
    collector = GradientCollector(model, BlockedFastfood(DIM, block=BLOCK))
    batched = BatchCollector(collector).collect(clips or len(x), lambda: loss(x))
    with collector.active():
        alone = [collector.collect(lambda row=row: loss(row[None]).sum()) for row in x]
    return batched, alone


def assert_agree(batched, alone):
    for one, other in zip(batched, alone, strict=True):
        assert disagreement(one, other, 1e-5) is None


def test_the_first_layer_needs_no_input_that_requires_a_gradient():
    model = nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.LayerNorm(5), nn.Linear(5, 2))
    assert_agree(*collect(model, torch.randn(3, 6, 4)))


def test_a_layer_used_twice_has_the_sum_of_both_uses():
    layer = nn.Linear(4, 4)
    assert_agree(*collect(layer, torch.randn(3, 4), lambda x: layer(layer(x)).square().sum(1)))


def test_tied_layers_count_once():
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Tanh(), nn.Linear(4, 4, bias=False))
    model[2].weight = model[0].weight
    batched, alone = collect(model, torch.randn(3, 4))
    assert_agree(batched, alone)
    assert batched[0].parameters == 1


def test_a_call_that_the_loss_ignores_contributes_nothing():
    layer = nn.Linear(4, 4)

    def loss(x):
        layer(3 * x)
        return layer(x).square().sum(1)

    assert_agree(*collect(layer, torch.randn(3, 4), loss))


def test_embeddings_have_a_gradient_for_each_clip():
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 2))
    assert_agree(*collect(model, torch.randint(7, (3, 5))))


def test_a_layer_whose_clips_are_folded_with_frames():
    layer = nn.Linear(4, 3)

    def loss(x):  # "b f d" -> "(b f) d"
        return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2]).square().flatten(1).sum(1)

    assert_agree(*collect(layer, torch.randn(3, 5, 4), loss))


class WithParameter(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.scale * self.layer(x)


def collector_of(model):
    return GradientCollector(model, BlockedFastfood(DIM, block=BLOCK))


def test_a_parameter_without_a_rule_is_refused_by_name_before_any_work():
    with pytest.raises(NotSeparableError, match=r"no rule .* of scale; use batch 1"):
        BatchCollector(collector_of(WithParameter()))
    many = nn.Sequential(*[nn.GroupNorm(1, 2) for _ in range(3)])
    with pytest.raises(NotSeparableError, match=r"of 0.weight, 0.bias, 1.weight and 3 more"):
        BatchCollector(collector_of(many))


def test_parameters_that_are_not_attributed_need_no_rule():
    model = WithParameter()
    collector = GradientCollector(model, BlockedFastfood(DIM, block=BLOCK), "layer")
    x = torch.randn(2, 4)
    batched = BatchCollector(collector).collect(2, lambda: model(x).square().sum(1))
    with collector.active():
        alone = [collector.collect(lambda r=row: model(r[None]).square().sum()) for row in x]
    assert_agree(batched, alone)


def test_an_input_without_clips_in_front_is_refused():
    layer = nn.Linear(4, 4)
    shared = torch.randn(5, 4)
    with pytest.raises(NotSeparableError, match="layer of weight does not get its input clip by"):
        collect(layer, torch.randn(2, 4), lambda x: (layer(shared).sum() * x).sum(1))


def test_an_input_changed_in_place_is_refused():
    layer = nn.Linear(4, 4)

    def loss(x):
        x = x.clone()
        found = layer(x).square().sum(1)
        x.zero_()
        return found

    with pytest.raises(NotSeparableError, match="changed in place"):
        collect(layer, torch.randn(2, 4), loss)


def test_a_weight_used_behind_the_layers_back_shows_as_disagreement():
    layer = nn.Linear(4, 4)
    batched, alone = collect(
        layer, torch.randn(2, 4), lambda x: (layer(x) + x @ layer.weight).square().sum(1)
    )
    assert "gradient norm of" in disagreement(batched[0], alone[0], 1e-3)


def test_swapped_clips_show_as_disagreement():
    """As when a layer's input has its clips in another order."""
    layer = nn.Linear(4, 4)
    batched, alone = collect(
        layer, torch.randn(2, 4), lambda x: layer(x.flip(0)).flip(0).square().sum(1)
    )
    assert disagreement(batched[0], alone[0], 1e-3)
    assert disagreement(batched[1], alone[0], 1e-3) is None


def test_directions_are_compared_and_not_only_norms():
    vector = torch.tensor([3.0, 4.0])
    same = Collected(vector, 25.0, 1, squared_norms={"a": 25.0})
    turned = Collected(vector.flip(0), 25.0, 1, squared_norms={"a": 25.0})
    assert disagreement(same, same, 1e-3) is None
    assert "projected gradients differ" in disagreement(turned, same, 1e-3)


# -- what the featurizer does about it -------------------------------------------------------------


def test_a_model_without_rules_is_taken_clip_by_clip_and_the_log_says_why(
    backbone, monkeypatch, caplog
):
    clips = [make_clip(seed) for seed in range(2)]
    expected = features(backbone, clips)
    monkeypatch.setattr("motive.gradients.batch.broadcast_of", lambda layer: None)
    with caplog.at_level(logging.WARNING):
        found = features(backbone, clips, batch=2)
    assert all(torch.equal(a.vector, b.vector) for a, b in zip(found, expected, strict=True))
    assert "clip by clip: no rule" in caplog.text
    assert "scale_shift_table" in caplog.text


def test_a_batch_that_disagrees_is_never_used(backbone, monkeypatch, caplog):
    from motive.gradients import per_example

    clips = [make_clip(seed) for seed in range(2)]
    expected = features(backbone, clips)

    def wrong(layer, x, dy, count):
        for name, gradients in per_example._linear(layer, x, dy, count):
            yield name, 1.01 * gradients

    monkeypatch.setitem(
        per_example._RULES, "torch.nn.modules.linear.Linear", per_example._always(wrong)
    )
    with caplog.at_level(logging.WARNING):
        found = features(backbone, clips, batch=2)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a.vector, b.vector)
    assert "clip by clip: gradient norm of" in caplog.text


@pytest.mark.parametrize(
    "option", [{"checkpointing": True}, {"offload_activations": True}, {"compile_backend": "eager"}]
)
def test_a_batch_excludes_what_large_models_need(backbone, option):
    with pytest.raises(UsageError, match=r"batch 2: .* use batch 1"):
        Featurizer(backbone, BlockedFastfood(DIM, block=BLOCK), Objective(), batch=2, **option)
    with pytest.raises(UsageError, match="batch 0: must be at least 1"):
        Featurizer(backbone, BlockedFastfood(DIM, block=BLOCK), Objective(), batch=0)


def test_small_models_and_clips_are_batched_unasked():
    small, large = nn.Linear(8, 8), nn.Linear(1 << 13, 1 << 13, device="meta")
    assert automatic_batch(small, 320) > 1
    assert automatic_batch(small, 32 * 60 * 104) == 1
    assert automatic_batch(large, 320) == 1

"""Attribution of LoRA adapters alone: the pattern "lora", however the adapters came in."""

import copy

import pytest
import torch

from motive.backbones import load_backbone
from motive.gradients import Featurizer, Objective
from motive.projection import BlockedFastfood
from tiny_clips import make_clip

peft = pytest.importorskip("peft")

CONFIG = {"r": 2, "lora_alpha": 4, "target_modules": ["to_q", "to_v", "net.0.proj"]}


def with_trained_adapters(model):
    """Second factors away from zero, where peft begins: there the first have no gradient."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator)
    return model


@pytest.fixture(scope="module")
def backbone(tiny_wan):
    return load_backbone(tiny_wan, device="cpu")


@pytest.fixture(params=["wrapped", "injected"])
def adapted(request, backbone):
    """A backbone whose transformer is a `PeftModel`, or has had adapters added by diffusers."""
    model = copy.deepcopy(backbone.transformer)
    if request.param == "wrapped":
        model = peft.get_peft_model(model, peft.LoraConfig(**CONFIG))
    else:
        model.add_adapter(peft.LoraConfig(**CONFIG))
    changed = copy.copy(backbone)
    vars(changed)["transformer"] = with_trained_adapters(model.eval())
    return changed


def features(backbone, clips, **options):
    featurizer = Featurizer(
        backbone, BlockedFastfood(64, block=256), Objective(), parameters="lora", **options
    )
    with featurizer.ready():
        return featurizer.features(clips)


def test_only_adapters_have_gradients_and_they_are_those_of_autograd(adapted):
    clip = make_clip(1)
    (feature,) = features(adapted, [clip])
    named = {n: p for n, p in adapted.transformer.named_parameters() if "lora" in n}
    assert len(named) == 2 * 2 * 5  # two factors, two blocks, five layers each
    for parameter in named.values():
        parameter.requires_grad_()
    loss = Featurizer(adapted, BlockedFastfood(64), Objective())._losses([clip], 0).sum()
    found = torch.autograd.grad(loss, list(named.values()))
    projection = BlockedFastfood(64, block=256)
    partial = sum(projection.partial(n, g) for n, g in zip(named, found, strict=True))
    expected = projection.finish(partial)
    torch.testing.assert_close(
        feature.vector * feature.projected_norm, expected, rtol=1e-4, atol=1e-9
    )


def test_weights_below_the_adapters_stay_as_they_are(adapted):
    before = {n: (p.requires_grad, p.clone()) for n, p in adapted.transformer.named_parameters()}
    features(adapted, [make_clip(1)])
    for name, parameter in adapted.transformer.named_parameters():
        assert parameter.requires_grad == before[name][0]
        assert parameter.grad is None
        assert torch.equal(parameter, before[name][1])


@pytest.mark.parametrize("option", [{"batch": 2}, {"checkpointing": True}])
def test_adapters_can_be_batched_and_checkpointed(adapted, option):
    clips = [make_clip(1), make_clip(2)]
    expected = features(adapted, clips)
    for one, other in zip(features(adapted, clips, **option), expected, strict=True):
        assert float((one.vector - other.vector).norm()) < 1e-5
        assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=1e-5)

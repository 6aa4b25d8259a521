"""One update: AdamW, clipping, accumulation, averaging, and what happens when numbers overflow."""

import copy
import math
import sys

import pytest
import torch

from motive.backbones import ClipEncoder, TensorCache, load_backbone
from motive.errors import MissingExtraError, ModelError
from motive.finetuning.draws import Visits, noise_levels, training_noise
from motive.finetuning.group import Group
from motive.finetuning.material import Material, encode_clips, sort_clips
from motive.finetuning.objective import flow_losses, level_weight, training_sigma
from motive.finetuning.trainable import choose_parameters
from motive.finetuning.trainer import Trainer


def silent(*_):
    """No progress."""


@pytest.fixture
def make(world):
    def trainer(**options):
        config = world.config(**options)
        backbone = load_backbone(config.model, device="cpu")
        encoder = ClipEncoder(backbone, backbone.standard, TensorCache(world.cache))
        group = Group("cpu")
        found = sort_clips(world.clips, encoder, silent, "clips")
        found = encode_clips(found, encoder, group, silent, "clips")
        parameters = choose_parameters(backbone, config.lora, config.seed)
        material = Material(found.clips, encoder)
        return Trainer(backbone, parameters, material, config, "float32", group)

    return trainer


def weights(trainer):
    return torch.cat([p.detach().flatten().clone() for p in trainer.parameters.values()])


def reference_update(trainer, **adamw):
    """The first update written out with torch's own pieces; returns (weights, loss)."""
    config = trainer.config
    backbone = copy.copy(trainer.backbone)
    backbone.__dict__["transformer"] = copy.deepcopy(trainer.backbone.transformer)
    parameters = [p for p in backbone.transformer.parameters() if p.requires_grad]
    visits = Visits(list(trainer.material.clips), config.seed).span(
        0, config.batch * config.accumulate
    )
    ids = [name for name, _ in visits]
    clean, text = trainer.material.latents(ids), trainer.material.text(ids)
    sigma = training_sigma(noise_levels(config.seed, visits), "uniform", config.shift)
    noise = training_noise(clean.shape[1:], config.seed, visits)
    each = flow_losses(backbone, clean, noise, sigma, text)
    loss = (each * level_weight(sigma, config.weighting, config.shift)).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm or math.inf)
    torch.optim.AdamW(parameters, lr=config.rate, weight_decay=config.weight_decay).step()
    return torch.cat([p.detach().flatten() for p in parameters]), loss.item()


@pytest.mark.parametrize(
    "options",
    [{}, {"clip_norm": 0.01}, {"weight_decay": 0.5, "shift": 3.0}, {"weighting": "none"}],
    ids=str,
)
def test_an_update_is_adamw_on_the_clipped_gradient_of_the_flow_loss(make, options):
    trainer = make(**options)
    expected, loss = reference_update(trainer)
    assert trainer.update() == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(weights(trainer), expected, atol=1e-6, rtol=1e-5)


def test_accumulated_passes_are_one_update_of_all_their_clips(make):
    whole, parts = make(batch=4, clip_norm=0.0), make(batch=2, accumulate=2, clip_norm=0.0)
    assert whole.update() == pytest.approx(parts.update(), rel=1e-5)
    gradient = [p.grad for p in whole.parameters.values()]
    for one, other in zip(gradient, (p.grad for p in parts.parameters.values()), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_the_rate_rises_over_the_warmup(make):
    trainer = make(warmup=4, learning_rate=1e-3)
    rates = []
    for _ in range(6):
        trainer.update()
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1e-3, 1e-3])


def test_the_moving_average_is_judged_and_the_training_goes_on_without_it(make):
    trainer, path = make(ema=0.6), []
    for _ in range(4):
        trainer.update()
        path.append(weights(trainer))
    average = path[0]
    for step, now in enumerate(path[1:], start=1):
        decay = min(0.6, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * now
    with trainer.judged():
        torch.testing.assert_close(weights(trainer), average, atol=1e-6, rtol=1e-5)
    assert torch.equal(weights(trainer), path[-1])


def test_captions_are_dropped_by_visit_in_the_asked_share(make):
    trainer = make(caption_dropout=0.3)
    visits = [(name, epoch) for name in trainer.material.clips for epoch in range(100)]
    share = sum(trainer._drops(visit) for visit in visits) / len(visits)
    assert 0.25 < share < 0.35
    assert not any(make()._drops(visit) for visit in visits[:50])
    empty = trainer.material.text([None])
    assert torch.equal(empty[0], trainer.backbone.encode_text("").padded())


def test_recomputed_activations_give_the_same_update(make):
    plain, frugal = make(), make(checkpointing=True)
    assert plain.update() == pytest.approx(frugal.update(), rel=1e-6)
    torch.testing.assert_close(weights(plain), weights(frugal), atol=1e-6, rtol=1e-5)


def test_adapters_leave_the_model_as_it_was_until_they_are_trained(make):
    pytest.importorskip("peft")
    trainer, plain = make(lora=2), make()
    assert 0 < sum(p.numel() for p in trainer.parameters.values()) < 20_000
    assert all("lora_" in name for name in trainer.parameters)
    assert all(p.dtype == torch.float32 for p in trainer.parameters.values())
    frozen = [
        p for name, p in trainer.backbone.transformer.named_parameters() if "lora_" not in name
    ]
    before = [p.detach().clone() for p in frozen]
    assert trainer.update() == pytest.approx(plain.update(), rel=1e-6)
    assert all(torch.equal(old, new) for old, new in zip(before, frozen, strict=True))
    again = make(lora=2)
    again.update()
    assert torch.equal(weights(trainer), weights(again))


def test_a_loss_that_is_not_finite_stops_with_its_step_and_clip(make):
    trainer = make(batch=3)
    trainer.update()
    before = weights(trainer)
    victim = trainer.visits.span(3, 3)[1][0]
    trainer.material._kept[victim] = torch.full_like(
        trainer.material.latents([victim])[0], math.nan
    )
    with pytest.raises(ModelError, match=r"loss is nan at step 2 for clip .*square\d\.mp4; lower"):
        trainer.update()
    assert torch.equal(weights(trainer), before)
    assert trainer.step == 1


def test_a_gradient_that_is_not_finite_stops_before_the_update(make, monkeypatch):
    trainer = make()
    before = weights(trainer)
    parameter = next(iter(trainer.parameters.values()))
    parameter.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(ModelError, match=r"gradient is (nan|inf) at step 1 \(clips .*square"):
        trainer.update()
    assert torch.equal(weights(trainer), before)


def test_half_precision_weights_are_refused(world):
    half = load_backbone(world.model, device="cpu", dtype="bfloat16")
    with pytest.raises(ModelError, match="needs float32"):
        choose_parameters(half, None, 0)


def test_bfloat16_products_train_float32_weights(make):
    trainer = make()
    trainer._half = torch.autocast("cpu", torch.bfloat16)
    exact = make()
    assert trainer.update() == pytest.approx(exact.update(), rel=0.05)
    assert all(p.dtype == torch.float32 for p in trainer.parameters.values())


def test_adapters_without_peft_name_the_package(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match="pip install peft"):
        choose_parameters(load_backbone(world.model, device="cpu"), 2, 0)

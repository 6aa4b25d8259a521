"""Short fine-tunings: ordinary loss, common random numbers, and the weights come back."""

import dataclasses

import numpy as np
import pytest
import torch

from motive.backbones import TextEmbedding, load_backbone
from motive.errors import ModelError, UsageError
from motive.evaluation.retraining import (
    HeldOutClips,
    Recipe,
    TrainingClips,
    fine_tuned,
    held_out_losses,
)
from motive.gradients import fixed_noise
from motive.zoo.nano_denoiser import flow_loss

RECIPE = Recipe(steps=3, batch_size=2, learning_rate=1e-3, warmup=1, averaging=None)
IDS = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def backbone(tiny_wan):
    return load_backbone(tiny_wan, device="cpu")


def make_clips(count=4, kind=TrainingClips, **more):
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(count, 16, 2, 4, 4, generator=generator)
    texts = tuple(TextEmbedding(torch.randn(3, 32, generator=generator), 6) for _ in range(count))
    return kind(IDS[:count], latents, texts, **more)


def weights(backbone):
    return torch.cat([p.detach().flatten().clone() for p in backbone.transformer.parameters()])


def trained_weights(backbone, chosen, recipe=RECIPE, seed=0):
    with fine_tuned(backbone, make_clips(), chosen, recipe, seed):
        return weights(backbone)


class RecordingBackbone:
    """Sees what every clip is trained with; clip number i has latents of the constant i + 1."""

    name = "recording"

    def __init__(self):
        self.transformer = torch.nn.Linear(1, 1)
        self.seen = []

    def add_noise(self, latents, noise, sigma):
        self.seen += [
            (int(clip[0, 0, 0, 0]) - 1, float(level), float(draw.sum()))
            for clip, level, draw in zip(latents, sigma, noise, strict=True)
        ]
        return latents

    def target(self, latents, noise, sigma):
        return noise

    def predict(self, noisy, sigma, text):
        return self.transformer(noisy[..., None])[..., 0]


def visits(chosen, seed=0, steps=12):
    backbone = RecordingBackbone()
    clips = dataclasses.replace(
        make_clips(), latents=torch.arange(1.0, 5.0).view(4, 1, 1, 1, 1).expand(4, 2, 2, 2, 2)
    )
    recipe = dataclasses.replace(RECIPE, steps=steps)
    with fine_tuned(backbone, clips, chosen, recipe, seed):
        return backbone.seen


def test_the_weights_are_as_before_even_after_an_error(backbone):
    before = weights(backbone)
    flags = [p.requires_grad for p in backbone.transformer.parameters()]

    def interrupted():
        with fine_tuned(backbone, make_clips(), IDS, RECIPE, 0):
            assert not torch.equal(weights(backbone), before)
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        interrupted()
    assert torch.equal(weights(backbone), before)
    assert [p.requires_grad for p in backbone.transformer.parameters()] == flags
    assert all(p.grad is None for p in backbone.transformer.parameters())


def test_the_result_depends_on_the_set_and_the_seed_not_on_the_order(backbone):
    one = trained_weights(backbone, ["a", "c", "d"])
    assert torch.equal(one, trained_weights(backbone, ["d", "a", "c"]))
    assert not torch.equal(one, trained_weights(backbone, ["a", "c"]))
    assert not torch.equal(one, trained_weights(backbone, ["a", "c", "d"], seed=1))


def test_a_clip_meets_the_same_noise_whatever_else_is_trained_on():
    def of_clip(seen):
        return [[visit[1:] for visit in seen if visit[0] == clip] for clip in range(4)]

    whole, part = of_clip(visits(IDS)), of_clip(visits(["b", "d"]))
    for clip in (1, 3):
        shared = min(len(whole[clip]), len(part[clip]))
        assert shared >= 5
        assert whole[clip][:shared] == part[clip][:shared]
    assert of_clip(visits(IDS, seed=1))[1] != whole[1]


def test_every_epoch_visits_every_clip_once_in_an_order_that_nests():
    seen = [visit[0] for visit in visits(IDS)]
    part = [visit[0] for visit in visits(["a", "b", "d"])]
    epochs = [seen[i : i + 4] for i in range(0, 24, 4)]
    assert all(sorted(epoch) == [0, 1, 2, 3] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    for whole, few in zip(epochs, [part[i : i + 3] for i in range(0, 24, 3)], strict=False):
        assert [clip for clip in whole if clip != 2] == few


def test_a_clips_noise_levels_cover_the_range_evenly():
    sigmas = [visit[1] for visit in visits(["a"], steps=100)]
    levels = np.sort([sigma / (3.0 - 2.0 * sigma) for sigma in sigmas])  # undo shift 3
    assert abs(levels - (np.arange(200) + 0.5) / 200).max() < 0.02


def test_one_step_is_adamw_on_the_ordinary_flow_loss(backbone):
    clips, seen = make_clips(), []
    original = backbone.add_noise

    def spy(latents, noise, sigma):
        seen.append((latents, noise, sigma))
        return original(latents, noise, sigma)

    backbone.add_noise = spy
    recipe = dataclasses.replace(RECIPE, steps=1, weight_decay=0.1)
    try:
        with fine_tuned(backbone, clips, ["a", "b"], recipe, 0):
            found = weights(backbone)
    finally:
        del backbone.add_noise
    (clean, noise, sigma) = seen[0]
    rows = [int((clips.latents == one).all(dim=(1, 2, 3, 4)).nonzero()[0]) for one in clean]
    parameters = list(backbone.transformer.parameters())
    loss = flow_loss(backbone.transformer, clean, noise, sigma, clips.text(rows))
    gradients = torch.autograd.grad(loss, parameters)
    # AdamW's first step: decay, then the gradient over its own magnitude.
    expected = torch.cat(
        [
            (p.detach() * (1 - 1e-3 * 0.1) - 1e-3 * g / (g.abs() + 1e-8)).flatten()
            for p, g in zip(parameters, gradients, strict=True)
        ]
    )
    clear = torch.cat([g.flatten() for g in gradients]).abs() > 1e-6
    torch.testing.assert_close(found[clear], expected[clear], rtol=0, atol=1e-5)


def test_training_lowers_the_loss_on_what_it_was_trained_on(backbone):
    clips = make_clips(kind=HeldOutClips, weights=torch.ones(4, 2, 4, 4))
    before = held_out_losses(backbone, clips, (0.7,))
    recipe = dataclasses.replace(RECIPE, steps=15, batch_size=4, learning_rate=5e-3)
    with fine_tuned(backbone, clips, IDS, recipe, 0):
        after = held_out_losses(backbone, clips, (0.7,))
    assert (after < before).all()


def test_held_out_losses_are_the_motion_weighted_formula(backbone):
    generator = torch.Generator().manual_seed(1)
    clips = make_clips(3, HeldOutClips, weights=torch.rand(3, 2, 4, 4, generator=generator))
    found = held_out_losses(backbone, clips, (0.3, 0.9), noise_seed=5, batch_size=2)
    assert found.shape == (3, 2)
    for column, sigma in enumerate((0.3, 0.9)):
        noise = fixed_noise((16, 2, 4, 4), 5 + column)
        for row in range(3):
            noisy = (1 - sigma) * clips.latents[row] + sigma * noise
            with torch.no_grad():
                predicted = backbone.predict(noisy[None], sigma, clips.text([row]))[0]
            squares = ((predicted - (noise - clips.latents[row])) ** 2).mean(dim=0)
            expected = float((squares * clips.weights[row]).mean())
            assert found[row, column] == pytest.approx(expected, rel=1e-5)


def test_the_weighted_mean_of_the_weights_is_judged_where_asked_for(backbone):
    def after(steps, **changes):
        recipe = dataclasses.replace(RECIPE, steps=steps, **changes)
        return trained_weights(backbone, IDS, recipe)

    path = torch.stack([after(steps) for steps in range(1, 5)])
    torch.testing.assert_close(after(4, averaging=0.0), path.mean(dim=0))
    # eta = 2 gives step t a weight that grows like t (t + 1).
    weight = torch.tensor([1.0, 3.0, 6.0, 10.0]) / 20.0
    torch.testing.assert_close(after(4, averaging=2.0), weight @ path)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [([], "no clip"), (["a", "a"], "twice"), (["a", "x"], "'x' is not among the 4 candidates")],
)
def test_a_wrong_choice_is_one_line(backbone, chosen, words):
    with (
        pytest.raises(UsageError, match=words),
        fine_tuned(backbone, make_clips(), chosen, RECIPE, 0),
    ):
        pass


def test_half_precision_weights_are_refused(tiny_wan):
    half = load_backbone(tiny_wan, device="cpu", dtype="bfloat16")
    with pytest.raises(ModelError, match="float32"), fine_tuned(half, make_clips(), IDS, RECIPE, 0):
        pass


def test_a_diverged_training_is_said_in_one_line(backbone):
    recipe = dataclasses.replace(RECIPE, learning_rate=1e30, steps=4)
    with (
        pytest.raises(ModelError, match="diverged"),
        fine_tuned(backbone, make_clips(), IDS, recipe, 0),
    ):
        pass


@pytest.mark.parametrize(
    "bad",
    [
        {"steps": 0},
        {"learning_rate": 0.0},
        {"weight_decay": -1.0},
        {"averaging": -1.0},
        {"shift": 0},
    ],
)
def test_impossible_recipes_are_refused(bad):
    with pytest.raises(UsageError):
        Recipe(**bad)

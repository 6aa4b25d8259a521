"""The whole path on Wan's own class: equal to the naive computation, and stateless."""

import math

import pytest
import torch

from motive.backbones import load_backbone
from motive.errors import ClipError
from motive.gradients import Featurizer, Objective, ZeroGradientError
from motive.gradients.sums import GradientSums
from motive.projection import BlockedFastfood, fastfood_matrix
from motive.projection.randomness import block_randomness
from tiny_clips import FRAMES, make_clip

DIM, BLOCK, SEED = 64, 256, 5


@pytest.fixture(scope="module")
def backbone(tiny_wan):
    return load_backbone(tiny_wan, device="cpu")


def featurize(backbone, clips, objective=None, **options):
    featurizer = Featurizer(
        backbone, BlockedFastfood(DIM, SEED, BLOCK), objective or Objective(), **options
    )
    with featurizer.ready():
        return [featurizer.feature(*clip) for clip in clips]


def naive_gradient(backbone, clip, sigma, noise_seed, mask=True, change=False):
    """The full gradient by autograd of the formula, written out literally in float64."""
    from motive.gradients import fixed_noise

    latents, text, weights, _ = clip
    model = backbone.transformer.double()
    try:
        epsilon = fixed_noise((1, *latents.shape), noise_seed).double()
        h = latents.double()[None]
        z = (1 - sigma) * h + sigma * epsilon
        captions = torch.zeros(1, 512, 32, dtype=torch.float64)
        captions[0, : len(text.tokens)] = text.tokens
        prediction = model(z, torch.tensor([1000 * sigma], dtype=torch.float64), captions).sample
        residual = prediction - (epsilon - h)
        w = weights.double()[None] if mask else torch.ones_like(residual[:, 0])
        if change:
            residual = residual[:, :, 1:] - residual[:, :, :-1]
            w = w[:, 1:]
        error = (residual**2).mean(dim=1)
        loss = (w * error).mean() / FRAMES
        named = dict(model.named_parameters())
        found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        gradients = {
            name: torch.zeros_like(p) if g is None else g
            for (name, p), g in zip(named.items(), found, strict=True)
        }
        return float(loss), gradients
    finally:
        backbone.transformer.float()


def project_by_definition(gradients):
    """Fastfood by its dense definition in float64, block by block."""
    total = torch.zeros(DIM, dtype=torch.float64)
    for name, gradient in gradients.items():
        flat = gradient.reshape(-1)
        for index, start in enumerate(range(0, len(flat), BLOCK)):
            piece = flat[start : start + BLOCK]
            size = BLOCK if len(piece) == BLOCK else max(DIM, 2 ** math.ceil(math.log2(len(piece))))
            padded = torch.nn.functional.pad(piece, (0, size - len(piece)))
            total += fastfood_matrix(block_randomness(SEED, name, index, 1, size), DIM) @ padded
    return total


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("residual", ["error", "temporal difference"])
def test_features_equal_the_naive_computation(backbone, mask, residual):
    clip = make_clip(1)
    objective = Objective(timesteps=(751.0,), noise_seed=3, mask=mask, residual=residual)
    feature = featurize(backbone, [clip], objective)[0]
    loss, gradients = naive_gradient(backbone, clip, 0.751, 3, mask, residual != "error")
    projected = project_by_definition(gradients)
    norm = math.sqrt(sum(float(g.square().sum()) for g in gradients.values()))
    expected = projected / projected.norm()
    assert float((feature.vector.double() - expected).norm()) < 1e-4
    assert feature.projected_norm == pytest.approx(float(projected.norm()), rel=1e-4)
    assert feature.gradient_norm == pytest.approx(norm, rel=1e-4)
    assert feature.loss == pytest.approx(loss, rel=1e-4)


def test_several_timesteps_count_equally_whatever_their_gradients_size(backbone):
    clip = make_clip(2)
    objective = Objective(timesteps=(300.0, 900.0), noise_seed=1)
    feature = featurize(backbone, [clip], objective)[0]
    expected = torch.zeros(DIM, dtype=torch.float64)
    for index, sigma in enumerate((0.3, 0.9)):
        _, gradients = naive_gradient(backbone, clip, sigma, 1 + index)
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradients.values()))
        expected += project_by_definition(gradients) / norm
    expected /= expected.norm()
    assert float((feature.vector.double() - expected).norm()) < 1e-4


def test_features_do_not_depend_on_order_or_on_what_came_before(backbone):
    clips = [make_clip(seed) for seed in range(4)]
    forward = featurize(backbone, clips)
    backward = featurize(backbone, clips[::-1])[::-1]
    alone = [featurize(backbone, [clip])[0] for clip in clips]
    for a, b, c in zip(forward, backward, alone, strict=True):
        assert torch.equal(a.vector, b.vector)
        assert torch.equal(a.vector, c.vector)


def test_an_interrupted_pass_leaves_nothing_behind(backbone, monkeypatch):
    clip = make_clip(1)
    expected = featurize(backbone, [clip])[0]
    featurizer = Featurizer(backbone, BlockedFastfood(DIM, SEED, BLOCK), Objective())
    whole, seen = GradientSums.add, []

    def interrupted(self, name, gradients):
        seen.append(name)
        if len(seen) == 5:
            raise KeyboardInterrupt
        whole(self, name, gradients)

    with featurizer.ready():
        with monkeypatch.context() as patch:
            patch.setattr(GradientSums, "add", interrupted)
            with pytest.raises(KeyboardInterrupt):
                featurizer.feature(*make_clip(9))
        assert torch.equal(featurizer.feature(*clip).vector, expected.vector)


def test_gradient_checkpointing_does_not_change_features(backbone):
    clip = make_clip(1)
    plain = featurize(backbone, [clip])[0]
    saved = featurize(backbone, [clip], checkpointing=True)[0]
    assert torch.allclose(plain.vector, saved.vector, atol=1e-6)
    assert not backbone.transformer.is_gradient_checkpointing


def test_only_matching_parameters_are_attributed(backbone):
    clip = make_clip(1)
    _, gradients = naive_gradient(backbone, clip, 0.751, 0)
    chosen = {n: g for n, g in gradients.items() if "attn2" in n}
    feature = featurize(backbone, [clip], parameters=r"\.attn2\.")[0]
    expected = project_by_definition(chosen)
    assert 0 < len(chosen) < len(gradients)
    assert float((feature.vector.double() - expected / expected.norm()).norm()) < 1e-4


def test_parts_of_the_model_add_up_to_the_whole(backbone):
    clip = make_clip(1)
    parts = [
        featurize(backbone, [clip], parameters=pattern)[0]
        for pattern in (r"^blocks\.", r"^(?!blocks\.)")
    ]
    whole = featurize(backbone, [clip])[0]
    total = sum(part.vector * part.projected_norm for part in parts)
    torch.testing.assert_close(total, whole.vector * whole.projected_norm, rtol=1e-4, atol=1e-7)


def test_the_full_gradient_never_exists(backbone):
    """While one parameter is projected, no other parameter holds a gradient."""
    clip = make_clip(1)
    alive = []

    class Watching(BlockedFastfood):
        def partial(self, name, gradient):
            parameters = backbone.transformer.parameters()
            alive.append(sum(p.grad is not None for p in parameters))
            return super().partial(name, gradient)

    featurizer = Featurizer(backbone, Watching(DIM, SEED, BLOCK), Objective())
    with featurizer.ready():
        featurizer.feature(*clip)
    assert len(alive) > 20
    assert max(alive) == 0


def test_flags_and_hooks_are_restored(backbone):
    model = backbone.transformer
    model.requires_grad_(False)
    next(model.parameters()).requires_grad_(True)
    before = [p.requires_grad for p in model.parameters()]
    featurize(backbone, [make_clip(0)], parameters="ffn")
    assert [p.requires_grad for p in model.parameters()] == before
    model.requires_grad_(True)
    model(
        torch.randn(1, 16, 3, 8, 8), torch.ones(1), torch.randn(1, 512, 32)
    ).sample.sum().backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if "ffn" in n)
    model.zero_grad()


def test_the_frame_factor_scales_the_gradient_and_not_the_feature(backbone):
    clip = make_clip(1)
    with_factor = featurize(backbone, [clip], Objective())[0]
    without = featurize(backbone, [clip], Objective(frame_normalize=False))[0]
    assert torch.allclose(with_factor.vector, without.vector, atol=1e-6)
    assert without.gradient_norm == pytest.approx(FRAMES * with_factor.gradient_norm, rel=1e-5)


def test_a_clip_without_motion_is_an_error_not_a_nan(backbone):
    clip = make_clip(1)
    with pytest.raises(ZeroGradientError, match="nothing moves"):
        featurize(backbone, [clip._replace(weights=torch.zeros_like(clip.weights))])


def test_latents_that_are_not_finite_are_an_error(backbone):
    clip = make_clip(1)
    clip.latents[0, 0, 0, 0] = float("nan")
    with pytest.raises(ClipError, match="not finite"):
        featurize(backbone, [clip])

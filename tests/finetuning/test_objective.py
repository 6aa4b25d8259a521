"""The flow-matching recipe against other people's formulas."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from motive.backbones import load_backbone
from motive.finetuning.objective import fixed_losses, flow_losses, level_weight, training_sigma
from motive.gradients import fixed_noise
from motive.zoo.nano_denoiser import flow_loss


def trainers_schedule(shift):
    """Levels and weights as DiffSynth-Studio's scheduler for Wan makes them, step by step."""
    sigmas = torch.linspace(1.0, 0.0, 1001, dtype=torch.float64)[:-1]
    sigmas = shift * sigmas / (1 + (shift - 1) * sigmas)
    height = torch.exp(-2 * ((sigmas * 1000 - 500) / 1000) ** 2)
    above = height - height.min()
    return sigmas, above * (1000 / above.sum())


@pytest.mark.parametrize("shift", [1.0, 3.0, 5.0])
def test_weights_are_those_of_the_trainer(shift):
    sigmas, weights = trainers_schedule(shift)
    ours = level_weight(sigmas, "bell", shift)
    torch.testing.assert_close(ours, weights, atol=1e-9, rtol=1e-9)
    assert float(ours.mean()) == pytest.approx(1.0)
    assert float(ours.min()) >= 0
    assert level_weight(sigmas, "none", shift).unique().tolist() == [1.0]


def test_levels_are_those_of_the_trainer():
    sigmas, _ = trainers_schedule(5.0)
    uniform = torch.arange(1000, 0, -1) / 1000
    torch.testing.assert_close(
        training_sigma(uniform, "uniform", 5.0).double(), sigmas, atol=1e-6, rtol=0
    )


def test_logit_normal_levels_have_the_published_density():
    level = torch.linspace(0.001, 0.999, 999)
    ours = training_sigma(level, "logit-normal", 1.0).double().numpy()
    expected = 1 / (1 + np.exp(-norm.ppf(level.double().numpy())))
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    edges = training_sigma(torch.tensor([0.0, 1.0]), "logit-normal", 3.0)
    assert torch.isfinite(edges).all()
    assert 0 < float(edges[0]) < float(edges[1]) < 1


@pytest.fixture(scope="module")
def backbone(tiny_wan):
    return load_backbone(tiny_wan, device="cpu")


def test_the_loss_is_the_mean_squared_error_of_the_velocity(backbone):
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 3, 16, 2, 4, 4, generator=generator)
    text = torch.randn(3, 6, 32, generator=generator)
    sigma = torch.tensor([0.1, 0.5, 0.9])
    each = flow_losses(backbone, clean, noise, sigma, text)
    assert each.shape == (3,)
    expected = flow_loss(backbone.transformer, clean, noise, sigma, text)
    torch.testing.assert_close(each.mean(), expected)
    half = flow_losses(backbone, clean, noise, sigma, text, torch.full((3, 2, 4, 4), 0.5))
    torch.testing.assert_close(half, each / 2)


def test_fixed_losses_use_one_noise_per_level_for_all_clips(backbone):
    clean = torch.randn(2, 16, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    text = torch.zeros(2, 6, 32)
    found = fixed_losses(backbone, clean, text, (0.2, 0.8), noise_seed=7)
    assert found.shape == (2, 2)
    with torch.no_grad():
        for column, sigma in enumerate((0.2, 0.8)):
            noise = fixed_noise((16, 2, 4, 4), 7 + column).expand_as(clean)
            expected = flow_losses(backbone, clean, noise, sigma, text)
            np.testing.assert_allclose(found[:, column], expected.numpy(), rtol=1e-6)

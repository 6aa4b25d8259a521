"""The motion-weighted loss and its fixed noise."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motive.errors import UsageError
from motive.gradients import Objective, fixed_noise, location_error, motion_weighted_loss


def test_loss_equals_the_formula_written_with_loops():
    generator = np.random.default_rng(0)
    prediction, target = generator.standard_normal((2, 1, 4, 3, 2, 2))
    weights = generator.random((1, 3, 2, 2))
    total = 0.0
    for f in range(3):
        for y in range(2):
            for x in range(2):
                squares = (prediction[0, :, f, y, x] - target[0, :, f, y, x]) ** 2
                total += weights[0, f, y, x] * squares.sum() / 4
    expected = total / (3 * 2 * 2) / 9
    error = location_error(torch.from_numpy(prediction), torch.from_numpy(target))
    found = motion_weighted_loss(error, torch.from_numpy(weights), frames=9)
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_the_temporal_difference_equals_its_formula_written_with_loops():
    generator = np.random.default_rng(1)
    prediction, target = generator.standard_normal((2, 1, 4, 3, 2, 2))
    weights = generator.random((1, 3, 2, 2))
    total = 0.0
    for f in range(2):
        for y in range(2):
            for x in range(2):
                residuals = [prediction[0, :, n, y, x] - target[0, :, n, y, x] for n in (f, f + 1)]
                change = ((residuals[1] - residuals[0]) ** 2).sum() / 4
                total += weights[0, f + 1, y, x] * change
    expected = total / (2 * 2 * 2)
    error = location_error(
        torch.from_numpy(prediction), torch.from_numpy(target), "temporal difference"
    )
    found = motion_weighted_loss(error, torch.from_numpy(weights[:, 1:]), None)
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_an_error_that_never_changes_has_no_temporal_difference():
    error = torch.randn(1, 4, 1, 2, 2).expand(1, 4, 5, 2, 2)
    found = location_error(error, torch.zeros_like(error), "temporal difference")
    assert found.shape == (1, 4, 2, 2)
    assert not found.any()


def test_a_temporal_difference_needs_two_frames():
    with pytest.raises(UsageError, match="at least 2 latent frames"):
        location_error(*torch.zeros(2, 1, 4, 1, 2, 2), "temporal difference")


def test_settings_name_the_residual_only_where_it_is_not_the_papers():
    settings = {"timesteps": [751.0], "noise_seed": 0, "mask": True, "frame_normalize": True}
    assert Objective().settings == settings  # as stored by indexes made before there was a choice
    changed = Objective(residual="temporal difference").settings
    assert changed == {**settings, "residual": "temporal difference"}


def test_weights_of_one_give_back_the_ordinary_objective():
    prediction, target = torch.randn(2, 2, 4, 3, 2, 2)
    error = location_error(prediction, target)
    ones = torch.ones_like(error)
    plain = torch.nn.functional.mse_loss(prediction, target, reduction="none").mean((1, 2, 3, 4))
    torch.testing.assert_close(motion_weighted_loss(error, ones, None), plain)
    torch.testing.assert_close(motion_weighted_loss(error, None, None), plain)


def test_half_precision_errors_are_squared_in_float32():
    prediction = torch.full((1, 1, 1, 1, 1), 300.0, dtype=torch.float16)
    assert location_error(prediction, torch.zeros_like(prediction)).item() == 90000.0


def test_weights_of_another_shape_are_refused_not_broadcast():
    with pytest.raises(ValueError, match="same shape"):
        motion_weighted_loss(torch.ones(2, 3, 4, 4), torch.ones(1, 3, 4, 4), None)


@given(st.integers(0, 2**63 - 1))
def test_noise_is_the_same_draw_for_a_seed(seed):
    assert torch.equal(fixed_noise((2, 3), seed), fixed_noise((2, 3), seed))
    assert not torch.equal(fixed_noise((2, 3), seed), fixed_noise((2, 3), seed + 1))


def test_noise_is_standard_normal_and_pinned_across_versions():
    noise = fixed_noise((100_000,), 0)
    assert noise.dtype == torch.float32
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.02
    # Pinned: a library that changed its stream would silently make old features incomparable.
    expected = [
        0.059911035001277924,
        0.015559634193778038,
        -1.1644384860992432,
        -0.13264712691307068,
    ]
    assert fixed_noise((4,), 0).tolist() == expected


@pytest.mark.parametrize(
    "bad",
    [
        {"timesteps": ()},
        {"timesteps": (0.0,)},
        {"timesteps": (1001.0,)},
        {"noise_seed": -1},
        {"residual": "none"},
    ],
)
def test_impossible_objectives_are_refused(bad):
    with pytest.raises(UsageError):
        Objective(**bad)

"""Motion weights against formulas written out in numpy and tables worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from motive.errors import UsageError
from motive.motion import (
    MotionConfig,
    compute_motion_weights,
    latent_motion_weights,
    minmax_weights,
    motion_magnitude,
    robust_weights,
    weights_from_magnitude,
)

magnitudes = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(1, 12)),
    elements=st.floats(0, 100, width=32),
)


def wan_groups(frames: int) -> list[list[int]]:
    return [[0], *[list(range(i, i + 4)) for i in range(1, frames, 4)]]


def test_magnitude_is_the_euclidean_length():
    displacement = torch.tensor([[[[3.0, 4.0], [0.0, -2.0]]]])
    assert motion_magnitude(displacement).tolist() == [[[5.0, 2.0]]]


@given(magnitudes, st.sampled_from([1e-6, 1e-3]))
@settings(max_examples=100, deadline=None)
def test_minmax_is_the_paper_s_formula_bit_for_bit(magnitude, zeta):
    low, high = magnitude.min(), magnitude.max()
    expected = (magnitude - low) / (high - low + np.float32(zeta))
    result = minmax_weights(torch.from_numpy(magnitude), zeta).numpy()
    assert result.dtype == np.float32
    assert np.array_equal(result, expected)
    assert result.min() >= 0
    assert result.max() <= 1


def test_minmax_runs_over_all_frames_at_once():
    magnitude = torch.tensor([[[0.0, 1.0]], [[2.0, 4.0]]])
    assert minmax_weights(magnitude).flatten().tolist() == pytest.approx(
        [0, 0.25, 0.5, 1], abs=1e-6
    )


def test_pooling_in_time_takes_each_group_of_frames():
    weights = torch.arange(5.0)[:, None, None].expand(5, 2, 2) / 10
    mean = latent_motion_weights(weights, wan_groups(5), (2, 2), pool="mean")
    largest = latent_motion_weights(weights, wan_groups(5), (2, 2), pool="max")
    assert mean[:, 0, 0].tolist() == pytest.approx([0.0, 0.25])
    assert largest[:, 0, 0].tolist() == pytest.approx([0.0, 0.4])


def test_antialiased_pooling_uses_every_pixel_and_plain_bilinear_four():
    weights = torch.zeros(1, 4, 4)
    weights[0, 0, 0] = 1.0
    smooth = latent_motion_weights(weights, [[0]], (1, 1), antialias=True)
    plain = latent_motion_weights(weights, [[0]], (1, 1), antialias=False)
    # Shrinking by 4: the triangle has half-width 4 around the centre at 2, so the pixel centres
    # 0.5, 1.5, 2.5, 3.5 weigh 2.5, 3.5, 3.5, 2.5 of 12 along each axis.
    assert float(smooth) == pytest.approx((2.5 / 12) ** 2)
    assert float(plain) == 0.0  # samples rows and columns 1 and 2 only
    weights[0, 1:3, 1:3] = 0.8
    assert float(latent_motion_weights(weights, [[0]], (1, 1), antialias=False)) == pytest.approx(
        0.8
    )


def test_bilinear_weights_by_hand_when_halving():
    weights = torch.tensor([[[0.0, 0.4, 0.8, 1.0]]])
    plain = latent_motion_weights(weights, [[0]], (1, 2), antialias=False)
    assert plain.flatten().tolist() == pytest.approx([0.2, 0.9])
    smooth = latent_motion_weights(weights, [[0]], (1, 2), antialias=True)
    # Triangle of half-width 2 around 1.0 and 3.0, cut at the border and renormalised:
    # pixels at 0.5, 1.5, 2.5 weigh 3, 3, 1 of 7.
    assert smooth.flatten().tolist() == pytest.approx(
        [(0.4 * 3 + 0.8) / 7, (0.4 + 0.8 * 3 + 1.0 * 3) / 7]
    )


@given(
    magnitudes,
    st.integers(1, 8),
    st.integers(1, 8),
    st.sampled_from(["mean", "max"]),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_latent_weights_stay_within_the_bounds_of_the_pixels(magnitude, h, w, pool, antialias):
    weights = minmax_weights(torch.from_numpy(magnitude))
    groups = [[f] for f in range(len(weights))]
    latent = latent_motion_weights(weights, groups, (h, w), pool=pool, antialias=antialias)
    assert latent.shape == (len(weights), h, w)
    assert latent.min() >= 0
    assert latent.max() <= 1
    assert latent.max() <= weights.max() + 1e-6
    assert latent.min() >= weights.min() - 1e-6


def test_constant_weights_stay_constant_on_any_grid():
    weights = torch.full((5, 48, 80), 0.375)
    for antialias in (True, False):
        latent = latent_motion_weights(weights, wan_groups(5), (6, 10), antialias=antialias)
        assert latent.numpy() == pytest.approx(0.375, abs=1e-6)


@pytest.mark.parametrize(
    ("groups", "grid", "pool", "word"),
    [
        ([], (2, 2), "mean", "at least one pixel frame"),
        ([[0], []], (2, 2), "mean", "at least one pixel frame"),
        ([[0], [5]], (2, 2), "mean", "outside the clip's 5 frames"),
        ([[0]], (0, 2), "mean", "grid"),
        ([[0]], (2, 2), "median", "pool"),
    ],
)
def test_wrong_groups_grids_and_pools_are_usage_errors(groups, grid, pool, word):
    with pytest.raises(UsageError, match=word):
        latent_motion_weights(torch.zeros(5, 8, 8), groups, grid, pool=pool)


def moving_square(step: int, frames: int = 9) -> torch.Tensor:
    rng = np.random.default_rng(0)
    clip = np.repeat(np.repeat(rng.integers(60, 90, (1, 16, 16, 3)), 4, 1), 4, 2)
    clip = np.repeat(clip, frames, 0)
    square = np.repeat(np.repeat(rng.integers(120, 255, (4, 4, 3)), 4, 0), 4, 1)
    for f in range(frames):
        clip[f, 24:40, 8 + step * f : 24 + step * f] = square
    return torch.from_numpy(clip.astype(np.uint8))


def test_weights_are_high_where_the_object_moves_and_low_elsewhere():
    result = compute_motion_weights(moving_square(3), wan_groups(9), (8, 8), MotionConfig())
    assert result.weights.shape == (3, 8, 8)
    assert result.weights.dtype == torch.float32
    assert result.weights[:, 3:5].mean() > 5 * result.weights[:, 6:].mean()
    assert (result.tracker, result.displacement) == ("dis", "consecutive")
    assert not result.facts.static
    assert result.facts.max_magnitude == pytest.approx(3, abs=1)
    assert 0.02 < result.facts.moving_fraction < 0.4
    assert result.facts.uniformity < 0.4


@pytest.mark.parametrize("normalise", ["minmax", "robust"])
@pytest.mark.parametrize("weight_by", ["raw", "residual"])
def test_a_still_clip_has_no_weight_and_says_so(normalise, weight_by):
    config = MotionConfig(normalise=normalise, weight_by=weight_by)
    result = compute_motion_weights(moving_square(0), wan_groups(9), (8, 8), config)
    assert result.facts.static
    assert result.weights.abs().max() == 0
    assert result.facts.moving_fraction == 0


@given(magnitudes, st.floats(51, 100))
@settings(max_examples=100, deadline=None)
def test_robust_weights_are_minmax_between_percentiles(magnitude, percentile):
    low, high = np.percentile(magnitude, [100 - percentile, percentile])
    expected = np.clip((magnitude - low) / max(high - low, 0.5), 0, 1)
    result = robust_weights(torch.from_numpy(magnitude), percentile).numpy()
    assert result.dtype == np.float32
    assert result == pytest.approx(expected, abs=1e-4)


def test_one_outlier_flattens_minmax_but_not_robust_weights():
    magnitude = torch.zeros(4, 32, 32)
    magnitude[:, 10:20, 10:20] = 2.0
    magnitude[2, 0, 0] = 100.0
    assert minmax_weights(magnitude)[:, 12, 12].max() < 0.03
    assert robust_weights(magnitude)[:, 12, 12].min() == 1


def test_robust_weights_do_not_stretch_noise():
    noise = torch.rand(5, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.02
    assert minmax_weights(noise).max() > 0.99
    assert robust_weights(noise).max() < 0.05


def test_every_value_of_an_even_clip_is_the_same_weight():
    magnitude = torch.full((3, 8, 8), 5.0)
    for config in (MotionConfig(), MotionConfig(normalise="robust")):
        weights = weights_from_magnitude(magnitude, [[0], [1, 2]], (4, 4), config)
        assert weights.isfinite().all()
        assert weights.max() == weights.min()

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
    motion_uniformity,
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


def test_wrong_configurations_are_usage_errors():
    for wrong in ({"displacement": "next"}, {"pool": "min"}, {"zeta": 0.0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            MotionConfig(**wrong)


@given(st.floats(0.01, 1.0), st.floats(0.1, 50))
@settings(max_examples=50, deadline=None)
def test_uniformity_is_the_share_of_pixels_that_move_alike(share, speed):
    magnitude = torch.zeros(3, 10, 100)
    columns = max(1, round(share * 100))
    magnitude[:, :, :columns] = speed
    assert motion_uniformity(magnitude) == pytest.approx(columns / 100)


def test_uniformity_tells_a_pan_from_a_small_mover_even_with_flow_noise():
    noise = torch.from_numpy(np.random.default_rng(0).uniform(0, 0.05, (8, 64, 64))).float()
    mover = noise.clone()
    mover[:, 20:30, 20:30] += 3
    assert motion_uniformity(noise + 3) > 0.99
    assert motion_uniformity(mover) < 0.1
    assert motion_uniformity(torch.zeros(3, 4, 4)) == 0


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
    assert (result.tracker, result.displacement, result.static) == ("dis", "consecutive", False)
    assert result.max_magnitude == pytest.approx(3, abs=1)
    assert 0.02 < result.moving_fraction < 0.4
    assert result.uniformity < 0.4


def test_anchored_motion_is_cumulative():
    clip = moving_square(2)
    anchored = compute_motion_weights(
        clip, wan_groups(9), (8, 8), MotionConfig(displacement="anchor")
    )
    assert anchored.displacement == "anchor"
    assert anchored.max_magnitude > 8


def test_a_still_clip_has_no_weight_and_says_so():
    still = moving_square(0)
    result = compute_motion_weights(still, wan_groups(9), (8, 8), MotionConfig())
    assert result.static
    assert result.weights.abs().max() == 0
    assert result.moving_fraction == 0


def test_noise_is_called_static_and_a_small_slow_mover_is_not():
    noise = torch.from_numpy(np.random.default_rng(0).uniform(0, 0.004, (9, 64, 64))).float()
    noise[3, 5, 5] = 0.7  # one compression artefact
    mover = noise.clone()
    mover[:, 30:37, 30:37] = 1.0
    config = MotionConfig()
    assert weights_from_magnitude(noise, wan_groups(9), (8, 8), config).static
    assert not weights_from_magnitude(mover, wan_groups(9), (8, 8), config).static


def test_settings_name_everything_that_changes_the_weights():
    base = MotionConfig().settings
    for change in (
        {"displacement": "anchor"},
        {"pool": "max"},
        {"zeta": 1e-3},
        {"antialias": False},
        {"tracker_options": {"preset": "fast"}},
    ):
        assert MotionConfig(**change).settings != base

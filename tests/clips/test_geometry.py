"""Resize-to-cover and centre crop, for any shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.clips.geometry import fit_to_cover, oriented, resize_and_crop

side = st.integers(1, 5000)
small = st.integers(1, 900)


@given(side, side, st.floats(0.2, 5), small, small)
@settings(max_examples=300, deadline=None)
def test_the_crop_lies_in_the_source_is_centred_and_keeps_the_shape(
    height, width, aspect, out_height, out_width
):
    fit = fit_to_cover((height, width), aspect, (out_height, out_width))
    top, left, kept_height, kept_width = fit.crop
    assert top >= 0
    assert left >= 0
    assert top + kept_height <= height + 1e-6
    assert left + kept_width <= width + 1e-6
    row, column = fit.rows / fit.size[0], fit.columns / fit.size[1]  # source px per output px
    assert abs(top + kept_height / 2 - height / 2) <= row / 2 + 1e-6
    assert abs(left + kept_width / 2 - width / 2) <= column / 2 + 1e-6
    assert fit.offset[0] + out_height <= fit.size[0]
    assert fit.offset[1] + out_width <= fit.size[1]
    # The picture is not stretched by more than half an output pixel over its size.
    scale = max(out_height / height, out_width / (width * aspect))
    assert fit.size[0] == pytest.approx(fit.rows * scale, abs=0.5 + 1e-6)
    assert fit.size[1] == pytest.approx(fit.columns * scale * aspect, abs=0.5 + 1e-6)


def test_known_cases():
    assert fit_to_cover((720, 1280), 1.0, (480, 832)).crop == (0, 16, 720, 1248)
    assert fit_to_cover((1280, 720), 1.0, (480, 832)).crop[2:] == pytest.approx((415.4, 720), abs=1)
    assert fit_to_cover((64, 64), 1.0, (64, 64)).crop == (0, 0, 64, 64)
    assert fit_to_cover((576, 720), 16 / 15, (576, 768)).crop == (0, 0, 576, 720)


def test_extreme_shapes_stay_small():
    fit = fit_to_cover((1, 10_000), 1.0, (480, 832))
    assert fit.size[0] * fit.size[1] < 480 * 3000
    fit = fit_to_cover((10_000, 1), 1.0, (480, 832))
    assert fit.size[0] * fit.size[1] < 4000 * 832


def test_shrinking_averages_areas():
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    fit = fit_to_cover((64, 96), 1.0, (8, 8))
    result = resize_and_crop(image, fit, (8, 8))
    blocks = image[:, 16:80].reshape(8, 8, 8, 8, 3).mean((1, 3))
    assert np.abs(result - blocks).max() <= 1


@pytest.mark.parametrize(
    "matrix",
    [
        (1, 0, 0, 1),
        (-1, 0, 0, 1),
        (1, 0, 0, -1),
        (-1, 0, 0, -1),
        (0, 1, 1, 0),
        (0, -1, 1, 0),
        (0, 1, -1, 0),
        (0, -1, -1, 0),
    ],
)
def test_every_display_matrix_moves_pixels_where_its_formula_says(matrix):
    a, b, c, d = matrix
    height, width = 3, 5
    image = np.arange(height * width).reshape(height, width)
    y, x = np.mgrid[:height, :width]
    new_x, new_y = a * x + c * y, b * x + d * y
    new_x, new_y = new_x - new_x.min(), new_y - new_y.min()
    expected = np.zeros((new_y.max() + 1, new_x.max() + 1), int)
    expected[new_y, new_x] = image
    result = oriented(np.repeat(image[..., None], 3, 2), (a << 16, b << 16, c << 16, d << 16))
    assert np.array_equal(result[..., 0], expected)

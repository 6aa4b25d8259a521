"""Preprocessing agrees with values worked out by hand and with an independent resampler."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motive.encoders.preprocessing import (
    Preprocessing,
    centre_crop,
    resize_longer_side,
    resize_shorter_side,
)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 832), (224, 388)), ((832, 480), (388, 224)), ((64, 64), (224, 224))],
)
def test_the_shorter_side_is_exact_and_the_longer_one_truncated(size, expected):
    assert tuple(resize_shorter_side(torch.zeros(1, 3, *size), 224).shape[2:]) == expected


def test_a_small_picture_is_never_enlarged_to_the_longer_side():
    image = torch.rand(1, 3, 40, 60)
    assert torch.equal(resize_longer_side(image, 512), image)


def test_the_crop_takes_the_middle():
    image = torch.arange(6.0).repeat(4, 1)[None, None]
    assert centre_crop(image, 2)[0, 0].tolist() == [[2.0, 3.0], [2.0, 3.0]]


def test_a_picture_smaller_than_the_crop_is_padded_with_zeros():
    cropped = centre_crop(torch.ones(1, 1, 2, 4), 4)
    assert cropped[0, 0].sum(dim=1).tolist() == [0.0, 4.0, 4.0, 0.0]


def test_normalisation_is_that_of_the_formula():
    frames = torch.full((2, 8, 8, 3), 255, dtype=torch.uint8)
    found = Preprocessing(8, 8, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0))(frames)
    assert torch.allclose(found[0, :, 0, 0], torch.tensor([1.0, 3.0, 0.5]))


def test_bilinear_without_antialiasing_matches_a_resampler_written_out():
    frame = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    prepared = Preprocessing(4, None, mean=(0.0,) * 3, std=(1.0,) * 3)(torch.tensor(frame[None]))
    # Output (i, j) samples the source at 2 i + 0.5: the mean of a 2 x 2 block.
    blocks = frame.reshape(4, 2, 6, 2, 3).mean((1, 3)) / 255.0
    assert np.allclose(prepared[0].permute(1, 2, 0).numpy(), blocks, atol=1e-6)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
def test_a_crop_always_has_the_asked_size(height, width, side):
    assert tuple(centre_crop(torch.zeros(1, 1, height, width), side).shape[2:]) == (side, side)

"""Splatting against positions worked out by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.motion import place_in_frame


def test_whole_pixel_shifts_move_values_unchanged():
    values = torch.arange(12.0).view(3, 4, 1)
    shift = torch.tensor([1.0, 1.0]).expand(3, 4, 2)
    placed, coverage = place_in_frame(values, shift)
    assert torch.equal(placed[1:, 1:, 0], values[:-1, :-1, 0])
    assert coverage[0].max() == 0
    assert coverage[1:, 1:].min() == 1


def test_half_pixels_are_shared():
    values = torch.tensor([[[0.0], [6.0], [0.0], [0.0]]])
    shift = torch.zeros(1, 4, 2)
    shift[0, 1, 0] = 1.5  # lands between pixels 2 and 3
    placed, coverage = place_in_frame(values, shift)
    assert coverage.flatten().tolist() == pytest.approx([1, 0, 1.5, 1.5])
    assert placed.flatten().tolist()[2:] == pytest.approx([2, 2])  # 0.5 x 6 beside 1 x 0


def test_trust_decides_who_is_seen_where_tracks_meet():
    values = torch.tensor([[[5.0], [1.0]]])
    meet = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    hidden = torch.tensor([[1.0, 0.0]])
    assert place_in_frame(values, meet, hidden)[0][0, 1, 0] == 5


def test_a_weight_travels_with_its_object():
    values, shift = torch.zeros(20, 30, 1), torch.zeros(20, 30, 2)
    values[5:9, 4:8], shift[5:9, 4:8] = 10.0, torch.tensor([12.0, 6.0])
    placed, _ = place_in_frame(values, shift, values[..., 0] + 0.1)
    assert placed[11:15, 16:20].min() > 9
    assert placed[:10].max() == 0


def test_growth_leaves_no_holes_and_unseen_places_stay_empty():
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    growth = torch.stack([x - 9.5, y - 9.5], -1) * 0.8
    placed, _ = place_in_frame(torch.full((20, 20, 1), 3.0), growth)
    assert placed.min() == pytest.approx(3)
    away = torch.tensor([8.0, 0.0]).expand(20, 20, 2)
    placed, coverage = place_in_frame(torch.full((20, 20, 1), 3.0), away)
    assert placed[:, :7].max() == 0
    assert coverage[:, :8].max() == 0


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99), st.floats(0, 30))
@settings(max_examples=60, deadline=None)
def test_placed_values_stay_within_the_bounds_of_the_values(height, width, seed, reach):
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(height, width, 2, generator=generator)
    shift = (torch.rand(height, width, 2, generator=generator) - 0.5) * reach
    placed, coverage = place_in_frame(values, shift)
    assert placed.isfinite().all()
    assert placed.min() >= 0
    assert placed.max() <= values.max() + 1e-5
    assert coverage.sum() <= height * width + 1e-3

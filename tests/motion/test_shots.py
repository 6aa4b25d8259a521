"""Cuts and letterbox bars."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from motive.motion import find_cuts, picture_area


def picture(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 4.0)
    return (127 + 100 * smooth / np.abs(smooth).max()).astype(np.uint8)


def pan(seed: int, frames: int, step: int) -> np.ndarray:
    big = picture(seed, 96, 128 + step * frames)
    return np.stack([big[:, step * f : step * f + 128] for f in range(frames)])


def clip(*parts) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(parts))


def test_a_hard_cut_is_where_the_new_shot_begins():
    assert find_cuts(clip(pan(0, 5, 1), pan(1, 4, 2))) == (5,)
    assert find_cuts(clip(pan(0, 3, 1), pan(1, 1, 0), pan(2, 3, 0))) == (3, 4)


@pytest.mark.parametrize("step", [0, 1, 6, 16])
def test_a_pan_however_fast_is_no_cut(step):
    assert find_cuts(clip(pan(0, 6, step))) == ()


def test_a_large_fast_object_is_no_cut():
    frames = pan(0, 6, 0)
    for f in range(6):
        frames[f, 20:70, 10 + 8 * f : 60 + 8 * f] = picture(3)[:50, :50]
    assert find_cuts(clip(frames)) == ()


def test_a_fade_is_no_cut_and_black_to_picture_is_one():
    bright = pan(0, 9, 1)
    fade = (bright * np.linspace(1, 0, 9)[:, None, None, None]).astype(np.uint8)
    assert find_cuts(clip(fade)) == ()
    black = np.zeros_like(bright[:3])
    assert find_cuts(clip(black, bright)) == (3,)
    assert find_cuts(clip(black)) == ()
    assert find_cuts(clip(black, black + 16)) == ()


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (40, 33), (270, 480)])
def test_frames_of_any_size_are_looked_at(size):
    frames = np.random.default_rng(0).integers(0, 256, (3, *size, 3)).astype(np.uint8)
    assert set(find_cuts(clip(frames))) <= {1, 2}
    assert find_cuts(clip(frames[:1])) == ()


def letterboxed(top: int, left: int) -> torch.Tensor:
    frames = pan(0, 4, 2)
    noise = np.random.default_rng(0).integers(14, 18, frames.shape)
    box = noise.astype(np.uint8)
    height, width = 96 - 2 * top, 128 - 2 * left
    box[:, top : 96 - top, left : 128 - left] = frames[:, :height, :width]
    return clip(box)


@pytest.mark.parametrize(("top", "left"), [(12, 0), (0, 20), (10, 16), (0, 0)])
def test_bars_are_outside_the_picture(top, left):
    area = picture_area(letterboxed(top, left))
    expected = torch.zeros(96, 128, dtype=torch.bool)
    expected[top : 96 - top, left : 128 - left] = True
    assert torch.equal(area, expected)


def test_a_black_clip_is_all_picture():
    assert picture_area(torch.zeros(3, 16, 16, 3, dtype=torch.uint8)).all()


def test_a_dark_scene_with_something_in_it_is_all_picture():
    frames = np.full((3, 96, 128, 3), 10, np.uint8)
    frames[:, 90:94, 100:110] = 200  # far down in the dark: no bar is that large
    assert picture_area(clip(frames)).all()


def test_light_coming_on_in_the_dark_is_picture():
    frames = np.full((3, 96, 128, 3), 10, np.uint8)
    frames[:, 30:60] = picture(0)[30:60]
    frames[2, :20] = 22
    assert picture_area(clip(frames))[:20].all()

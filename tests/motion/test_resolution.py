"""Tracking at a lower resolution, and frames worked on side by side."""

from __future__ import annotations

import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from motive.motion import MotionConfig, measure_motion
from motive.motion.resolution import enlarge, enlarge_flow, shrink_frames
from motive.motion.side_by_side import side_by_side


@pytest.fixture
def threads():
    """Sets how many threads OpenCV may use, and puts it back."""
    before = cv2.getNumThreads()
    yield cv2.setNumThreads
    cv2.setNumThreads(before)


def moving(step=(6.0, -3.0), frames=4, height=150, width=210) -> torch.Tensor:
    noise = np.random.default_rng(0).normal(size=(height + 120, width + 120, 3))
    big = cv2.GaussianBlur(noise, (0, 0), 4.0)
    big = 127 + 100 * big / np.abs(big).max()
    clip = []
    for f in range(frames):
        matrix = np.float64([[1, 0, step[0] * f], [0, 1, step[1] * f]])
        clip.append(cv2.warpAffine(big, matrix, big.shape[1::-1])[60:-60, 60:-60])
    return torch.from_numpy(np.stack(clip).round().clip(0, 255).astype(np.uint8))


def test_displacements_stay_in_pixels_of_the_clip():
    pixels = moving()
    for displacement, frame, times in (("consecutive", 1, 1), ("anchor-literal", 2, 2)):
        config = MotionConfig(displacement=displacement, track_side=75)
        found = measure_motion(pixels, config).magnitude
        assert found.shape == pixels.shape[:3]
        expected = times * np.hypot(6, 3)
        assert found[frame, 30:-30, 30:-30].mean() == pytest.approx(expected, abs=0.3)


def test_smaller_frames_are_tracked_as_they_are():
    pixels = moving(frames=3)
    assert shrink_frames(pixels, 150) is pixels
    whole, same = (
        measure_motion(pixels, replace(MotionConfig(), track_side=side)) for side in (None, 150)
    )
    assert torch.equal(whole.magnitude, same.magnitude)
    assert whole.facts == same.facts


def test_sides_that_do_not_divide_are_scaled_each_by_its_own():
    pixels = torch.zeros(2, 100, 333, 3, dtype=torch.uint8)
    small = shrink_frames(pixels, 33)
    assert small.shape == (2, 33, 110, 3)
    flow = enlarge_flow(torch.ones(2, 33, 110, 2), (100, 333))
    assert flow[..., 0].unique().item() == pytest.approx(333 / 110)
    assert flow[..., 1].unique().item() == pytest.approx(100 / 33)
    assert enlarge(torch.full((2, 33, 110), 0.5), (100, 333)).unique().tolist() == [0.5]


def test_frames_come_in_order_and_only_a_few_wait(threads):
    threads(3)
    begun = []

    def work(number):
        begun.append(number)
        time.sleep(0.002 * (number % 3))
        return number * number

    ahead = [len(begun) - taken for taken, _ in enumerate(side_by_side(work, 40))]
    assert max(ahead) <= 2 * 3
    assert list(side_by_side(work, 10)) == [n * n for n in range(10)]
    assert list(side_by_side(work, 0)) == []


@pytest.mark.parametrize("count", [1, 3])
def test_an_error_in_one_frame_is_raised(threads, count):
    threads(count)

    def work(number):
        if number == 2:
            raise ValueError("frame 2")
        return number

    with pytest.raises(ValueError, match="frame 2"):
        list(side_by_side(work, 5))


@pytest.mark.parametrize("preset", ["default", "objects", "paper"])
def test_weights_and_facts_do_not_depend_on_threads(threads, preset):
    pixels = moving(frames=5, height=96, width=128)
    config = MotionConfig.preset(preset, tracker="dis", track_side=80)
    threads(1)
    alone = measure_motion(pixels, config)
    threads(4)
    together = measure_motion(pixels, config)
    assert torch.equal(alone.magnitude, together.magnitude)
    assert alone.facts == together.facts

"""Camera motion from flows made by known matrices, with objects in the way."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.errors import UsageError
from motive.motion import CameraMotion, DISTracker, fit_camera

HEIGHT, WIDTH = 96, 128


def camera_flow(matrix, height=HEIGHT, width=WIDTH) -> torch.Tensor:
    """Flow "1 h w 2" of a homography about the centre, written out pixel by pixel."""
    y, x = np.mgrid[:height, :width].astype(float)
    x, y = x - (width - 1) / 2, y - (height - 1) / 2
    ahead = np.einsum("ij,jhw->ihw", matrix, np.stack([x, y, np.ones_like(x)]))
    flow = np.stack([ahead[0] / ahead[2] - x, ahead[1] / ahead[2] - y], -1)
    return torch.from_numpy(flow[None].astype(np.float32))


def affine(dx=0.0, dy=0.0, growth=0.0, turn=0.0, shear=0.0):
    return np.array([[1 + growth, shear - turn, dx], [turn + shear, 1 + growth, dy], [0, 0, 1]])


def textured(count=1, height=HEIGHT, width=WIDTH, seed=0) -> torch.Tensor:
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    frame = (127 + 100 * smooth / np.abs(smooth).max()).astype(np.uint8)
    return torch.from_numpy(np.repeat(frame[None], count, 0))


def worst(found: CameraMotion, matrix) -> float:
    size = found.size
    return float((found.flow(0) - camera_flow(matrix, *size)[0]).norm(dim=-1).max())


MOTIONS = [
    affine(),
    affine(dx=3, dy=-1),
    affine(growth=0.03),
    affine(turn=0.02),
    affine(dx=-0.3, shear=0.01),
    affine(dx=12, growth=-0.05, turn=0.03),
]


@pytest.mark.parametrize("matrix", MOTIONS)
@pytest.mark.parametrize("with_pixels", [False, True])
def test_an_exact_affine_flow_gives_its_matrix(matrix, with_pixels):
    pixels = textured() if with_pixels else None
    found = fit_camera(camera_flow(matrix), pixels)
    assert worst(found, matrix) < 0.01
    assert found.support[0] == 1


def test_large_pictures_are_looked_at_smaller_and_measured_in_their_own_pixels():
    matrix, size = affine(dx=7, dy=-2, growth=0.01, turn=0.005), (301, 523)
    flow, pixels = camera_flow(matrix, *size), textured(1, *size)
    flow[0, 40:200, 100:250] += torch.tensor([6.0, 6.0])
    area = torch.ones(size, dtype=torch.bool)
    area[:30], flow[0, :30] = False, 0.0
    for given_pixels in (None, pixels):
        assert worst(fit_camera(flow, given_pixels, area=area), matrix) < 0.05


def test_anchored_flow_stands_in_the_picture_it_starts_from():
    matrices = [affine(), affine(dx=2), affine(dx=4)]
    flow = torch.cat([camera_flow(matrix) for matrix in matrices])
    pixels = torch.cat([textured(), textured(2) * 0])  # the others tell nothing
    found = fit_camera(flow, pixels, home=[0, 0, 0])
    assert np.abs(found.matrices - np.stack(matrices)).max() < 0.01
    assert np.array_equal(fit_camera(flow, pixels).matrices[1:], np.stack([np.eye(3)] * 2))


def test_a_homography_is_followed_where_an_affine_motion_cannot():
    matrix = affine(dx=1)
    matrix[2, :2] = (4e-4, -2e-4)
    flow = camera_flow(matrix)
    assert worst(fit_camera(flow, model="homography"), matrix) < 0.02
    assert worst(fit_camera(flow, model="affine"), matrix) > 0.3


CAMERAS = st.builds(
    affine, st.floats(-6, 6), st.floats(-6, 6), st.floats(-0.04, 0.04), st.floats(-0.04, 0.04)
)
SHARES, DIRECTIONS, SEEDS = st.floats(0.3, 0.45), st.floats(0, 2 * math.pi), st.integers(0, 5)


@given(CAMERAS, SHARES, st.floats(1, 11), DIRECTIONS, SEEDS)
@settings(max_examples=40, deadline=None)
def test_an_object_on_almost_half_of_the_picture_is_not_the_camera(
    matrix, share, speed, direction, seed
):
    assert error_beside_an_object(matrix, share, speed, direction, seed) < 0.05


@given(CAMERAS, SHARES, st.floats(0, 1), DIRECTIONS, SEEDS)
@settings(max_examples=40, deadline=None)
def test_an_object_that_moves_a_fraction_of_a_pixel_otherwise_hardly_pulls_the_camera(
    matrix, share, speed, direction, seed
):
    """Below ten times the noise an affine motion can lean over to the object, but never half."""
    error = error_beside_an_object(matrix, share, speed, direction, seed)
    assert error < 0.05 + 0.4 * speed
    assert error < 0.15 or speed > 0.35


@pytest.mark.xfail(strict=True, reason="a large object half a pixel off pulls the fit by 0.16 px")
def test_a_large_object_half_a_pixel_off_does_not_pull_the_camera():
    assert error_beside_an_object(affine(dy=1), 0.4375, 0.5, math.pi / 2, seed=2) < 0.15


def error_beside_an_object(matrix, share, speed, direction, seed):
    """Mean error in pixels of the fitted motion outside an object that fills a share.

    The object moves otherwise than the camera by `speed` pixels; the flow's noise is 0.1 px.
    """
    flow = camera_flow(matrix)
    side = share**0.5
    rows, columns = round(side * HEIGHT), round(side * WIDTH)
    rng = np.random.default_rng(seed)
    top = int(rng.integers(0, HEIGHT - rows + 1))
    left = int(rng.integers(0, WIDTH - columns + 1))
    flow[0, top : top + rows, left : left + columns] += torch.tensor(
        [speed * math.cos(direction), speed * math.sin(direction)]
    )
    flow += torch.from_numpy(rng.normal(0, 0.1, flow.shape)).float()
    found = fit_camera(flow)
    background = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
    background[top : top + rows, left : left + columns] = False
    error = (found.flow(0) - camera_flow(matrix)[0]).norm(dim=-1)[background]
    return float(error.mean())


def test_half_a_picture_in_the_middle_is_not_the_camera():
    matrix = affine(dx=2)
    flow = camera_flow(matrix)
    flow[0, 14:82, 19:109] = torch.tensor([-3.0, 1.0])  # 50 % of the picture
    assert worst(fit_camera(flow), matrix) < 0.1


def test_when_half_stands_still_and_half_moves_the_camera_stands_still():
    flow = torch.zeros(1, HEIGHT, WIDTH, 2)
    flow[0, :, 64:] = torch.tensor([4.0, 0.0])
    assert fit_camera(flow).flow(0).abs().max() < 0.1


def test_plain_surfaces_do_not_vote_about_the_camera():
    matrix = affine(dx=2, dy=1)
    pixels, flow = textured(), camera_flow(matrix)
    pixels[0, :70] = 128  # a grey sky, whose flow the tracker could only guess
    flow[0, :66] = torch.tensor([-1.0, 0.0])
    assert worst(fit_camera(flow, pixels), matrix) < 0.3
    assert worst(fit_camera(flow), matrix) > 1


def test_along_an_edge_the_flow_is_not_believed():
    matrix = affine(dy=2.0)
    pixels = torch.zeros(1, HEIGHT, WIDTH, 3, dtype=torch.uint8)
    pixels[:, 20:40], pixels[:, 60:80] = 200, 150  # bars: nothing tells how far they go sideways
    flow = camera_flow(matrix)
    flow[..., 0] = torch.linspace(-3, 3, WIDTH)
    down = fit_camera(flow, pixels).flow(0)[..., 1]
    assert (down - 2).abs().max() < 0.05


def test_nothing_to_hold_on_to_is_a_camera_that_stands_still():
    plain = torch.full((1, HEIGHT, WIDTH, 3), 90, dtype=torch.uint8)
    noise = torch.randn(1, HEIGHT, WIDTH, 2, generator=torch.Generator().manual_seed(0))
    assert fit_camera(noise, plain).flow(0).abs().max() == 0


def test_bars_outside_the_picture_do_not_count():
    matrix = affine(dx=3)
    flow = camera_flow(matrix)
    area = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    area[30:66] = True
    flow[:, ~area] = 0
    assert worst(fit_camera(flow, area=area), matrix) < 0.05
    assert fit_camera(flow).flow(0)[..., 0].mean() < 0.5


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 2), (5, 3), (8, 8), (16, 400), (33, 47)])
@pytest.mark.parametrize("model", ["affine", "homography"])
def test_any_size_gives_finite_motion(size, model):
    flow = torch.rand(2, *size, 2) * 4
    pixels = torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8)
    for given_pixels in (None, pixels):
        found = fit_camera(flow, given_pixels, model=model)
        for frame in range(2):
            assert found.flow(frame).isfinite().all()
            assert np.isfinite(found.mean_magnitude(frame))


def test_the_fit_is_the_same_every_time():
    flow = torch.rand(3, 40, 60, 2, generator=torch.Generator().manual_seed(1)) * 5
    first, second = fit_camera(flow), fit_camera(flow)
    assert np.array_equal(first.matrices, second.matrices)
    alone = fit_camera(flow[1:2])
    assert np.array_equal(alone.matrices[0], first.matrices[1])


def test_mean_magnitude_of_a_shift_is_its_length():
    shift = CameraMotion(affine(dx=3, dy=4)[None], np.ones(1), (40, 60))
    assert shift.mean_magnitude(0) == pytest.approx(5)


def test_a_panning_camera_is_found_in_real_flow():
    big = textured(height=140, width=180)[0].numpy()
    frames = np.stack([big[20:116, 20 + 2 * f : 148 + 2 * f] for f in range(3)])
    frames[:, 40:70, 50:90] = textured(height=30, width=40, seed=3)[0].numpy()  # stays in view
    pixels = torch.from_numpy(frames)
    flow = DISTracker().consecutive(pixels)
    assert worst(fit_camera(flow, pixels), affine(dx=-2)) < 0.2


def test_unknown_models_are_usage_errors():
    with pytest.raises(UsageError, match="must be one of affine, homography"):
        fit_camera(torch.zeros(1, 8, 8, 2), model="rigid")

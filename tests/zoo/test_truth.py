"""Ground truth of MotionZoo against numbers from other computations."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("newton")

from motive.errors import DatasetError
from motive.zoo.factors import draw_factors
from motive.zoo.make import clip_scene
from motive.zoo.motions import RADIUS
from motive.zoo.render import SceneRenderer
from motive.zoo.scenes import build_scene
from motive.zoo.schedule import Plan
from motive.zoo.shapes import deform_points, restore_points
from motive.zoo.truth import load_truth, save_truth, scene_truth

SIZE, FRAMES, FPS = 48, 5, 8.0


@pytest.fixture(scope="module")
def renderer():
    return SceneRenderer(SIZE)


def scene_of(motion, *, frozen=False, **change):
    factors = replace(draw_factors(np.random.default_rng(3)), rod="none", distractors=(), **change)
    rng = np.random.default_rng(4)
    return build_scene(motion, factors, rng, frames=FRAMES, fps=FPS, frozen=frozen)


def rotation(quaternion):
    """Matrix of (x, y, z, w), by the textbook formula."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


FLIP = np.diag([1.0, -1.0, -1.0])  # from OpenGL's camera axes to the axes of the pinhole matrix


def pixel_rays(intrinsics):
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    return np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(intrinsics).T


def warped(image, flow):
    """Bilinear look-up of `image` at every pixel plus its flow, clamped at the border."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    x, y = (np.clip(v, 0, SIZE - 1.001) for v in (x + flow[..., 0], y + flow[..., 1]))
    i, j = y.astype(int), x.astype(int)
    a, b = (y - i)[..., None], (x - j)[..., None]
    top = image[i, j] * (1 - b) + image[i, j + 1] * b
    return top * (1 - a) + (image[i + 1, j] * (1 - b) + image[i + 1, j + 1] * b) * a


def test_a_sliding_ball_moves_as_the_sphere_and_the_pinhole_say(renderer):
    scene = scene_of("slide", shape="ball", camera="static")
    truth = scene_truth(scene, renderer, {})
    turn, eye = rotation(truth.camera_poses[0, 3:]), truth.camera_poses[0, :3]
    centre = scene.body_centres()
    rays = pixel_rays(truth.intrinsics[0]) @ FLIP @ turn.T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    along = rays @ (centre[0] - eye)
    gap = np.linalg.norm(centre[0] - eye) ** 2 - along**2
    deep = gap < (0.8 * RADIUS) ** 2  # away from the outline, where triangles miss the sphere
    points = eye + rays * (along - np.sqrt(np.maximum(RADIUS**2 - gap, 0.0)))[..., None]
    moved = ((points + centre[-1] - centre[0] - eye) @ turn @ FLIP) @ truth.intrinsics[0].T
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    expected = moved[..., :2] / moved[..., 2:] - np.stack([x, y], axis=-1)
    assert deep.sum() > 50
    assert (truth.objects[0][deep] == 1).all()
    assert np.linalg.norm(expected[deep], axis=-1).mean() > 3.0
    np.testing.assert_allclose(truth.start_flow[-1][deep], expected[deep], atol=0.08)


def test_a_pan_moves_everything_by_the_rotation_homography(renderer):
    scene = scene_of("bounce", frozen=True, camera="pan")
    truth = scene_truth(scene, renderer, {})
    first, last = (rotation(truth.camera_poses[k, 3:]) @ FLIP for k in (0, -1))
    seen = pixel_rays(truth.intrinsics[0]) @ (last.T @ first).T @ truth.intrinsics[-1].T
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    expected = seen[..., :2] / seen[..., 2:] - np.stack([x, y], axis=-1)
    assert np.abs(expected).max() > 1.0
    np.testing.assert_allclose(truth.start_flow[-1], expected, atol=2e-3)


def test_a_zoom_scales_the_image_about_its_centre(renderer):
    truth = scene_truth(scene_of("spin", frozen=True, camera="zoom"), renderer, {})
    ratio = truth.intrinsics[-1, 0, 0] / truth.intrinsics[0, 0, 0]
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2
    assert abs(ratio - 1.0) > 0.05
    expected = np.stack([x, y], axis=-1) * (ratio - 1.0)
    np.testing.assert_allclose(truth.start_flow[-1], expected, atol=2e-3)


def test_nothing_moves_in_a_static_decoy(renderer):
    factors, scene = clip_scene(0, "test", 1, Plan("roll", "static"), frames=FRAMES, fps=FPS)
    truth = scene_truth(scene, renderer, asdict(factors))
    assert np.abs(truth.step_flow).max() < 1e-3
    assert np.abs(truth.start_flow).max() < 1e-3
    assert truth.start_visible.mean() > 0.995
    assert (truth.objects == truth.objects[0]).all()


@pytest.mark.parametrize("motion", ["spin", "explode", "compress", "stretch", "swing", "roll"])
def test_the_next_frame_warped_back_is_this_frame(renderer, motion):
    scene = scene_of(motion, camera="static", pattern="dotted")
    truth, frames = scene_truth(scene, renderer, {}), renderer.render(scene).astype(float)
    errors, still = [], []
    for k in range(FRAMES - 1):
        body = (truth.objects[k] == 1) & truth.step_visible[k]
        back = np.abs(warped(frames[k + 1], truth.step_flow[k]) - frames[k]).mean(axis=-1)
        errors.append(back[body])
        still.append(np.abs(frames[k + 1] - frames[k]).mean(axis=-1)[body])
    error, unmoved = (float(np.concatenate(e).mean()) for e in (errors, still))
    assert error < 0.55 * unmoved


def test_hidden_and_departed_points_are_not_visible(renderer):
    # Half a turn takes the side that faced the camera to the back.
    scene = scene_of("spin", shape="ball", camera="static", variant=(0.5,) * 6)
    truth = scene_truth(scene, renderer, {})
    body = truth.objects[0] == 1
    assert truth.start_visible[-1][body].mean() < 0.35
    assert truth.start_visible[0][~body].mean() > 0.9
    sums = truth.start_flow[-1] + np.stack(np.mgrid[:SIZE, :SIZE][::-1] + 0.5, axis=-1)
    outside = ((sums < 0) | (sums > SIZE)).any(axis=-1)
    assert not truth.start_visible[-1][outside].any()


@given(
    ratio=st.floats(0.4, 2.1),
    bulge=st.floats(-0.3, 0.4),
    axis=st.integers(0, 2),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_restoring_undoes_a_deformation(ratio, bulge, axis, seed):
    points = np.random.default_rng(seed).uniform(-0.5, 0.5, size=(20, 3))
    moved = deform_points(points, 0.5, axis, ratio, bulge)
    np.testing.assert_allclose(restore_points(moved, 0.5, axis, ratio, bulge), points, atol=1e-9)


def test_objects_are_named(renderer):
    drawn = (draw_factors(np.random.default_rng(seed)) for seed in range(99))
    factors = next(f for f in drawn if f.rod != "none" and len(f.distractors) == 2)
    rng = np.random.default_rng(0)
    scene = build_scene("slide", factors, rng, frames=FRAMES, fps=FPS)
    truth = scene_truth(scene, renderer, asdict(factors))
    assert truth.object_names == ("background", "body", "rod", "distractor", "distractor")
    assert set(np.unique(truth.objects)) <= set(range(5))
    assert (truth.objects == 1).mean() > 0.03


def test_truth_survives_a_file_within_half_precision(renderer, tmp_path):
    scene = scene_of("swing")
    truth = scene_truth(scene, renderer, {"shape": "ball", "variant": [0.5]})
    save_truth(tmp_path / "truth" / "a.npz", truth)
    read = load_truth(tmp_path / "truth" / "a.npz")
    for name in ("step_visible", "start_visible", "objects", "camera_poses", "intrinsics"):
        np.testing.assert_array_equal(getattr(read, name), getattr(truth, name))
    np.testing.assert_allclose(read.start_flow, truth.start_flow, rtol=1e-3, atol=1e-3)
    assert read.step_flow.dtype == np.float32
    assert (read.object_names, read.factors) == (truth.object_names, truth.factors)
    assert [p.name for p in (tmp_path / "truth").iterdir()] == ["a.npz"]


def test_a_missing_damaged_or_foreign_file_is_one_line(renderer, tmp_path):
    with pytest.raises(DatasetError, match=r"a.npz: no ground truth there"):
        load_truth(tmp_path / "a.npz")
    save_truth(tmp_path / "b.npz", scene_truth(scene_of("swing"), renderer, {}))
    whole = (tmp_path / "b.npz").read_bytes()
    np.savez(tmp_path / "c.npz", format=np.array(1), step_flow=np.array([{}], dtype=object))
    np.savez(tmp_path / "d.npz", format=np.array(99))
    (tmp_path / "b.npz").write_bytes(whole[: len(whole) // 2])
    for name, words in (("b", "damaged"), ("c", "damaged"), ("d", "of format 99")):
        with pytest.raises(DatasetError, match=words) as caught:
            load_truth(tmp_path / f"{name}.npz")
        assert "\n" not in str(caught.value)

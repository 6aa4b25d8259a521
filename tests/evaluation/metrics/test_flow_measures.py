"""Motion measures on flows and pictures whose answer is known."""

from types import MappingProxyType

import numpy as np
import pytest
from scipy import ndimage

from fake_metrics import ConstantFlow, drifting, numbered, shown
from motive.errors import ModelError
from motive.evaluation.metrics.dynamic import DynamicDegree
from motive.evaluation.metrics.flow import EveryNth, backward_flow, forward_flow
from motive.evaluation.metrics.flow_quality import FlowQuality, structural_similarity
from motive.evaluation.metrics.interpolation import (
    DISMidpoint,
    InterpolationSmoothness,
    NamedInterpolator,
)
from motive.evaluation.metrics.stillness import Stillness
from motive.evaluation.metrics.working_size import AtWorkingSize
from motive.motion import DISTracker

KEYS = ("dynamic_degree", "dynamic_margin")


def test_dynamic_degree_with_a_known_flow_is_the_formula():
    # Height 16: the threshold is 0.375 px. Nine frames need two moving pairs.
    still, fast = (0.0, 0.0), (0.3, 0.4)
    steps = [still] * 6 + [fast] * 2
    assert shown(DynamicDegree(KEYS, ConstantFlow(*steps)), numbered(9)) == {
        "dynamic_degree": 1.0,
        "dynamic_margin": pytest.approx(0.5 / 0.375),
    }
    steps = [still] * 7 + [fast]
    found = shown(DynamicDegree(KEYS, ConstantFlow(*steps)), numbered(9))
    assert found == {"dynamic_degree": 0.0, "dynamic_margin": 0.0}


@pytest.mark.parametrize("chunk", [1, 4, 8])
def test_only_every_second_frame_of_sixteen_per_second_is_looked_at(chunk):
    flow = ConstantFlow(*[(1.0, 0.0)] * 20)
    shown(DynamicDegree(KEYS, flow), numbered(17), fps=16, chunk=chunk)
    assert flow.calls == 8  # pairs of frames 0, 2, ..., 16


def test_every_nth_frame_does_not_depend_on_how_the_stream_is_cut():
    frames = numbered(20)
    for chunk in (1, 3, 7, 20):
        picker = EveryNth(3)
        parts = [picker.pick(frames[i : i + chunk]) for i in range(0, 20, chunk)]
        assert np.concatenate(parts)[:, 0, 0, 0].tolist() == [0, 3, 6, 9, 12, 15, 18]


def test_one_frame_has_no_dynamic_degree():
    found = shown(DynamicDegree(KEYS, DISTracker()), numbered(1))
    assert all("one frame" in why for why in found.values())


def test_backward_flow_leads_from_each_frame_to_the_one_before_it():
    frames = drifting(4, 2.0)
    there = forward_flow(DISTracker(), frames)[:, 20:-20, 20:-20]
    back = backward_flow(DISTracker(), frames)[:, 20:-20, 20:-20]
    assert np.abs(there[..., 0] - 2).mean() < 0.2
    assert np.abs(back[..., 0] + 2).mean() < 0.2


def test_interpolation_compares_the_odd_frames_with_the_middle_of_their_neighbours():
    class First:
        settings = MappingProxyType({"fake": "the first of the two"})

        def __call__(self, first, second):
            return first

    # |1 - 0|, |3 - 2|; frame 5 has no even frame after it and is not judged.
    found = shown(InterpolationSmoothness("motion_smoothness", First()), numbered(6), chunk=2)
    assert found == {"motion_smoothness": pytest.approx((255 - 1) / 255)}


def test_two_frames_have_no_odd_frame_between_even_ones():
    found = shown(InterpolationSmoothness("motion_smoothness", DISMidpoint()), numbered(2))
    assert "three frames" in found["motion_smoothness"]


def test_the_built_in_midpoint_follows_the_motion_better_than_a_mean_of_frames():
    frames = drifting(3, 3.0)
    middle = DISMidpoint()(frames[0], frames[2])[8:-8, 16:-16]
    real = frames[1][8:-8, 16:-16].astype(float)
    blend = (frames[0].astype(float) + frames[2])[8:-8, 16:-16] / 2
    assert np.abs(middle - real).mean() < 0.3 * np.abs(blend - real).mean()


def test_a_function_of_the_users_interpolates_and_is_checked(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "def middle(a, b):\n    return a\n\ndef wrong(a, b):\n    return a.astype(float)\n"
    )
    found = shown(
        InterpolationSmoothness("motion_smoothness", NamedInterpolator(f"{path}:middle")),
        numbered(3),
    )
    assert found["motion_smoothness"] == pytest.approx(254 / 255)
    with pytest.raises(ModelError, match="uint8"):
        NamedInterpolator(f"{path}:wrong")(numbered(1)[0], numbered(1)[0])


def test_constant_velocity_is_perfectly_smooth_and_free_of_jerk():
    found = shown(FlowQuality(ConstantFlow(*[(1.0, 0.0)] * 5)), numbered(6))
    assert found["flow_smoothness"] == pytest.approx(1.0)
    assert found["flow_jerk"] == pytest.approx(0.0)


def test_velocity_that_turns_around_has_no_smoothness():
    steps = [(1.0, 0.0), (-1.0, 0.0)] * 3
    found = shown(FlowQuality(ConstantFlow(*steps)), numbered(6))
    assert found["flow_smoothness"] == pytest.approx(0.0)
    assert found["flow_jerk"] == pytest.approx(1.0)


def test_smoothness_and_jerk_of_a_changing_velocity_by_hand():
    found = shown(FlowQuality(ConstantFlow((1.0, 0.0), (2.0, 0.0), (2.0, 0.0))), numbered(4))
    # Accelerations 1 and 0 over 1 + 2 and 2 + 2; jerk |2 - 4 + 1| over 1 + 4 + 2.
    assert found["flow_smoothness"] == pytest.approx(1 - 1 / 7, abs=0.01)
    assert found["flow_jerk"] == pytest.approx(1 / 7, abs=0.01)


def test_smoothness_does_not_depend_on_how_the_video_is_cut():
    frames = drifting(9, lambda i: 2 + i % 2)
    known = shown(FlowQuality(DISTracker()), frames, chunk=9)
    for chunk in (1, 2, 4):
        assert shown(FlowQuality(DISTracker()), frames, chunk=chunk) == pytest.approx(known)


def test_shaking_is_less_smooth_than_drifting():
    steady = shown(FlowQuality(DISTracker()), drifting(7, 2.0))
    shaking = shown(FlowQuality(DISTracker()), drifting(7, lambda i: 2.0 if i % 2 else -2.0))
    assert steady["flow_smoothness"] > 0.9
    assert shaking["flow_smoothness"] < 0.3
    assert shaking["flow_jerk"] > steady["flow_jerk"]


def test_warping_error_by_hand():
    # Frame i is i everywhere and nothing moves: each pair differs by one grey level.
    found = shown(FlowQuality(ConstantFlow(*[(0.0, 0.0)] * 3)), numbered(4))
    assert found["warping_error"] == pytest.approx(1 / 255**2)
    assert "nothing moves" in found["flow_smoothness"]


def test_warping_error_ignores_motion_and_sees_flashes():
    moving = drifting(5, 2.0)
    flashing = moving.copy()
    flashing[2] = np.clip(flashing[2].astype(int) + 30, 0, 255)
    quiet, loud = (shown(FlowQuality(DISTracker()), frames) for frames in (moving, flashing))
    assert quiet["warping_error"] < 0.1 * loud["warping_error"]
    assert quiet["temporal_consistency"] > loud["temporal_consistency"]


def test_structural_similarity_agrees_with_an_independent_one():
    first = drifting(1, 0)[0][..., 0]
    noise = np.random.default_rng(1).normal(0, 12, first.shape)
    second = np.clip(first + noise, 0, 255).astype(np.uint8)

    def blur(values):
        return ndimage.gaussian_filter(values, 1.5, truncate=5 / 1.5, mode="mirror")

    a, b = first.astype(float), second.astype(float)
    ma, mb = blur(a), blur(b)
    va, vb, cov = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
    c1, c2 = 6.5025, 58.5225
    known = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    assert np.allclose(structural_similarity(first, second), known, atol=1e-6)
    assert structural_similarity(first, first) == pytest.approx(1.0)


def test_frozen_frames_are_those_in_which_nothing_changes():
    frames = drifting(5, 3.0)
    frames[3] = frames[2]  # one of four pairs
    assert shown(Stillness(), frames)["frozen_frames"] == pytest.approx(0.25)


def test_the_still_area_is_what_never_changes():
    frames = np.full((4, 32, 32, 3), 80, np.uint8)
    frames[1:, :8, :16] = 200  # two of sixteen blocks change once
    found = shown(Stillness(), frames)
    assert found["still_area"] == pytest.approx(14 / 16)
    assert found["frozen_frames"] == pytest.approx(2 / 3)
    assert found["flicker"] == 0.0  # what changes and stays is no flicker


def test_flicker_is_change_that_the_next_frame_takes_back():
    frames = np.full((5, 16, 16, 3), 100, np.uint8)
    frames[1::2] = 110
    assert shown(Stillness(), frames)["flicker"] == pytest.approx(10.0)


def test_measures_at_working_size_see_small_frames_and_their_size():
    seen = []

    class Sizes:
        keys, settings = ("x",), {}

        def begin(self, video):
            seen.append((video.height, video.width))
            return self

        def add(self, frames):
            seen.append(frames.shape[1:3])

        def finish(self):
            return {"x": 1.0}

    assert shown(AtWorkingSize(Sizes()), numbered(2, 480, 832)) == {"x": 1.0}
    shown(AtWorkingSize(Sizes()), numbered(1, 64, 64))
    assert seen == [(256, 444), (256, 444), (64, 64), (64, 64)]

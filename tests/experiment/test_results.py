"""Intervals and verdicts: against independent computations, and against false certainty."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from motive.evaluation.metrics import BY_KEY
from motive.experiment.results import (
    difference_of,
    estimate_of,
    prompt_interval,
    results_of,
    table_columns,
)

SHOWN, MARGIN = BY_KEY["motion_shown"], BY_KEY["dynamic_margin_dis"]


def test_the_interval_is_that_of_a_t_test_on_prompt_means():
    rng = np.random.default_rng(0)
    means = rng.normal(size=30)
    values = np.repeat(means, 3) + 0.01 * rng.normal(size=90)
    prompts = [str(i) for i in np.repeat(np.arange(30), 3)]
    low, high = prompt_interval(values.tolist(), prompts)
    per_prompt = values.reshape(30, 3).mean(axis=1)
    half = stats.t.ppf(0.975, 29) * per_prompt.std(ddof=1) / math.sqrt(30)
    assert (low, high) == pytest.approx(
        (per_prompt.mean() - half, per_prompt.mean() + half), abs=0.08 * half
    )


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        values = (rng.normal(size=(12, 1)) + rng.normal(size=(12, 3))).ravel()
        low, high = prompt_interval(values.tolist(), [str(i) for i in np.repeat(np.arange(12), 3)])
        hits += low <= 0 <= high
    assert 0.92 <= hits / 300 <= 0.985


def test_videos_of_one_prompt_count_as_one():
    alone = prompt_interval([0.0, 1.0, 0.0, 1.0], ["a", "b", "c", "d"])
    doubled = prompt_interval([0.0, 1.0, 0.0, 1.0] * 5, ["a", "b", "c", "d"] * 5)
    assert doubled == pytest.approx(alone)


def test_one_prompt_has_no_interval():
    assert prompt_interval([1.0, 2.0], ["a", "a"]) is None
    assert estimate_of(MARGIN, [1.0], ["a"]).low is None


def test_a_share_that_is_always_the_same_is_not_certain():
    prompts = [str(i) for i in range(20)]
    found = estimate_of(SHOWN, [0.0] * 20, prompts)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(0.1611, abs=1e-4)  # Wilson: z² / (n + z²)
    change = difference_of(SHOWN, [0.0] * 18, prompts[:18])
    assert (change.low, change.high) == pytest.approx((-0.098, 0.098), abs=1e-3)


def test_paired_shares_have_the_interval_of_agresti_and_min():
    # Table 1 of many texts: 50 pairs, 12 won, 4 lost; 0.5 added to each of the four cells.
    values = [1.0] * 12 + [-1.0] * 4 + [0.0] * 34
    found = difference_of(SHOWN, values, [str(i) for i in range(50)])
    middle = (12.5 - 4.5) / 52
    half = 1.96 * math.sqrt(17 - 8**2 / 52) / 52
    assert found.low <= middle - half + 1e-4
    assert found.high >= middle + half - 1e-4
    assert found.value == pytest.approx(0.16)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=4, max_size=60))
def test_an_interval_holds_its_value(values):
    found = difference_of(SHOWN, values, [str(i // 2) for i in range(len(values))])
    assert found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high


def test_differences_are_paired_by_prompt_and_seed(invented):
    noise = np.random.default_rng(0).normal(size=24)
    about, videos = invented({"base": noise, "motive": noise + 1.0}, key="dynamic_margin_dis")
    found = results_of(about, list(reversed(videos))).difference("base", "dynamic_margin_dis")
    assert found.pairs == 24
    assert found.prompts == 12
    assert (found.estimate.low, found.estimate.high) == pytest.approx((1.0, 1.0))
    assert found.seeds == pytest.approx({0: 1.0, 1: 1.0})
    assert found.shown


def test_a_difference_that_one_seed_contradicts_is_not_shown(invented):
    change = np.concatenate([np.full(12, 3.0), np.full(12, -0.1)])
    about, videos = invented({"base": np.zeros(24), "motive": change}, key="dynamic_margin_dis")
    found = results_of(about, videos).difference("base", "dynamic_margin_dis")
    assert found.estimate.low > 0
    assert not found.shown


def test_one_training_shows_nothing(invented):
    values = {"base": np.zeros(12), "motive": np.ones(12)}
    about, videos = invented(values, key="dynamic_margin_dis", seeds=(0,))
    assert not results_of(about, videos).difference("base", "dynamic_margin_dis").shown


def test_few_prompts_show_nothing(invented):
    about, videos = invented(
        {"base": np.zeros(8), "motive": np.ones(8)}, key="dynamic_margin_dis", prompts=4
    )
    assert not results_of(about, videos).difference("base", "dynamic_margin_dis").shown


def test_nothing_is_shown_where_nothing_is(invented):
    rng = np.random.default_rng(3)
    false = 0
    for _ in range(60):
        draws = {name: rng.random(24) < 0.4 for name in ("base", "motive")}
        about, videos = invented(draws)
        false += results_of(about, videos).difference("base", "motion_shown").shown
    assert false <= 3


def test_what_was_not_measured_has_no_number_and_says_why(invented):
    about, videos = invented({"base": np.zeros(24), "motive": np.ones(24)})
    about.metrics.append("imaging_quality")
    for video in videos:
        video.why["imaging_quality"] = "needs MUSIQ"
    results = results_of(about, videos)
    assert results.keys == ["motion_shown"]
    assert results.unmeasured == {"imaging_quality": "needs MUSIQ"}
    assert results.cell("base", "imaging_quality") is None


def test_cells_tell_seeds_and_motions(invented):
    values = np.zeros(24)
    values[:12] = 1
    about, videos = invented({"motive": values})
    cell = results_of(about, videos).cell("motive", "motion_shown")
    assert cell.seeds == {0: 1.0, 1: 0.0}
    assert {m: e.value for m, e in cell.motions.items()} == {"spin": 0.5, "bounce": 0.5}
    assert cell.videos == 24


def test_the_table_has_vbenchs_dimensions_or_what_stands_in_for_them():
    everything = list(BY_KEY)
    assert table_columns(everything, "motion_shown")[:7] == [
        "motion_shown", "official_subject_consistency", "official_background_consistency",
        "official_motion_smoothness", "official_dynamic_degree", "official_aesthetic_quality",
        "official_imaging_quality",
    ]  # fmt: skip
    own = [key for key in everything if BY_KEY[key].group in ("built-in", "motion")]
    assert table_columns(own, "motion_shown")[:3] == [
        "motion_shown", "interpolation_smoothness", "dynamic_degree_dis",
    ]  # fmt: skip
    assert len(table_columns(own, "motion_shown")) >= 4

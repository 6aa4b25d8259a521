"""Tables say what the rows say: means, intervals, pairs, reasons, and what to beware of."""

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from motive.evaluation.fidelity import wilson_share
from motive.evaluation.metrics import (
    Video,
    VideoRow,
    cautions,
    clustered_interval,
    not_measured,
    summarise,
    summary_json,
    summary_markdown,
    summary_table,
    write_videos,
)
from motive.evaluation.metrics.watching import VideoFacts


def facts(**changes):
    given = {"frames": 17, "fps": 16.0, "seconds": 17 / 16, "height": 64, "width": 64}
    return VideoFacts(**(given | {"kind": ".mp4"} | changes))


def row(condition, name, values, *, prompt="", why=None, error=None, **changes):
    video = Video(condition, f"{condition}/{name}.mp4", name, prompt)
    known = None if error else facts(**changes)
    return VideoRow(video, name, "d" * 32, known, values, why or {}, error)


def rows_of(condition, key, values, prompts=None):
    prompts = prompts or [f"p{i}" for i in range(len(values))]
    return [
        row(condition, f"v{i}", {key: value}, prompt=prompt)
        for i, (value, prompt) in enumerate(zip(values, prompts, strict=True))
    ]


def test_a_share_has_wilsons_interval():
    rows = rows_of("a", "dynamic_degree_dis", [1.0] * 7 + [0.0] * 3)
    cell = summarise(rows, ["a"], ["dynamic_degree_dis"]).cell("a", "dynamic_degree_dis")
    known = wilson_share(7, 10)
    assert (cell.value, cell.low, cell.high) == (0.7, known.low, known.high)


def test_a_mean_has_a_bootstrap_interval_around_it():
    values = np.random.default_rng(0).normal(0.5, 0.1, 40).tolist()
    cell = summarise(rows_of("a", "flicker", values), ["a"], ["flicker"]).cell("a", "flicker")
    assert cell.value == pytest.approx(np.mean(values))
    spread = 1.96 * np.std(values) / np.sqrt(40)
    assert cell.low == pytest.approx(cell.value - spread, abs=0.3 * spread)
    assert cell.high == pytest.approx(cell.value + spread, abs=0.3 * spread)


def test_videos_of_one_prompt_are_drawn_together():
    prompts = [f"p{i // 10}" for i in range(40)]
    values = [float(i // 10) for i in range(40)]  # ten equal videos per prompt
    together = clustered_interval(values, prompts)
    apart = clustered_interval(values, range(40))
    four = clustered_interval([0.0, 1.0, 2.0, 3.0], range(4))
    assert together == four
    assert together[1] - together[0] > 2 * (apart[1] - apart[0])


def test_one_video_has_a_value_and_no_interval():
    cell = summarise(rows_of("a", "flicker", [0.5]), ["a"], ["flicker"]).cell("a", "flicker")
    assert (cell.value, cell.low, cell.high) == (0.5, None, None)


def test_differences_are_of_the_videos_that_belong_together():
    base = rows_of("base", "flicker", [1.0, 2.0, 3.0])
    tuned = [*rows_of("tuned", "flicker", [1.5, 2.5, 3.5]), row("tuned", "alone", {"flicker": 99})]
    found = summarise(base + tuned, ["base", "tuned"], ["flicker"]).difference("tuned", "flicker")
    # Every video gained the same, so the paired interval has no width though the means spread.
    assert (found.value, found.low, found.high, found.pairs) == (0.5, 0.5, 0.5, 3)


def test_nothing_in_common_is_no_difference_rather_than_zero():
    rows = [row("a", "x", {"flicker": 1.0}), row("b", "y", {"flicker": 2.0})]
    assert summarise(rows, ["a", "b"], ["flicker"]).differences == []


def test_what_was_not_measured_is_absent_with_its_commonest_reason():
    rows = [
        row("a", "x", {"flicker": 1.0}),
        row("a", "y", {}, why={"flicker": "one frame"}),
        row("a", "z", {}, error="z.mp4: damaged"),
        row("a", "w", {}, why={"flicker": "one frame"}),
    ]
    summary = summarise(rows, ["a"], ["flicker", "imaging_quality"])
    cell = summary.cell("a", "flicker")
    assert (cell.value, cell.videos, cell.missing, cell.why) == (1.0, 1, 3, "one frame")
    assert summary.cell("a", "imaging_quality").value is None
    assert "flicker: not measured for a (3 of its videos): one frame" in not_measured(summary)
    page = summary_markdown(summary, [], rows)
    assert "z.mp4: damaged" in page
    assert "not measured" in page


def test_the_page_shows_conditions_side_by_side_with_clear_differences_in_bold():
    base = rows_of("base", "temporal_consistency", [0.1, 0.2, 0.3])
    tuned = rows_of("a|b", "temporal_consistency", [0.2, 0.31, 0.4])
    summary = summarise(base + tuned, ["base", "a|b"], ["temporal_consistency"])
    page = summary_markdown(summary, ["read this"], base + tuned, "motive evaluate base ab")
    assert "| | base | a\\|b |" in page
    assert "**Δ +10.3 [" in page
    assert "- read this" in page
    shown = io.StringIO()
    Console(width=120, file=shown).print(summary_table(summary))
    text = shown.getvalue()
    assert "consistency ↑" in text
    assert "Δ +10.3" in text


def test_the_files_hold_everything(tmp_path):
    rows = [
        row("a", "x", {"flicker": 0.25}, prompt="é 球"),
        row("a", "y", {}, why={"flicker": "one frame"}, frames=1),
        row("a", "z", {}, error="z.mp4: file not found"),
    ]
    write_videos(tmp_path / "videos.parquet", rows, ["flicker"])
    table = pq.read_table(tmp_path / "videos.parquet").to_pylist()
    assert [entry["flicker"] for entry in table] == [0.25, None, None]
    assert [entry["frames"] for entry in table] == [17, 1, None]
    assert json.loads(table[1]["not_measured"]) == {"flicker": "one frame"}
    assert table[2]["error"] == "z.mp4: file not found"
    assert table[0]["prompt"] == "é 球"
    summary = summarise(rows, ["a"], ["flicker"])
    found = json.loads(json.dumps(summary_json(summary, [], {"x": 1}), allow_nan=False))
    assert found["summary"][0]["value"] == 0.25
    assert found["metrics"]["flicker"]["group"] == "built-in"


def told(rows, keys, conditions=("a",), **options):
    return " ".join(cautions(rows, summarise(rows, list(conditions), list(keys)), **options))


def many(key="dynamic_degree_dis", count=120, **changes):
    return [row("a", f"v{i}", {key: 1.0}, prompt=f"p{i}", **changes) for i in range(count)]


def test_a_clean_set_of_videos_needs_no_caution():
    assert told(many(), ["dynamic_degree_dis"]) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fps": 12.0}, "12 fps is sampled at 6"),
        ({"fps": 20.0}, "20 fps is sampled at 10"),
        ({"fps": 0.0}, "state no frame rate"),
        ({"seconds": 5.0625, "frames": 81}, "81 frames at 16 fps"),
        ({"kind": ".gif"}, "GIF"),
        ({"frames": 3}, "always says yes"),
    ],
)
def test_what_vbenchs_own_definition_depends_on_is_said(changes, words):
    assert words in told(many(**changes), ["dynamic_degree_dis"])


def test_mixed_rates_and_sizes_are_said():
    rows = [*many(), row("a", "other", {"dynamic_degree_dis": 0.0}, fps=24.0, width=128)]
    found = told(rows, ["dynamic_degree_dis"])
    assert "16, 24 fps" in found
    assert "2 sizes" in found


def test_few_videos_and_another_flow_are_said():
    found = told(many("dynamic_degree", 50), ["dynamic_degree"], flow="dis")
    assert "steps of 2 %" in found
    assert "not its number" in found


def test_several_seeds_per_prompt_are_said():
    rows = [row("a", f"v{i}", {"dynamic_degree_dis": 1.0}, prompt="p") for i in range(120)]
    assert "several videos per prompt" in told(rows, ["dynamic_degree_dis"])


def test_videos_without_a_partner_are_said():
    rows = [*many(), row("b", "v0", {"dynamic_degree_dis": 1.0}, prompt="p0")]
    assert "1 of its 1 videos" in told(rows, ["dynamic_degree_dis"], ("a", "b"))


def test_the_weighting_of_one_gpu_is_said_where_lengths_differ():
    key = "subject_consistency"
    rows = [row("a", "x", {key: 0.9}, frames=11), row("a", "y", {key: 0.6}, frames=31)]
    found = told(rows, [key])
    # (10 x 0.9 + 30 x 0.6) / 40 = 0.675 against a mean over videos of 0.75
    assert "75.00 is the mean over videos" in found
    assert "67.50" in found

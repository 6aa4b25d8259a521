"""Charts show every value inside their frame and lose none."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from motive.report import (
    Comparison,
    ComparisonRow,
    Estimate,
    Metric,
    QueryReport,
    ReportClip,
    ScoredClip,
    charts,
)

CLIP = ReportClip(id="0", video=Path("0.mp4"))
SCORES = st.lists(st.floats(-1, 1, allow_nan=False, width=32), min_size=1, max_size=80)


def query(scores, threshold=None, same=None):
    scores = np.asarray(scores, dtype=np.float64)
    best, worst = ScoredClip(CLIP, scores.max(), 1), ScoredClip(CLIP, scores.min(), scores.size)
    return QueryReport(CLIP, [best], [worst], scores, threshold, same_label=same)


@settings(deadline=None)
@given(scores=SCORES, threshold=st.floats(-1, 1))
@example(scores=[1.0], threshold=np.nextafter(1.0, 0.0))
@example(scores=[0.0], threshold=5e-324)
def test_histogram_keeps_every_score_and_every_mark_inside(scores, threshold):
    drawn = charts.histogram(query(scores, threshold))
    total = sum(bar.same + bar.other for bar in drawn.bars) * drawn.peak / 100
    assert total == pytest.approx(len(scores), abs=0.02 * len(drawn.bars) * drawn.peak)
    assert drawn.above == sum(score > threshold for score in scores)
    for at in (*drawn.positives, *drawn.negatives, drawn.threshold):
        assert 0 <= at <= 100
    for bar in drawn.bars:
        assert 0 <= bar.left <= bar.left + bar.width <= 100.02
        assert 0 < bar.same + bar.other <= 100.02
    assert 1 <= len(drawn.axis.ticks) <= 10


def test_histogram_splits_bars_by_label():
    scores = np.array([-0.2, -0.2, 0.3, 0.3, 0.3])
    drawn = charts.histogram(query(scores, same=np.array([1, 0, 1, 1, 1], dtype=bool)))
    left, right = drawn.bars
    assert (left.same, left.other) == pytest.approx((100 / 3, 100 / 3), abs=0.01)
    assert (right.same, right.other) == (100, 0)


@pytest.mark.parametrize("value", [0.0, 0.5, -0.3, 1e-7])
def test_histogram_of_equal_scores_is_one_bar(value):
    assert len(charts.histogram(query([value] * 5)).bars) == 1


@settings(deadline=None)
@given(
    values=st.lists(st.floats(-0.5, 1.5), min_size=2, max_size=6),
    width=st.floats(0, 0.4),
    chance=st.none() | st.floats(0, 1),
)
def test_forest_axis_holds_every_estimate_interval_and_chance(values, width, chance):
    rows = [
        ComparisonRow(f"row {i}", {"m": Estimate(v, v - width, v + width)}, is_main=i == 1)
        for i, v in enumerate(values)
    ]
    (forest,) = charts.overall_forests(Comparison([Metric("m", "M", chance)], rows))
    assert [row.is_main for row in forest.rows] == [i == 1 for i in range(len(values))]
    for row in forest.rows:
        for at in (row.main.at, row.main.low, row.main.high, row.chance):
            assert at is None or 0 <= at <= 100


def test_label_forest_leaves_gaps_where_a_row_has_no_value():
    main = ComparisonRow("ours", {}, {"roll": {"m": Estimate(0.5)}, "spin": {}}, is_main=True)
    control = ComparisonRow("random", {}, {"spin": {"m": Estimate(0.1)}})
    comparison = Comparison([Metric("m", "M", 0.1)], [main, control])
    (forest,) = charts.label_forests(comparison)
    roll, spin = forest.rows
    assert (roll.name, roll.main.value, roll.others) == ("roll", 0.5, ())
    assert (spin.name, spin.main) == ("spin", None)
    assert [mark.name for mark in spin.others] == ["random"]
    assert charts.overall_forests(comparison) == []

"""The board says what was measured, and nothing that was not."""

import dataclasses
import json
import math

import pytest

from bench_boards import a_board, a_row, around
from motive.bench.board import Contrast, board_json
from motive.bench.findings import findings, shown
from motive.bench.markdown import board_markdown, write_board
from motive.errors import MotiveError
from motive.report import Estimate

DASH = "\N{EN DASH}"


def table_rows(text):
    """Method -> cells, for the row in every table."""
    rows = {}
    for line in text.splitlines():
        if line.startswith("| "):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            rows.setdefault(name, []).append(cells)
    return rows


def test_markdown_ranks_methods_and_shows_intervals():
    text = board_markdown(a_board())
    rows = table_rows(text)
    names = [name for name in rows if name in ("**MOTIVE**", "no mask", "random")]
    assert names == ["**MOTIVE**", "no mask", "random"]
    assert rows["**MOTIVE**"][0][0] == "0.26 [0.24, 0.28]"
    assert text.startswith("# Which score finds motion?\n\nModel Wan-Nano, queries 10. ")
    assert "Made by `motive bench attribution`." in text


def test_what_was_not_measured_is_a_dash_and_a_missing_control_says_same():
    rows = table_rows(board_markdown(a_board()))
    assert rows["random"][0][-2:] == ["same", "same"]
    assert rows["no mask"][2] == ["+0.20 [+0.18, +0.22]", DASH, DASH]
    assert rows["*ceiling of retraining*"][0][0] == "+0.70 [+0.68, +0.72]"


def test_columns_without_any_number_are_left_out():
    board = a_board(rows=(a_row("motive", "MOTIVE", 0.3),), bank=None, projection=None)
    assert [c.key for c in board.columns()] == ["map", "p1", "p10", "frozen", "shuffled"]
    text = board_markdown(board)
    assert "retraining" not in text
    assert "projection" not in text


def test_a_minus_is_a_minus_and_not_a_hyphen():
    assert shown(Estimate(-0.5, -0.6, -0.4)) == "−0.50 [−0.60, −0.40]"  # noqa: RUF001
    assert shown(Estimate(0.5), signed=True) == "+0.50"
    assert shown(None) == DASH


@pytest.mark.parametrize(
    ("interval", "verdict", "tone"),
    [
        ((0.01, 0.1), "higher", "good"),
        ((-0.1, -0.01), "lower", "bad"),
        ((-0.1, 0.1), "no difference shown", "open"),
        ((0.0, 0.1), "no difference shown", "open"),
    ],
)
def test_a_difference_counts_only_if_its_interval_excludes_zero(interval, verdict, tone):
    contrast = Contrast("mask", "a minus b", Estimate(sum(interval) / 2, *interval))
    assert contrast.verdict == verdict
    found = findings(a_board(contrasts=(contrast,)))[1]
    assert (found.question, found.tone) == ("What does the motion mask buy?", tone)


def test_comparisons_of_other_methods_name_them():
    title = "MOTIVE, empty caption minus its frozen control"
    contrast = Contrast("frozen of no-caption", title, Estimate(0.08, 0.03, 0.14))
    found = findings(a_board(contrasts=(contrast,)))[1]
    assert found.question == "Is it the motion that is found (MOTIVE, empty caption)?"
    assert found.text.endswith("moving clips tell more than still ones under the same mask.")


def test_other_motion_weights_have_a_table_and_no_sentence():
    change = Contrast("weights of x", "weights: x minus MOTIVE", Estimate(0.01, -0.02, 0.04))
    board = a_board(contrasts=(change,))
    assert "weights: x" not in " ".join(finding.text for finding in findings(board))
    line = "| weights: x minus MOTIVE | +0.010 [−0.020, +0.040] |"  # noqa: RUF001
    assert line in board_markdown(board)
    assert "motion weights change" not in board_markdown(a_board())


def test_findings_answer_the_questions_of_the_benchmark():
    found = {finding.question: finding for finding in findings(a_board())}
    assert found["Does MOTIVE find the motion?"].number == "2.6 x"
    assert found["What does the motion mask buy?"].number == "+0.060"
    assert found["Is it the motion that is found?"].text.endswith("so nothing is shown.")
    assert "0.60 [0.58, 0.62]" in found["What does the projection cost?"].text
    assert found["How far from the ceiling (LDS, loss)?"].number == "0.30 of 0.70"


def test_json_holds_every_number_and_round_trips(tmp_path):
    board = a_board()
    path, _ = write_board(board, tmp_path / "new")
    found = json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)
    assert found == board_json(board)
    assert found["format"] == 1
    assert found["rows"][1]["values"]["map"] == dataclasses.asdict(around(0.26))
    assert found["projection"]["rows"][0]["dim"] == 128


def test_a_number_that_is_not_finite_is_refused_and_nothing_is_written(tmp_path):
    bad = a_row("x", "other", 0.1, lds_loss=Estimate(0.1, math.nan, 0.2))
    with pytest.raises(MotiveError, match="other: lds_loss is not finite"):
        write_board(a_board(rows=(bad,)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_column_is_refused(tmp_path):
    with pytest.raises(MotiveError, match="unknown column 'mapp'"):
        write_board(a_board(rows=(a_row("x", "other", 0.1, mapp=around(1)),)), tmp_path)

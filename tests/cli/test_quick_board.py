"""`motive bench attribution --quick` on what the package holds, as CI runs it."""

import json

import pytest

from motive.bench.methods import METHODS


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_quick_board_has_every_quick_method_its_controls_and_retrained_models(motive, tmp_path):
    out = tmp_path / "bench"
    found = motive("bench", "attribution", "--quick", "--out", out, "--workers", "2")
    assert found.code == 0, found.err
    board = json.loads((out / "board.json").read_text("utf-8"))
    rows = {row["key"]: row["values"] for row in board["rows"]}
    assert set(rows) == {method.key for method in METHODS if method.quick}
    for column in ("map", "frozen", "lds_loss"):
        low, value, high = (rows["motive"][column][name] for name in ("low", "value", "high"))
        assert low <= value <= high
    assert rows["random"]["map"]["low"] < board["chance"] < rows["random"]["map"]["high"]
    assert {row["dim"] for row in board["projection"]["rows"]} >= {512}
    assert (out / "index.html").exists()

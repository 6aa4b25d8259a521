"""The leaderboard page: one HTML file with its numbers, style and charts inside.

Invariant: the page loads nothing and computes nothing; every number on it is one of `board.json`.
It shares the report's look and draws its charts with plotly in the browser, so that they follow
the reader's width and light or dark theme.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment
from markupsafe import Markup

from motive.bench.board import Board, Column, board_json, check_board
from motive.bench.findings import findings, has_sign, shown
from motive.files import whole_file
from motive.pages import asset, environment, plotly_script, source_digest, trusted
from motive.report import Estimate

PAGE = "index.html"
_MARKER = '<meta name="generator" content="MOTIVE bench">'
_GROUP_TITLES = {
    "retrieval": "Motion found",
    "leakage": "What else it follows",
    "counterfactual": "Retraining",
}


def build_page(board: Board, folder: Path) -> Path:
    """Write `index.html` into the folder and return its path.

    Raises:
        MotiveError: A number is not finite, or the page cannot be written.
    """
    check_board(board)
    html = _environment().get_template("board.html.j2").render(_values(board))
    path = folder / PAGE
    with whole_file(path) as partial:
        partial.write_text(html, "utf-8")
    return path


def _values(board: Board) -> dict[str, Any]:
    columns = board.columns()
    plotly, script = plotly_script(), asset("bench", "board.js")
    queries = board.settings.get("queries", "all")
    settings = {"settings": dict(board.settings), "versions": dict(board.versions)}
    return {
        "board": board,
        "rows": board.ranked(),
        "columns": columns,
        "keys": {column.key for column in columns},
        "groups": _groups(columns),
        "queries": queries,
        "findings": findings(board),
        "weightings": [change for change in board.contrasts if change.kind == "weights"],
        "counterfactual": any(column.group == "counterfactual" for column in columns),
        "has_decoys": any(column.key == "decoys" for column in columns),
        "foot": [] if board.bank is None else board.bank.rows(),
        "settings": yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).strip(),
        "data": _embedded(board_json(board)),
        "hashes": " ".join(source_digest(text) for text in (plotly, script)),
        "marker": trusted(_MARKER),
        "style": trusted(asset("report", "style.css") + asset("bench", "board.css")),
        "plotly": trusted(plotly),
        "script": trusted(script),
    }


def _groups(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """(heading, number of columns) of each group that has any."""
    counts = {group: sum(column.group == group for column in columns) for group in _GROUP_TITLES}
    return [(_GROUP_TITLES[group], count) for group, count in counts.items() if count]


def _embedded(values: dict[str, Any]) -> Markup:
    """JSON that cannot end its script element."""
    return trusted(json.dumps(values, allow_nan=False).replace("<", "\\u003c"))


def _value(estimate: Estimate, column: Column) -> str:
    """The number alone."""
    return shown(Estimate(estimate.value), signed=has_sign(column))


def _range(estimate: Estimate, column: Column) -> str:
    """The interval alone."""
    signed = has_sign(column)
    between = "…" if signed else "\N{EN DASH}"
    ends = (estimate.low, estimate.high)
    return between.join(shown(Estimate(end), signed=signed) for end in ends if end is not None)


@cache
def _environment() -> Environment:
    return environment("bench", value=_value, range=_range, estimate=shown)

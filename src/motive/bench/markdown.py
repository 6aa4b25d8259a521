"""The board as Markdown, for a README, and the files of a finished board."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from motive.bench.board import BY_KEY, BankFacts, Board, BoardRow, Column, board_json, check_board
from motive.bench.findings import findings, has_sign, shown
from motive.bench.projection import ProjectionCeiling
from motive.files import whole_file

_GROUPS = {
    "retrieval": "Does it find the motion?",
    "leakage": "What else does it follow?",
    "counterfactual": "Does it predict what retraining does?",
}


def write_board(board: Board, folder: Path) -> tuple[Path, Path]:
    """Write `board.json` and `board.md`; returns their paths.

    Raises:
        MotiveError: A number is not finite, or the folder cannot be written.
    """
    check_board(board)
    paths = folder / "board.json", folder / "board.md"
    text = json.dumps(board_json(board), indent=1, allow_nan=False) + "\n"
    for path, content in zip(paths, (text, board_markdown(board)), strict=True):
        with whole_file(path) as partial:
            partial.write_text(content, "utf-8")
    return paths


def board_markdown(board: Board) -> str:
    """Findings, one table per question, and what the numbers rest on."""
    lines = [f"# {board.title}", "", _scope(board), ""]
    lines += [f"- **{found.question}** {found.text}" for found in findings(board)]
    for group, heading in _GROUPS.items():
        columns = board.columns(group)
        if columns:
            lines += ["", f"## {heading}", "", *_table(board, columns), ""]
            lines += [f"- *{column.title}*: {column.help}" for column in columns]
    lines += _weight_lines(board)
    if board.bank is not None:
        lines += _bank_lines(board.bank)
    if board.projection is not None:
        lines += ["", "## What does the projection cost?", "", *_projection_table(board.projection)]
    lines += ["", *(f"- {note}" for note in board.notes)] if board.notes else []
    lines += ["", f"Made by `{board.command}`."] if board.command else []
    return "\n".join(lines) + "\n"


def _scope(board: Board) -> str:
    facts = ", ".join(f"{name.lower()} {value}" for name, value in board.facts)
    return f"{facts[:1].upper()}{facts[1:]}. " * bool(facts) + (
        f"Means over queries with 95 % bootstrap intervals; chance mAP is {board.chance:.3f}."
    )


def _table(board: Board, columns: Sequence[Column]) -> list[str]:
    titles = ["method", *(column.title for column in columns)]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for row in board.ranked():
        plain = row.name.replace("|", "\\|")  # a name must not open another cell
        name = f"**{plain}**" if row.key == "motive" else plain
        lines.append("| " + " | ".join((name, *(_cell(row, c) for c in columns))) + " |")
    for name, values in () if board.bank is None else board.bank.rows():
        if any(column.key in values for column in columns):
            cells = (shown(values[c.key], signed=True) if c.key in values else "" for c in columns)
            lines.append("| " + " | ".join((f"*{name}*", *cells)) + " |")
    return lines


def _cell(row: BoardRow, column: Column) -> str:
    """A number as text; a control of a method that sees no pixels says so."""
    if column.key in row.same:
        return "same"
    return shown(row.values.get(column.key), signed=has_sign(column))


def _weight_lines(board: Board) -> list[str]:
    """What each option of the motion weights changes, other things equal."""
    changes = [contrast for contrast in board.contrasts if contrast.kind == "weights"]
    if not changes:
        return []
    table = ["| weights | change of mAP, paired by query |", "|---|---|"]
    table += [f"| {change.title} | {shown(change.estimate, 3, True)} |" for change in changes]
    return ["", "## What do the motion weights change?", "", *table]


def _bank_lines(bank: BankFacts) -> list[str]:
    lines = [
        "",
        f"{bank.models} models: {bank.subsets} random subsets of {100 * bank.fraction:.0f} % of "
        f"the candidates, {bank.seeds} seed(s) each, {bank.updates} updates from the base model.",
    ]
    told = (
        ("Agreement of two seeds", bank.agreement),
        (f"Gain over the base, {bank.unit}", bank.references),
        ("Probability of the asked motion in generated clips", bank.shown),
    )
    for title, values in told:
        names = {key: BY_KEY[key].title if key in BY_KEY else key for key in values}
        texts = [f"{names[key]} {shown(estimate)}" for key, estimate in values.items()]
        lines += ["", f"{title}: {'; '.join(texts)}."] if texts else []
    return lines


def _projection_table(ceiling: ProjectionCeiling) -> list[str]:
    lines = [
        f"{ceiling.candidates} candidates, {ceiling.queries} queries, D = {ceiling.parameters:,} "
        f"parameters; overlap of the best {ceiling.top}.",
        "",
        "| D' | Spearman, two seeds | Spearman, unprojected | overlap, two seeds "
        "| overlap, unprojected | mAP |",
        "|---|---|---|---|---|---|",
    ]
    for row in ceiling.rows:
        cells = (
            row.seeds_spearman, row.exact_spearman, row.seeds_overlap, row.exact_overlap,
            row.average_precision,
        )  # fmt: skip
        lines.append(f"| {row.dim} | " + " | ".join(map(shown, cells)) + " |")
    exact = shown(ceiling.exact_average_precision)
    return [*lines, f"| unprojected |  | 1 |  | 1 | {exact} |"]

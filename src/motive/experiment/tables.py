"""The table as Markdown, LaTeX, JSON and for the terminal."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from motive.evaluation.metrics import BY_KEY, DIMENSIONS
from motive.experiment.about import ConditionFacts
from motive.experiment.published import HUMANS, MODEL, TITLES, published_rows
from motive.experiment.results import ResultDifference, Results
from motive.experiment.wording import (
    NONE,
    WANTED,
    estimate_text,
    findings,
    heading,
    interval,
    is_labelled,
    notes,
    number,
    verdict,
    wanted_text,
)
from motive.files import whole_file

MARKDOWN, LATEX, NUMBERS = "table.md", "table.tex", "results.json"


def write_tables(results: Results, out: Path) -> list[Path]:
    """Write `table.md`, `table.tex` and `results.json`; returns their paths.

    Raises:
        MotiveError: They cannot be written.
    """
    texts = {
        MARKDOWN: markdown_table(results),
        LATEX: latex_table(results),
        NUMBERS: json.dumps(results_json(results), indent=1, allow_nan=False) + "\n",
    }
    for name, text in texts.items():
        with whole_file(out / name) as partial:
            partial.write_bytes(text.encode("utf-8", "replace"))
    return [out / name for name in texts]


def results_json(results: Results) -> dict[str, Any]:
    """Every number as JSON values; not times 100."""
    return {
        **dataclasses.asdict(results.about),
        "question": results.question,
        "columns": results.columns,
        "cells": [dataclasses.asdict(cell) for cell in results.cells],
        "differences": [
            {**dataclasses.asdict(found), "shown": found.shown} for found in results.differences
        ],
        "unmeasured": results.unmeasured,
        "findings": [found._asdict() for found in findings(results)],
        "reading": notes(results),
        "published": {"model": MODEL, "vbench": published_rows(), "human win/tie/loss": HUMANS},
    }


def markdown_table(results: Results) -> str:
    """A page: findings, the table, differences, motions, selections, the published table, notes."""
    lines = [f"# {results.about.title}", ""]
    lines += [f"- **{found.question}** {found.text}" for found in findings(results)]
    lines += ["", "## Table", "", *_main(results)]
    lines += ["", f"## {_main_title(results)} minus the other, same prompt and seed", ""]
    lines += ["**Bold**: shown (interval without zero, all seeds agree). All else: not shown.", ""]
    lines += _differences(results)
    if results.question:
        title = BY_KEY[results.question].title
        lines += ["", f"## {title}, by training seed", "", *_seeds(results)]
        lines += _motions(results)
    lines += ["", "## What was chosen", "", *_selections(results)]
    lines += ["", f"## Published: {MODEL}, no intervals stated", "", *_published()]
    if results.unmeasured:
        lines += ["", "## Not measured", ""]
        lines += [f"- {BY_KEY[key].title}: {why}" for key, why in results.unmeasured.items()]
    lines += ["", "## Notes", "", *(f"- {note}" for note in notes(results))]
    lines += [f"- Not judged: {line}" for line in results.about.broken]
    lines += ["", f"Made by `{results.about.command}`."] if results.about.command else []
    return "\n".join(lines) + "\n"


def latex_table(results: Results) -> str:
    """The table for a paper, with booktabs; intervals stand small behind the numbers."""
    columns = results.columns
    labelled = is_labelled(results.about)
    wanted = [_tex(WANTED)] if labelled else []
    titles = " & ".join(["", *wanted, *(_tex(BY_KEY[key].title) for key in columns)])
    rows = []
    for facts in results.about.conditions:
        cells = [wanted_text(facts).replace(NONE, "--")] if labelled else []
        for key in columns:
            cell = results.cell(facts.name, key)
            if cell is None:
                cells.append("--")
                continue
            metric = BY_KEY[key]
            text = f"${number(metric, cell.estimate.value)}$"
            ends = interval(metric, cell.estimate)
            cells.append(f"{text} {{\\scriptsize ${ends}$}}" if ends else text)
        name = _tex(facts.title)
        name = f"\\textbf{{{name}}}" if facts.name == results.about.main else name
        rows.append(" & ".join([name, *cells]) + r" \\")
    caption = " ".join(_tex(note) for note in notes(results)[:5])
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}", r"\centering", r"\small",
        f"\\begin{{tabular}}{{l{'r' * (len(wanted) + len(columns))}}}", r"\toprule",
        f"{titles} \\\\", r"\midrule", *rows, r"\bottomrule", r"\end{tabular}",
        f"\\caption{{{_tex(results.about.title)} {caption}}}", r"\end{table}",
    ]  # fmt: skip
    return "\n".join(lines).replace("\N{MINUS SIGN}", "-") + "\n"


def terminal_table(results: Results) -> Table:
    """For the terminal, 80 columns wide: what was chosen, the headline metric, its differences."""
    columns = results.columns[:1]
    main = _main_title(results)
    wanted = ["\n".join(textwrap.wrap(WANTED, 12))] if is_labelled(results.about) else []
    table = Table("")
    for title in (*wanted, *(heading(key) for key in columns), f"{main} minus it"):
        table.add_column(title, justify="right", no_wrap=True)
    for facts in results.about.conditions:
        cells = [wanted_text(facts)] if wanted else []
        for key in columns:
            cell = results.cell(facts.name, key)
            cells.append(estimate_text(key, None if cell is None else cell.estimate))
        found = results.difference(facts.name, results.question)
        colour = {"good": "green", "bad": "red"}.get(verdict(found), "dim") if found else "dim"
        change = "" if found is None else _difference(found)
        table.add_row(facts.title, *cells, f"[{colour}]{change}[/{colour}]".replace("[[", "\\[["))
    return table


def _main_title(results: Results) -> str:
    return results.about.condition(results.about.main).title


def _difference(found: ResultDifference) -> str:
    return estimate_text(found.key, found.estimate, signed=True)


def _main(results: Results) -> list[str]:
    wanted = [WANTED] if is_labelled(results.about) else []
    lines = _head(["", *wanted, *(heading(key) for key in results.columns)])
    for facts in results.about.conditions:
        cells = [wanted_text(facts)] if wanted else []
        for key in results.columns:
            cell = results.cell(facts.name, key)
            cells.append(estimate_text(key, None if cell is None else cell.estimate))
        lines.append(_row([_name(results, facts), *cells]))
    return lines


def _differences(results: Results) -> list[str]:
    lines = _head(["minus", *(heading(key) for key in results.columns)])
    for facts in results.about.conditions:
        if facts.name == results.about.main:
            continue
        cells = []
        for key in results.columns:
            found = results.difference(facts.name, key)
            text = NONE if found is None else _difference(found)
            cells.append(f"**{text}**" if found is not None and found.shown else text)
        lines.append(_row([_plain(facts.title), *cells]))
    return lines


def _seeds(results: Results) -> list[str]:
    seeds, metric = results.about.seeds, BY_KEY[results.question]
    lines = _head(["", *(f"seed {seed}" for seed in seeds)])
    for facts in results.about.conditions:
        cell = results.cell(facts.name, results.question)
        known = {} if cell is None else cell.seeds
        cells = [number(metric, known[seed]) if seed in known else NONE for seed in seeds]
        lines.append(_row([_name(results, facts), *cells]))
    return lines


def _motions(results: Results) -> list[str]:
    key = results.question
    motions = list(dict.fromkeys(motion for _, motion in results.about.prompts if motion))
    if not motions:
        return []
    lines = ["", f"## {BY_KEY[key].title}, by motion", "", *_head(["", *motions])]
    for facts in results.about.conditions:
        cell = results.cell(facts.name, key)
        found = {} if cell is None else cell.motions
        cells = [estimate_text(key, found.get(motion)) for motion in motions]
        lines.append(_row([_name(results, facts), *cells]))
    return lines


def _selections(results: Results) -> list[str]:
    about = results.about
    wanted = ["with the wanted motion", "decoys"] if is_labelled(about) else []
    lines = _head(["", "clips", "models", *wanted, f"also chosen by {_main_title(results)}"])
    for facts in about.conditions:
        if not facts.clips:
            continue
        cells = [str(facts.clips), str(facts.models)]
        if wanted:
            cells += [f"{facts.wanted or 0:.0%}", f"{facts.decoys:.0%}"]
        cells.append(f"{facts.shared:.0%}")
        lines.append(_row([_name(results, facts), *(cell.replace("%", " %") for cell in cells)]))
    return lines


def _published() -> list[str]:
    rows = published_rows()
    human = "humans: MOTIVE wins / ties / loses"
    lines = _head(["", *(BY_KEY[key].title for key in DIMENSIONS), human])
    for by, values in rows.items():
        human = " / ".join(f"{share:g}" for share in HUMANS[by]) if by in HUMANS else NONE
        cells = [f"{values[key]:.1f}" for key in DIMENSIONS]
        lines.append(_row([TITLES[by], *cells, human]))
    return lines


def _head(titles: Sequence[str]) -> list[str]:
    return [_row(titles), "|" + "---|" * len(titles)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _name(results: Results, facts: ConditionFacts) -> str:
    name = _plain(facts.title)
    return f"**{name}**" if facts.name == results.about.main else name


def _plain(text: str) -> str:
    return text.replace("|", "\\|")


def _tex(text: str) -> str:
    for letter in ("\\", "&", "%", "$", "#", "_", "{", "}"):
        text = text.replace(letter, rf"\{letter}" if letter != "\\" else r"\textbackslash ")
    return text.replace("~", r"\textasciitilde ").replace("^", r"\textasciicircum ")

"""The documents' numbers are those of the result files, and their links lead somewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from motive.bench.findings import shown
from motive.report import Estimate

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"


def table_line(document, first_cell):
    lines = (ROOT / document).read_text("utf-8").splitlines()
    return next(line for line in lines if line.startswith(f"| {first_cell} |"))


def test_the_leaderboard_is_that_of_the_result_file():
    board = json.loads((RESULTS / "attribution_board.json").read_text("utf-8"))
    for row in board["rows"]:
        line = table_line("README.md", row["name"])
        for column in ("map", "lds_loss", "lds_motion"):
            assert shown(Estimate(**row["values"][column]), 2, signed=column != "map") in line


def test_the_study_of_variants_shows_every_row_of_the_result_file():
    study = json.loads((RESULTS / "attribution_variants.json").read_text("utf-8"))
    for row in study["rows"]:
        low, high = row["interval"]
        numbers = f"{row['mean_average_precision']:.2f} [{low:.2f}, {high:.2f}]"
        assert numbers in table_line("docs/attribution-study.md", row["variant"])


@pytest.mark.parametrize("document", sorted(p.relative_to(ROOT) for p in ROOT.glob("docs/*.md")))
def test_links_of_the_documents_lead_to_files(document):
    assert missing_links(ROOT / document) == []


def test_links_of_the_readme_lead_to_files():
    assert missing_links(ROOT / "README.md") == []


def missing_links(document):
    links = [part.split(")")[0] for part in document.read_text("utf-8").split("](")[1:]]
    local = [link.split("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    return [link for link in local if not (document.parent / link).exists()]

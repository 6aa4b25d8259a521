"""From a finished experiment's folder to its tables and its page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from motive.experiment.about import read_about
from motive.experiment.page import write_page
from motive.experiment.results import Results, read_videos, results_of
from motive.experiment.tables import write_tables


@dataclass(frozen=True)
class Reported:
    """What `report_experiment` wrote.

    Attributes:
        results: The numbers.
        tables: table.md, table.tex and results.json.
        page: report/index.html, with its videos beside it.
    """

    results: Results
    tables: list[Path]
    page: Path


def report_experiment(out: Path) -> Reported:
    """Write the tables and the page of an experiment; nothing is trained or measured.

    Raises:
        UsageError: The experiment is not finished.
        MotiveError: A result is damaged, or a file cannot be written.
    """
    about = read_about(out)
    results = results_of(about, read_videos(out))
    return Reported(results, write_tables(results, out), write_page(results, out))

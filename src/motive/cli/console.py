"""What the command line shows: progress and messages on stderr, results on stdout."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

OUT = Console(soft_wrap=True, highlight=False)
ERR = Console(stderr=True, highlight=False)


def set_up_logging(debug: bool) -> None:
    """Send warnings to stderr, and silence the progress bars of the libraries below."""
    handler = RichHandler(
        console=ERR, show_time=False, show_path=False, show_level=debug, markup=False
    )
    level = logging.DEBUG if debug else logging.WARNING
    logging.basicConfig(level=logging.WARNING, handlers=[handler], format="%(message)s", force=True)
    logging.getLogger("motive").setLevel(level)
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()


class ProgressBars:
    """One bar per stage, with the time remaining; plain lines when stderr is no terminal."""

    def __init__(self, bars: Progress | None) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._printed: dict[str, int] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report that `done` of `total` steps of a stage are finished."""
        if self._bars is None:
            self._print(stage, done, total)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)

    def _print(self, stage: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if tenth > self._printed.get(stage, 0) or done == total:
            self._printed[stage] = tenth if done < total else 0
            ERR.print(f"{stage}: {done}/{total}")


@contextmanager
def progress_bars(quiet: bool = False) -> Iterator[ProgressBars]:
    """Progress for the duration of a command."""
    if quiet or not ERR.is_terminal:
        yield ProgressBars(None)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=ERR,
    ) as bars:
        yield ProgressBars(bars)


def emit(result: dict[str, Any], as_json: bool, lines: list[str]) -> None:
    """Print one JSON object for machines, or lines for people."""
    if as_json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False, default=str) + "\n")
        return
    for line in lines:
        OUT.print(line, markup=False)


def list_problems(
    errors: list[tuple[str, str]], duplicates: list[tuple[str, str]], most: int = 10
) -> list[str]:
    """Lines about entries that were not used."""
    lines = []
    if errors:
        lines.append(f"{len(errors)} not usable:")
        lines += [f"  {reason}" for _, reason in errors[:most]]
        if len(errors) > most:
            lines.append(f"  ... and {len(errors) - most} more (see the report, or --json)")
    if duplicates:
        source, first = duplicates[0]
        lines.append(f"{len(duplicates)} duplicates used once (first: {source} repeats {first})")
    return lines

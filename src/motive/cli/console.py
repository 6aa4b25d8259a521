"""What the command line shows: progress and messages on stderr, results on stdout."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
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
    level = logging.DEBUG if debug else logging.WARNING
    pattern = "%(levelname)s %(name)s: %(message)s" if debug else "%(message)s"
    handlers = [_ErrHandler()]
    logging.basicConfig(level=logging.WARNING, handlers=handlers, format=pattern, force=True)
    logging.getLogger("motive").setLevel(level)
    # By environment, because importing the libraries takes seconds and many commands need none.
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


class _ErrHandler(logging.Handler):
    """One line per message, above the progress bars; never wrapped, so that it can be searched."""

    def emit(self, record: logging.LogRecord) -> None:
        ERR.print(self.format(record), markup=False, soft_wrap=True)


class ProgressBars:
    """One bar per stage, with the time remaining; plain lines when stderr is no terminal."""

    def __init__(self, bars: Progress | None) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._printed: dict[str, int] = {}
        self._began: dict[str, tuple[float, int]] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report that `done` of `total` steps of a stage are finished."""
        if self._bars is None:
            self._print(stage, done, total)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        task = self._tasks[stage]
        if self._bars.tasks[task].finished:  # the stage runs again, with other clips
            self._bars.reset(task)
        self._bars.update(task, completed=done, total=total)

    def _print(self, stage: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        began, first = self._began.setdefault(stage, (time.monotonic(), done))
        if tenth > self._printed.get(stage, 0) or done == total:
            self._printed[stage] = tenth
            left = (time.monotonic() - began) * (total - done) / max(done - first, 1)
            rest = f", about {left:.0f} s left" if left >= 2 else ""
            ERR.print(f"{stage}: {done}/{total}{rest}", soft_wrap=True)
        if done == total:  # the stage may run again, with other clips
            del self._printed[stage], self._began[stage]


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
        sys.stdout.write(json.dumps(result, default=str) + "\n")
        return
    sys.stdout.write("".join(line + "\n" for line in lines))


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

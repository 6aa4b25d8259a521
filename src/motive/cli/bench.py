"""`motive bench attribution`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from motive.cli.console import emit, progress_bars
from motive.cli.options import Common, command_line, named_values
from motive.errors import UsageError

if TYPE_CHECKING:  # importing the methods takes seconds, and --help needs none of them
    from motive.bench.board import Board
    from motive.bench.methods import Method

app = App(name="bench", help="Benchmarks: how well attribution finds motion.")

_MOST_WORKERS = 8  # each holds a copy of the model


@app.command
def attribution(
    *,
    out: Annotated[
        Path | None,
        Parameter(help="Folder of the board [default: runs/bench, or runs/bench-quick]."),
    ] = None,
    quick: Annotated[
        bool, Parameter(help="60 candidates, 10 queries: a check, not a result.", negative="")
    ] = False,
    model: Annotated[
        str | None, Parameter(help="Pipeline folder, hub id or embedded name [wan-nano-base].")
    ] = None,
    data: Annotated[
        Path | None,
        Parameter(help="Folder with candidates/, queries/ and test/ [the clips in the package]."),
    ] = None,
    scores: Annotated[
        list[str] | None,
        Parameter(
            help="NAME=FILE: one more row from a score file (.npy .npz .csv .parquet).",
            consume_multiple=True,
            negative_iterable=(),
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        Parameter(
            help="Only these methods, by key; none: the score files alone.",
            consume_multiple=True,
            negative_iterable=(),
        ),
    ] = None,
    bank: Annotated[
        str | None,
        Parameter(help="File of retrained models [OUT/bank.parquet]; none: no retraining."),
    ] = None,
    workers: Annotated[
        int | None, Parameter(help="Processes [default: one per core, at most 8].")
    ] = None,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Leaderboard of attribution methods where the truth is known: MotionZoo and wan-nano.

    Retrieval of the motion, the same on frozen and shuffled clips, leakage of appearance, position
    and camera, retraining on subsets of the candidates, and what the projection costs. Run it again
    and it continues; with one more method it computes that method alone.

    For example:

        motive bench attribution
        motive bench attribution --quick
        motive bench attribution --scores mine=scores.csv --methods motive no-mask
    """
    began = time.perf_counter()
    from motive.bench.attribution import Attribution
    from motive.bench.context import DEFAULT_MODEL
    from motive.bench.problem import load_problem
    from motive.runs import RunConfig
    from motive.zoo.pack import unpack_demo_clips

    folder = out or Path("runs/bench-quick" if quick else "runs/bench")
    chosen = _methods(methods, quick) + _score_files(scores)
    count = _workers(workers)
    with progress_bars(common.json) as bars:
        clips = data or unpack_demo_clips(folder / "motionzoo")
        board = Attribution(
            load_problem(clips),
            folder,
            RunConfig(model=model or DEFAULT_MODEL),
            methods=chosen,
            quick=quick,
            bank=_bank(bank, folder),
            workers=count,
            command=command_line(),
            on_progress=bars,
        ).run()
    _tell(board, folder, time.perf_counter() - began, common)


def _methods(keys: list[str] | None, quick: bool) -> list[Method]:
    from motive.bench.methods import METHODS, find_method

    if keys is None:
        return [method for method in METHODS if method.quick or not quick]
    return [] if keys == ["none"] else [find_method(key) for key in keys]


def _score_files(given: list[str] | None) -> list[Method]:
    from motive.bench.methods import FromFile

    pairs = named_values(given, "--scores", "mine=scores.csv")
    return [FromFile(name, Path(path)) for name, path in pairs]


def _bank(given: str | None, folder: Path) -> Path | None:
    if given == "none":
        return None
    return folder / "bank.parquet" if given is None else Path(given)


def _workers(given: int | None) -> int:
    if given is None:
        return min(_MOST_WORKERS, os.cpu_count() or 1)
    if given < 1:
        raise UsageError(f"--workers {given}: must be at least 1")
    return given


def _tell(board: Board, folder: Path, seconds: float, common: Common) -> None:
    from motive.bench.findings import findings, shown

    page = folder / "index.html"
    found = findings(board)
    result: dict[str, Any] = {
        "board": str(folder / "board.json"),
        "markdown": str(folder / "board.md"),
        "page": str(page),
        "findings": [{"question": f.question, "number": f.number, "text": f.text} for f in found],
        "rows": {
            row.key: {name: estimate.value for name, estimate in row.values.items()}
            for row in board.ranked()
        },
        "seconds": round(seconds, 1),
    }
    width = max(len(row.name) for row in board.rows)
    lines = [f"{'method':{width}s}  mAP (chance {board.chance:.3f})"]
    lines += [f"{row.name:{width}s}  {shown(row.values['map'], 3)}" for row in board.ranked()]
    lines += ["", *(f"{f.question} {f.text}" for f in found)]
    lines += [*board.notes, f"done in {seconds:.0f} s; open {page}"]
    emit(result, common.json, lines)

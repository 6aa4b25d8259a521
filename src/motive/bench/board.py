"""The leaderboard as plain values, for JSON, Markdown (`markdown.py`) and the page (`page.py`).

Invariant: the board computes nothing. Every number arrives finished, with its interval; one that
was not measured is absent, and shown as absent rather than as zero.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from motive.bench.projection import ProjectionCeiling
from motive.errors import MotiveError
from motive.report import Estimate

FORMAT = 1  # raise when a reader of board.json would have to change


class Column(NamedTuple):
    """One number of every row.

    Attributes:
        key: Name in `BoardRow.values` and in the JSON.
        title: Heading.
        help: One sentence on what it counts and which direction is good.
        group: "retrieval", "leakage" or "counterfactual": a table of its own in Markdown.
    """

    key: str
    title: str
    help: str
    group: str


COLUMNS = (
    Column(
        "map",
        "mAP",
        "Mean average precision: how early the clips with the query's motion come. Higher is "
        "better; chance is about their share of the candidates.",
        "retrieval",
    ),
    Column("p1", "P@1 %", "Share of the best 1 % that shows the query's motion.", "retrieval"),
    Column("p10", "P@10 %", "Share of the best 10 % that shows the query's motion.", "retrieval"),
    Column(
        "frozen",
        "frozen",
        "mAP when every clip stands still (its first frame repeated) under the moving clip's mask. "
        "What is left comes from appearance and from where the mask lies, not from motion.",
        "retrieval",
    ),
    Column(
        "shuffled",
        "shuffled",
        "mAP when the frames of every clip are put in a random order, under the same mask.",
        "retrieval",
    ),
    Column(
        "appearance",
        "appearance",
        "How far the same scores retrieve clips of the query's shape, colour, pattern, floor and "
        "background above chance. Zero is blind to it.",
        "leakage",
    ),
    Column(
        "position", "position", "The same for where in the picture the object is.", "leakage"
    ),
    Column("camera", "camera", "The same for how the camera moves.", "leakage"),
    Column(
        "decoys",
        "decoys",
        "Share of decoys (static, camera-only and corner clips) in the best 10 %.",
        "leakage",
    ),
    Column(
        "lds_loss",
        "LDS, loss",
        "Linear datamodeling score: rank correlation, over models retrained on random halves of "
        "the candidates, between predicted and measured loss on the query. This is influence.",
        "counterfactual",
    ),
    Column(
        "lds_motion",
        "LDS, motion",
        "The same with what is generated: how clearly clips made by the retrained model show the "
        "asked motion.",
        "counterfactual",
    ),
    Column(
        "gain",
        "best 10 %",
        "What fine-tuning on the best 10 % gains over random 10 % with as many updates, in percent "
        "of the base model's loss.",
        "counterfactual",
    ),
    Column(
        "tail",
        "without best 10 %",
        "What is lost, against leaving out random 10 %, when the best 10 % are left out.",
        "counterfactual",
    ),
)  # fmt: skip
BY_KEY = {column.key: column for column in COLUMNS}


@dataclass(frozen=True)
class BoardRow:
    """One method.

    Attributes:
        key: Its name on the command line.
        name: Its name on the board.
        about: One sentence on what it is.
        values: Column key -> estimate; what was not measured is absent.
        same: Controls that equal `map` by construction, because the method sees no pixels.
        per_motion: Motion -> mean average precision of its queries.
        factors: Nuisance factor -> mean average precision above chance.
        seconds: What computing its scores took (0 from a file).
    """

    key: str
    name: str
    about: str
    values: Mapping[str, Estimate]
    same: tuple[str, ...] = ()
    per_motion: Mapping[str, float] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Contrast:
    """A paired difference of two numbers over the same queries.

    Attributes:
        key: What it answers ("mask", "frozen" or "weights"), and of which method unless it is the
            headline method: "mask of no-caption".
        title: For example "MOTIVE minus no mask".
        estimate: Mean difference and interval.
    """

    key: str
    title: str
    estimate: Estimate

    @property
    def kind(self) -> str:
        """What it answers: "mask", "frozen" or "weights"."""
        return self.key.partition(" of ")[0]

    @property
    def verdict(self) -> str:
        """By whether the interval excludes zero: "higher", "lower" or "no difference shown"."""
        low, high = self.estimate.low, self.estimate.high
        if low is not None and low > 0:
            return "higher"
        return "lower" if high is not None and high < 0 else "no difference shown"


@dataclass(frozen=True)
class BankFacts:
    """The retrained models behind the counterfactual columns.

    Attributes:
        models: How many were trained for the datamodeling score.
        subsets: Random subsets. seeds: Seeds per subset. fraction: Share of the candidates in one.
        updates: Optimiser steps of each fine-tuning.
        ceilings: "lds_loss" / "lds_motion" -> what a perfect prediction would reach, given how
            much two seeds of the same subset differ.
        agreement: The same keys -> rank correlation between two training seeds.
        labels: The same keys -> the score of the motion label itself, 1 where it agrees.
        references: Name -> gain over the base model, for example "random 10 %".
        shown: Name -> probability of the asked motion in clips generated after fine-tuning.
        unit: What gain, tail and references are measured in.
    """

    models: int
    subsets: int
    seeds: int
    fraction: float
    updates: int
    ceilings: Mapping[str, Estimate] = field(default_factory=dict)
    agreement: Mapping[str, Estimate] = field(default_factory=dict)
    labels: Mapping[str, Estimate] = field(default_factory=dict)
    references: Mapping[str, Estimate] = field(default_factory=dict)
    shown: Mapping[str, Estimate] = field(default_factory=dict)
    unit: str = ""

    def rows(self) -> list[tuple[str, Mapping[str, Estimate]]]:
        """(name, column key -> estimate) of the rows that belong to no method."""
        named = (("the motion label itself", self.labels), ("ceiling of retraining", self.ceilings))
        return [(name, values) for name, values in named if values]


@dataclass(frozen=True)
class Board:
    """Everything on the leaderboard.

    Attributes:
        title: Heading.
        chance: Mean average precision of a random order (the motion's share of the candidates).
        rows: Methods, in the order they were asked for.
        motions: Motions of the queries, in order.
        contrasts: Paired comparisons that answer the benchmark's questions.
        projection: What the projection costs, if it was measured.
        bank: Facts of the retrained models, if there are any.
        decoy_share: Share of decoys among all candidates.
        facts: (name, value) pairs on what was measured, for the head of the page.
        settings: Everything that decides the numbers, JSON-able.
        versions: Package -> version.
        command: Command that makes the board again.
        notes: Sentences the reader must know.
    """

    title: str
    chance: float
    rows: tuple[BoardRow, ...]
    motions: tuple[str, ...]
    contrasts: tuple[Contrast, ...] = ()
    projection: ProjectionCeiling | None = None
    bank: BankFacts | None = None
    decoy_share: float = 0.0
    facts: tuple[tuple[str, str], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    notes: tuple[str, ...] = ()

    def row(self, key: str) -> BoardRow | None:
        """The row of a method, or None."""
        return next((row for row in self.rows if row.key == key), None)

    def ranked(self) -> list[BoardRow]:
        """Rows by mean average precision, best first."""
        return sorted(self.rows, key=lambda row: -row.values["map"].value)

    def columns(self, group: str | None = None) -> list[Column]:
        """The columns that have a number in some row, of one group or all."""
        return [
            column
            for column in COLUMNS
            if group in (None, column.group)
            and any(column.key in row.values or column.key in row.same for row in self.rows)
        ]


def check_board(board: Board) -> None:
    """Refuse numbers that are not finite, naming row and column.

    Raises:
        MotiveError: A value or an end of an interval is not finite, or a column is unknown.
    """
    for row in board.rows:
        for key, estimate in row.values.items():
            if key not in BY_KEY:
                raise MotiveError(f"{row.name}: unknown column {key!r}; columns are {[*BY_KEY]}")
            ends = (estimate.value, estimate.low, estimate.high)
            if not all(end is None or math.isfinite(end) for end in ends):
                raise MotiveError(f"{row.name}: {key} is not finite; compute its scores again")


def board_json(board: Board) -> dict[str, Any]:
    """The board as JSON values: its fields, and a format number."""
    return {"format": FORMAT, **json.loads(json.dumps(dataclasses.asdict(board)))}

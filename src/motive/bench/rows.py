"""From a method's score matrices to its row on the board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from motive.bench.board import BoardRow, Contrast
from motive.bench.methods import FromFile, Method
from motive.bench.problem import Problem
from motive.bench.projection import estimate
from motive.bench.retrieval import Retrieval, RetrievalRow, measure_retrieval, paired_difference
from motive.bench.scoring import ScoreBook
from motive.bench.views import View
from motive.report import Estimate

CONTROLS: tuple[View, ...] = ("frozen", "shuffled")
#: Which nuisance factors make up each kind of leakage.
LEAKAGE = {
    "appearance": ("shape", "colour", "pattern", "floor", "background"),
    "position": ("place",),
    "camera": ("camera",),
}


@dataclass(frozen=True)
class Measured:
    """What the labels say about one method.

    Attributes:
        method: The method.
        scores: On the moving clips, "q n".
        seconds: What computing them took.
        retrieval: Of the moving clips.
        controls: View -> retrieval of the motion on it; empty if the method sees no pixels.
        same: Views that cannot change its scores, because it sees no pixels.
    """

    method: Method
    scores: np.ndarray
    seconds: float
    retrieval: Retrieval
    controls: Mapping[str, RetrievalRow]
    same: tuple[View, ...] = ()


def measure_method(
    method: Method, book: ScoreBook, problem: Problem, controls: tuple[View, ...] = CONTROLS
) -> Measured:
    """Scores of a method on the clips and on their control views, and what they retrieve."""
    scored = book.scores(method)
    views = controls if method.uses_pixels else ()
    # Scores from elsewhere have no controls, which is not the same as equal ones.
    same = () if method.uses_pixels or isinstance(method, FromFile) else controls
    found: dict[str, RetrievalRow] = {
        view: measure_retrieval(book.scores(method, view).scores, problem).motion for view in views
    }
    retrieval = measure_retrieval(scored.scores, problem)
    return Measured(method, scored.scores, scored.seconds, retrieval, found, same)


def board_row(
    measured: Measured, problem: Problem, counterfactual: Mapping[str, Estimate] | None = None
) -> BoardRow:
    """The row, with the counterfactual columns if they were measured."""
    found, method = measured.retrieval, measured.method
    motion = found.motion
    values = {
        "map": Estimate(motion.average_precision, *motion.average_precision_interval),
        "p1": Estimate(motion.precision_at_1_percent, *motion.precision_at_1_percent_interval),
        "p10": Estimate(motion.precision_at_10_percent, *motion.precision_at_10_percent_interval),
    }
    for view, row in measured.controls.items():
        values[view] = Estimate(row.average_precision, *row.average_precision_interval)
    for kind, names in LEAKAGE.items():
        rows = [found.factors[name] for name in names if name in found.factors]
        if rows:
            values[kind] = leakage(rows)
    if found.decoys is not None:
        values["decoys"] = Estimate(found.decoys.share, *found.decoys.interval)
    return BoardRow(
        key=method.key,
        name=method.name,
        about=method.about,
        values=values | dict(counterfactual or {}),
        same=measured.same,
        per_motion=per_motion(motion, problem),
        factors={name: row.lift for name, row in found.factors.items()},
        seconds=measured.seconds,
    )


def leakage(rows: list[RetrievalRow]) -> Estimate:
    """Average precision above chance, mean over factors and then over queries."""
    lifts = np.array([_per_query(row) - row.chance for row in rows])  # (factors, q)
    known = ~np.isnan(lifts)
    counts = known.sum(axis=0)
    sums = np.where(known, lifts, 0.0).sum(axis=0)
    return estimate(sums[counts > 0] / counts[counts > 0])


def per_motion(motion: RetrievalRow, problem: Problem) -> dict[str, float]:
    """Mean average precision of each motion's queries, motions in order of the queries."""
    values = _per_query(motion)
    of = np.array([query.motion for query in problem.queries])
    means = {name: values[of == name] for name in dict.fromkeys(of.tolist())}
    return {
        name: float(np.nanmean(found)) for name, found in means.items() if not np.isnan(found).all()
    }


def contrast(key: str, title: str, first: RetrievalRow, second: RetrievalRow) -> Contrast:
    """A paired difference of mean average precision, for the board."""
    difference = paired_difference(first, second)
    return Contrast(key, title, Estimate(difference.mean, *difference.interval))


def _per_query(row: RetrievalRow) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in row.per_query])

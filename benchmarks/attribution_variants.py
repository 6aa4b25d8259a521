"""Why a score finds motion or does not: variants of MOTIVE on one problem, each beside its control.

One forward pass per clip and condition (timestep, noise, caption, view) serves several losses, and
the gradient of each part of the network is projected by itself. Projections are linear, so masks,
parts, noise averages and moving-minus-frozen differences can all be compared afterwards without
another gradient. Conditions are kept on disk: an interrupted run continues, and `--conditions`
limits how many are computed now.

    python benchmarks/attribution_variants.py --data data/motionzoo --model wan-nano-base
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from measuring import save
from motive.backbones.cache import cache_key
from motive.bench.context import Bench
from motive.bench.problem import Problem, load_problem, quick_problem
from motive.bench.retrieval import RetrievalRow, measure_retrieval, paired_difference
from motive.bench.views import View
from motive.influence import unit_rows
from variant_gradients import (
    BLOCK,
    DIM,
    LOSSES,
    MASKS,
    PAIR,
    PARTS,
    Condition,
    Gradients,
    conditions,
)

Features = tuple[np.ndarray, np.ndarray]  # unit rows of queries and of candidates
Lookup = Callable[[int, str], Features]  # number of the condition, loss
Combine = Callable[[list[Features]], np.ndarray]


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    Attributes:
        family: What is varied.
        name: Its value.
        conditions: Needed, as moving views; the frozen control takes the same, frozen.
        scores: Features of one view -> scores "q n".
        unmasked: The same without the mask, if this one has a mask.
    """

    family: str
    name: str
    conditions: tuple[Condition, ...]
    scores: Callable[[Lookup], np.ndarray]
    part: str = "all parameters"
    unmasked: str | None = None


class Table:
    """Scores and measures variants whose conditions are there."""

    def __init__(self, gradients: Gradients, problem: Problem) -> None:
        self.gradients, self.problem = gradients, problem
        self.queries = len(problem.queries)
        self.static = [q.factors.get("camera") == "static" for q in problem.queries]
        self.measured: dict[str, RetrievalRow] = {}

    def row(self, variant: Variant) -> dict[str, object] | None:
        """The numbers of a variant; None while something it needs is not computed."""
        if any(self.gradients.missing(condition) for condition in variant.conditions):
            return None
        scores = self._scores(variant, "moving")
        found = measure_retrieval(scores, self.problem)
        motion = self.measured[variant.name] = found.motion
        per_query = np.array(motion.per_query, dtype=float)
        result: dict[str, object] = {
            "family": variant.family,
            "variant": variant.name,
            "mean_average_precision": motion.average_precision,
            "interval": motion.average_precision_interval,
            "chance": motion.chance,
            "static_camera_queries": float(per_query[self.static].mean()),
            "leakage": {name: row.lift for name, row in found.factors.items()},
        }
        if not any(self.gradients.missing(c.frozen) for c in variant.conditions):
            control = measure_retrieval(self._scores(variant, "frozen"), self.problem).motion
            difference = paired_difference(motion, control)
            result["frozen"] = control.average_precision
            result["frozen_interval"] = control.average_precision_interval
            result["minus_frozen"] = (difference.mean, *difference.interval)
        if variant.unmasked in self.measured:
            difference = paired_difference(motion, self.measured[variant.unmasked])
            result["minus_no_mask"] = (difference.mean, *difference.interval)
        return result

    def _scores(self, variant: Variant, view: View) -> np.ndarray:
        def lookup(index: int, loss: str) -> Features:
            condition = variant.conditions[index]
            condition = condition.frozen if view == "frozen" else condition
            found = self.gradients.features(condition, loss, variant.part)
            return found[: self.queries], found[self.queries :]

        return variant.scores(lookup)


def variants() -> Iterator[Variant]:
    """All rows, in the order of the table."""

    def single(
        family: str, name: str, condition: Condition, loss: str, part: str = "all parameters"
    ) -> Variant:
        bare = "change, no mask" if loss == "change" else "no mask"
        unmasked = name.replace(loss, bare) if "no mask" not in loss else None
        return Variant(
            family,
            name,
            (condition,),
            lambda get: _cosine(*get(0, loss)),
            part,
            unmasked,
        )

    for loss in ("no mask", "mask"):
        for timestep in (150, 300, 550, 751, 900):
            full = timestep in (300, 751)
            condition = Condition(float(timestep), losses=LOSSES if full else PAIR)
            yield single("timestep", f"t={timestep}, {loss}", condition, loss)
    for loss in ("change, no mask", "change"):
        for timestep in (300, 751):
            yield single("timestep", f"t={timestep}, {loss}", Condition(float(timestep)), loss)
    for timestep in (300, 751):
        for part in list(PARTS)[1:]:
            for loss in ("no mask", "mask"):
                condition = Condition(float(timestep))
                yield single("part", f"t={timestep}, {part}, {loss}", condition, loss, part)
    for timestep in (300, 751):
        for loss in ("no mask", "mask"):
            condition = Condition(float(timestep), caption=False, losses=PAIR)
            yield single("caption", f"t={timestep}, empty caption, {loss}", condition, loss)
            name = f"t={timestep}, feed-forward, empty caption, {loss}"
            yield single("caption", name, condition, loss, "feed-forward")
    for loss in MASKS:
        yield single("mask", f"t=300, {loss}", Condition(300.0, losses=MASKS), loss)
        yield single(
            "mask", f"t=300, feed-forward, {loss}", Condition(300.0, losses=MASKS), loss,
            "feed-forward",
        )  # fmt: skip
    yield from _noise_variants()


def _noise_variants() -> Iterator[Variant]:
    """Three noise draws: what is averaged, and what happens if they are not shared."""
    for timestep, caption in ((300, True), (300, False), (751, True)):
        sigma, said = float(timestep), "" if caption else ", empty caption"
        draws = (
            Condition(sigma, caption=caption, losses=LOSSES if caption else PAIR),
            *(Condition(sigma, seed, caption=caption, losses=PAIR) for seed in (1, 2)),
        )
        for part in ("all parameters", "feed-forward"):
            for loss in ("no mask", "mask"):
                kinds = {
                    "mean of 3 gradients": _mean_of_gradients,
                    "mean of 3 scores": _mean_of_scores,
                    "query and clip under other noise": _other_noise,
                }
                for kind, combine in kinds.items():
                    name = f"t={timestep}{said}, {part}, {kind}, {loss}"
                    unmasked = name.replace(", mask", ", no mask") if loss == "mask" else None
                    scores = partial(_combined, combine, loss)
                    yield Variant("noise", name, draws, scores, part, unmasked)


def _combined(combine: Combine, loss: str, get: Lookup) -> np.ndarray:
    return combine([get(index, loss) for index in range(3)])


def _mean_of_gradients(draws: list[Features]) -> np.ndarray:
    return _cosine(*(unit_rows(np.mean(side, axis=0)) for side in zip(*draws, strict=True)))


def _mean_of_scores(draws: list[Features]) -> np.ndarray:
    scores: np.ndarray = np.mean([_cosine(*draw) for draw in draws], axis=0)
    return scores


def _other_noise(draws: list[Features]) -> np.ndarray:
    pairs = [(a, b) for a in range(len(draws)) for b in range(len(draws)) if a != b]
    scores: np.ndarray = np.mean([_cosine(draws[a][0], draws[b][1]) for a, b in pairs], axis=0)
    return scores


def _cosine(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    return queries @ candidates.T


def main() -> None:
    """Compute what is missing, print the table, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Problem folder with truth/.")
    parser.add_argument("--model", default="wan-nano-base")
    parser.add_argument("--cache", type=Path, default=Path("runs/variants"))
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--conditions", type=int, default=1000, help="Computed now at most.")
    options = parser.parse_args()
    problem = quick_problem(load_problem(options.data), options.candidates, options.queries)
    bench = Bench(problem, model=options.model, cache=options.cache)
    key = cache_key(bench.backbone.fingerprint(), problem.digest(), DIM, BLOCK)
    gradients = Gradients(bench, options.cache / "gradients" / key)
    missing = [condition for condition in conditions() if gradients.missing(condition)]
    for condition in missing[: options.conditions]:
        gradients.compute(condition)
        print(f"computed {condition.name}", flush=True)
    table = Table(gradients, problem)
    rows = [row for row in map(table.row, variants()) if row is not None]
    for row in rows:
        numbers = {name: row.get(name) for name in ("mean_average_precision", "interval", "frozen")}
        print(f"{row['variant']:64s} {numbers}")
    facts = {
        "model": options.model,
        "candidates": len(problem.candidates),
        "queries": len(problem.queries),
        "problem": problem.digest(),
        "projected_dimension": DIM,
    }
    save("attribution_variants", {**facts, "rows": rows})


if __name__ == "__main__":
    main()

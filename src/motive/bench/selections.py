"""Does a method's choice of clips pay? Models trained on the best clips, and on all but them.

Invariant: every comparison is with random clips of the same number, trained for as many updates
with the same seeds; positive is good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from motive.bench.problem import Problem
from motive.errors import UsageError
from motive.evaluation.bank import Bank, Progress
from motive.evaluation.datamodel import random_subsets
from motive.evaluation.examining import Outcome
from motive.influence import count_of_share
from motive.report import Estimate
from motive.selection import majority_vote

_RESAMPLES = 2000
_DRAW_SEED = 1  # of random selections; the datamodel's sets use another


@dataclass
class Selections:
    """Models trained on what methods choose, and on as many random clips.

    Attributes:
        problem: Names the motions.
        bank: Trains and keeps the models.
        share: Of the candidates in a selection, rounded up.
        seeds: Training seeds; each also draws other random clips.
        motions: Select for the queries that show these; none: for all queries.
    """

    problem: Problem
    bank: Bank
    share: float
    seeds: tuple[int, ...]
    motions: tuple[str, ...] = ()
    _outcomes: dict[str, list[Outcome]] = field(default_factory=dict, repr=False)

    def train(
        self,
        scores: Mapping[str, np.ndarray],
        workers: int = 1,
        on_progress: Progress | None = None,
    ) -> None:
        """Train, for every seed: the base, references, and two models per method."""
        ids, seeds = set(self.problem.clip_ids), self.seeds
        sets: dict[str, list[set[str]]] = {"base": [set() for _ in seeds]}
        sets["all candidates"] = [ids for _ in seeds]
        sets["random"] = self._drawn(self.problem.clip_ids)
        sets["labelled"] = self._drawn(self._labelled())
        for name, found in scores.items():
            sets[f"best {name}"] = [self.chosen(found) for _ in seeds]
        for name in [name for name in sets if name == "random" or name.startswith("best ")]:
            sets[f"without {name}"] = [ids - chosen for chosen in sets[name]]
        tasks = [task for of_name in sets.values() for task in zip(of_name, seeds, strict=True)]
        done = iter(self.bank.train_on(tasks, workers=workers, on_progress=on_progress))
        self._outcomes = {name: [next(done) for _ in seeds] for name in sets}

    def chosen(self, scores: np.ndarray) -> set[str]:
        """The best clips by majority vote of the queries that show the asked motions."""
        rows, problem = self._queries(), self.problem
        votes = majority_vote(
            scores[rows], problem.clip_ids, [problem.query_ids[row] for row in rows], self._size()
        )
        return {choice.clip_id for choice in votes.choices}

    def gain_and_tail(self, name: str) -> dict[str, Estimate]:
        """What a method's best clips give, and what their absence takes, against random clips."""
        gain = self._gained(f"best {name}") - self._gained("random")
        tail = self._gained("without random") - self._gained(f"without best {name}")
        return {"gain": crossed_estimate(gain), "tail": crossed_estimate(tail)}

    def references(self) -> dict[str, Estimate]:
        """Loss taken off the base model's by the models that belong to no method."""
        share = f"{100 * self.share:g} %"
        names = {
            "all candidates": "all candidates",
            f"random {share}": "random",
            f"without random {share}": "without random",
            f"random {share} of those labelled with the asked motions": "labelled",
        }
        if not self._outcomes:
            return {}
        return {shown: crossed_estimate(self._gained(name)) for shown, name in names.items()}

    def shown(self) -> dict[str, Estimate]:
        """Probability of the asked motion in clips generated for it, for every kind of model."""
        asked = set(self._motions())
        prompts = self.bank.examination.prompts
        columns = [i for i, (_, motion) in enumerate(prompts) if motion in asked]
        if not columns:
            return {}
        return {
            name: crossed_estimate(np.exp([outcome.motions[columns] for outcome in outcomes]))
            for name, outcomes in self._outcomes.items()
        }

    def _gained(self, name: str) -> np.ndarray:
        """Loss taken off the base model's, in percent of it: "r q"."""
        rows = self._queries()
        base = self._outcomes["base"][0].losses[rows].mean(axis=1)
        losses = [outcome.losses[rows].mean(axis=1) for outcome in self._outcomes[name]]
        return 100.0 * (base - np.stack(losses)) / base

    def _drawn(self, ids: Sequence[str]) -> list[set[str]]:
        """For every seed another random set of the size of a selection."""
        size = min(self._size(), len(ids) - 1)
        masks = random_subsets(len(ids), len(self.seeds), size / len(ids), _DRAW_SEED)
        return [{clip for clip, inside in zip(ids, mask, strict=True) if inside} for mask in masks]

    def _labelled(self) -> list[str]:
        asked = set(self._motions())
        clips = self.problem.candidates
        return [clip.id for clip in clips if clip.decoy is None and clip.motion in asked]

    def _size(self) -> int:
        return count_of_share(self.share, len(self.problem.candidates))

    def _motions(self) -> tuple[str, ...]:
        known = dict.fromkeys(query.motion for query in self.problem.queries)
        asked = self.motions or tuple(known)
        strange = [motion for motion in asked if motion not in known]
        if strange:
            raise UsageError(
                f"no query shows {strange[0]!r}; motions to select for: {', '.join(known)}"
            )
        return asked

    def _queries(self) -> list[int]:
        asked = set(self._motions())
        return [row for row, query in enumerate(self.problem.queries) if query.motion in asked]


def crossed_estimate(values: np.ndarray, seed: int = 0) -> Estimate:
    """Mean of "r q" values, with a 95 % bootstrap interval over seeds and queries at once."""
    values = np.asarray(values, dtype=np.float64)
    generator = np.random.default_rng(seed)
    count, queries = values.shape
    rows = generator.integers(count, size=(_RESAMPLES, count))
    columns = generator.integers(queries, size=(_RESAMPLES, queries))
    means = values[rows[:, :, None], columns[:, None, :]].mean(axis=(1, 2))
    return Estimate(float(values.mean()), *(float(x) for x in np.quantile(means, [0.025, 0.975])))

"""Wins, ties and losses with what is known about them.

Invariant: attention checks never enter a tally. Intervals are computed by resampling whole
annotators (and prompts), because one annotator's judgements are not independent of each other;
Wilson's interval, which takes them as independent, stands beside them for comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from motive.evaluation.fidelity import Share, wilson_share
from motive.study.agreement import fleiss_kappa, krippendorff_alpha
from motive.study.design import COMPARISON
from motive.study.ranking import bradley_terry
from motive.study.records import Judgement

_RESAMPLES = 2000
OUTCOMES = ("win", "tie", "loss")
_COLUMN = {1: 0, 0: 1, -1: 2}  # Judgement.outcome -> index into OUTCOMES


@dataclass(frozen=True)
class Interval:
    """A 95 % interval; fractions of one, or units of the scale it belongs to."""

    low: float
    high: float


@dataclass(frozen=True)
class Part:
    """One outcome's share of a tally.

    Attributes:
        share: Count, total and Wilson's interval.
        annotators: Interval from resampling annotators; None with fewer than two of them.
        both: Interval from resampling annotators and prompts; None with fewer than two of either.
    """

    share: Share
    annotators: Interval | None
    both: Interval | None


@dataclass(frozen=True)
class Tally:
    """How one condition fared against another.

    Attributes:
        first: The condition whose wins are counted.
        second: Its opponent.
        motion: Motion label, or "" for all prompts.
        parts: "win", "tie" and "loss".
        preference: Interval of wins plus half the ties, from resampling annotators and prompts as
            far as there are two of each.
    """

    first: str
    second: str
    motion: str
    parts: dict[str, Part]
    preference: Interval | None

    @property
    def judgements(self) -> int:
        """Number of judgements."""
        return self.parts["win"].share.clips

    @property
    def preferred(self) -> float:
        """Wins plus half the ties, as a share."""
        return self.parts["win"].share.value + self.parts["tie"].share.value / 2


@dataclass(frozen=True)
class Agreement:
    """Agreement of annotators on one pairing.

    Attributes:
        first: A condition.
        second: The other.
        kappa: Fleiss' kappa over win, tie, loss.
        alpha: Krippendorff's alpha, nominal.
        ordinal: Krippendorff's alpha with loss < tie < win.
        pairs: Pairs that two or more annotators judged.
    """

    first: str
    second: str
    kappa: float | None
    alpha: float | None
    ordinal: float | None
    pairs: int


@dataclass(frozen=True)
class Ranked:
    """A condition's place on the Bradley-Terry scale.

    Attributes:
        condition: Name.
        strength: Log-odds; the conditions' mean is zero.
        interval: From resampling annotators and prompts as far as there are two of each.
        expected: Chance to win against an average condition.
    """

    condition: str
    strength: float
    interval: Interval | None

    @property
    def expected(self) -> float:
        """1 / (1 + exp(-strength))."""
        return float(1.0 / (1.0 + np.exp(-self.strength)))


class Table:
    """Judgements of one study as a dense table "a p g 3": annotator, prompt, pairing, outcome."""

    def __init__(
        self, judgements: Sequence[Judgement], pairings: Sequence[tuple[str, str]], seed: int
    ) -> None:
        """Count the comparisons among the judgements; checks are left out."""
        counted = [j for j in judgements if j.kind == COMPARISON]
        self.pairings = list(pairings)
        self.annotators = sorted({j.annotator for j in counted})
        self.prompts = sorted({j.prompt for j in counted})
        self.motions = {j.prompt: j.motion for j in counted}
        self.counts = np.zeros((len(self.annotators), len(self.prompts), len(pairings), 3))
        places = [{name: i for i, name in enumerate(names)} for names in
                  (self.annotators, self.prompts)]  # fmt: skip
        groups = {pairing: i for i, pairing in enumerate(pairings)}
        for j in counted:
            group = groups[j.first, j.second]
            self.counts[places[0][j.annotator], places[1][j.prompt], group, _COLUMN[j.outcome]] += 1
        self._resample(seed)

    def _resample(self, seed: int) -> None:
        """How often each annotator and prompt is drawn in every resample."""
        generator = np.random.default_rng(seed)

        def draws(size: int) -> np.ndarray:
            if size < 2:  # nothing to learn about their variation
                return np.ones((_RESAMPLES, size))
            return generator.multinomial(size, np.full(size, 1 / size), _RESAMPLES).astype(float)

        self._annotator_draws = draws(len(self.annotators))
        self._prompt_draws = draws(len(self.prompts))

    def tallies(self) -> list[Tally]:
        """One per judged pairing, then one per motion of each, labelled prompts only."""
        everything = np.ones(len(self.prompts), dtype=bool)
        labels = [self.motions[prompt] for prompt in self.prompts]
        masks = {"": everything} | {
            motion: np.array([label == motion for label in labels])
            for motion in sorted(set(labels) - {""})
        }
        return [
            self._tally(group, motion, mask)
            for motion, mask in masks.items()
            for group in range(len(self.pairings))
            if self.counts[:, mask, group].sum() > 0
        ]

    def _tally(self, group: int, motion: str, mask: np.ndarray) -> Tally:
        cells = self.counts[:, mask, group]  # (a, p, 3)
        totals = cells.sum(axis=(0, 1))
        several = (
            np.count_nonzero(cells.sum(axis=(1, 2))),
            np.count_nonzero(cells.sum(axis=(0, 2))),
        )
        by_annotator = self._annotator_draws @ cells.sum(axis=1)
        by_both = _drawn(cells, self._annotator_draws, self._prompt_draws[:, mask])
        parts = {}
        for i, name in enumerate(OUTCOMES):
            parts[name] = Part(
                wilson_share(int(totals[i]), int(totals.sum())),
                _interval(_ratio(by_annotator[:, i], by_annotator)) if several[0] > 1 else None,
                _interval(_ratio(by_both[:, i], by_both)) if min(several) > 1 else None,
            )
        preferred = by_both[:, 0] + by_both[:, 1] / 2
        known = _interval(_ratio(preferred, by_both)) if max(several) > 1 else None
        return Tally(*self.pairings[group], motion, parts, known)

    def agreement(self) -> list[Agreement]:
        """One per judged pairing; the answers are ordered loss, tie, win."""
        found = []
        for group, (first, second) in enumerate(self.pairings):
            counts = self.counts[:, :, group].sum(axis=0)[:, ::-1]  # (p, 3)
            if counts.sum() == 0:
                continue
            found.append(
                Agreement(
                    first,
                    second,
                    fleiss_kappa(counts),
                    krippendorff_alpha(counts),
                    krippendorff_alpha(counts, "ordinal"),
                    int((counts.sum(axis=1) >= 2).sum()),
                )
            )
        return found

    def ranking(self) -> list[Ranked]:
        """Conditions by strength, strongest first.

        Conditions that no chain of judgements connects with the first judged pairing have no
        place on its scale (yet) and are left out.
        """
        judged = [
            pairing
            for group, pairing in enumerate(self.pairings)
            if self.counts[:, :, group].sum() > 0
        ]
        names = _connected(judged)
        if not names:
            return []
        strengths = bradley_terry(self._wins(self.counts.sum(axis=(0, 1)), names))
        drawn = np.stack(
            [
                _drawn(self.counts[:, :, group], self._annotator_draws, self._prompt_draws)
                for group in range(len(self.pairings))
            ],
            axis=1,
        )  # (resample, pairing, 3)
        samples = bradley_terry(np.stack([self._wins(counts, names) for counts in drawn]))
        varies = max(len(self.annotators), len(self.prompts)) > 1
        ranked = [
            Ranked(name, float(strengths[i]), _interval(samples[:, i]) if varies else None)
            for i, name in enumerate(names)
        ]
        return sorted(ranked, key=lambda entry: (-entry.strength, entry.condition))

    def _wins(self, counts: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Counts "g 3" as a matrix of wins "k k", ties as halves."""
        wins = np.zeros((len(names), len(names)))
        for (first, second), (won, tied, lost) in zip(self.pairings, counts, strict=True):
            if first in names and second in names:
                i, j = names.index(first), names.index(second)
                wins[i, j] += won + tied / 2
                wins[j, i] += lost + tied / 2
        return wins


def _connected(pairings: Sequence[tuple[str, str]]) -> list[str]:
    """Conditions reached from the first pairing, in the order of the pairings."""
    reached = set(pairings[0]) if pairings else set()
    for _ in pairings:  # each pass reaches at least one more, or there is none
        for pairing in pairings:
            if reached & set(pairing):
                reached |= set(pairing)
    return list(dict.fromkeys(name for pairing in pairings for name in pairing if name in reached))


def _drawn(cells: np.ndarray, annotators: np.ndarray, prompts: np.ndarray) -> np.ndarray:
    """Counts "r 3" of cells "a p 3" under draws "r a" and "r p" at once (Owen 2007)."""
    size = cells.shape
    drawn = (annotators @ cells.reshape(size[0], -1)).reshape(len(annotators), *size[1:])
    return np.einsum("rpo,rp->ro", drawn, prompts)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Shares "r"; a resample without any judgement has none."""
    total = whole.sum(axis=1)
    return np.divide(part, total, out=np.full(len(part), np.nan), where=total > 0)


def _interval(samples: np.ndarray) -> Interval:
    low, high = np.nanquantile(samples, [0.025, 0.975])
    return Interval(float(low), float(high))

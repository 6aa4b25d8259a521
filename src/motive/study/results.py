"""What a study found: numbers, tables and a page.

Invariant: every judgement that is stored is either counted or named as left out, with the reason;
results never depend on the order in which judgements came in.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from motive.errors import UsageError
from motive.evaluation.fidelity import Share, wilson_share
from motive.files import whole_file
from motive.study.design import COMPARISON, IDENTICAL
from motive.study.records import LEFT, RIGHT, TIE, Annotator, Judgement
from motive.study.store import StudyStore
from motive.study.tally import OUTCOMES, Agreement, Interval, Ranked, Table, Tally


@dataclass(frozen=True)
class AnnotatorFacts:
    """One annotator's work.

    Attributes:
        name: As in the study.
        done: Pairs judged, checks included.
        total: Pairs in all.
        checks: Attention checks judged.
        failed: Of those: a spoilt video not rejected, or the same video twice not called a tie.
        seconds: Median time per pair; None if the browser never said.
        corrected: Answers taken back.
        counted: Whether the judgements enter the results.
    """

    name: str
    done: int
    total: int
    checks: int
    failed: int
    seconds: float | None
    corrected: int
    counted: bool


@dataclass(frozen=True)
class StudyResults:
    """Everything a report says.

    Attributes:
        title: Of the study.
        question: What was asked.
        tallies: Per pairing, then per pairing and motion.
        agreement: Per pairing.
        ranking: Bradley-Terry, strongest first.
        annotators: Who judged, and how carefully.
        left: How often the left video (A) won, of all comparisons with a winner; None without any.
        comments: Judgements with a comment.
        judgements: All stored judgements, checks included.
    """

    title: str
    question: str
    tallies: list[Tally]
    agreement: list[Agreement]
    ranking: list[Ranked]
    annotators: list[AnnotatorFacts]
    left: Share | None
    comments: list[Judgement]
    judgements: list[Judgement]

    @property
    def comparisons(self) -> int:
        """Judgements that are counted."""
        return sum(tally.judgements for tally in self.tallies if not tally.motion)


def passed(judgement: Judgement) -> bool:
    """Whether an attention check was answered as an attentive annotator would."""
    return judgement.outcome == (0 if judgement.kind == IDENTICAL else 1)


def study_results(
    store: StudyStore, *, most_failed: float | None = None, seed: int = 0
) -> StudyResults:
    """Results of a study, finished or not.

    Args:
        store: The study.
        most_failed: Annotators who failed more than this share of their attention checks are left
            out (and named); None counts everybody.
        seed: Of the resampling.

    Raises:
        UsageError: `most_failed` is no share, or there is nothing to count.
    """
    if most_failed is not None and not 0 <= most_failed <= 1:
        raise UsageError(f"most failed checks {most_failed}: must be a share between 0 and 1")
    judgements = store.judgements()
    if not judgements:
        raise UsageError(f"{store.folder}: nobody has judged anything yet; send out the links")
    corrections = store.corrections()
    annotators = [
        _annotator_facts(annotator, judgements, corrections, most_failed)
        for annotator in store.annotators()
    ]
    names = {annotator.name for annotator in annotators if annotator.counted}
    counted = [j for j in judgements if j.annotator in names]
    if all(j.kind != COMPARISON for j in counted):
        if any(j.kind == COMPARISON for j in judgements):
            raise UsageError(
                f"{store.folder}: nothing to count, every annotator who judged failed more than "
                f"{most_failed:.0%} of the attention checks; allow more"
            )
        raise UsageError(f"{store.folder}: nothing to count, no comparison is judged yet")
    table = Table(counted, store.pairings(), seed)
    decided = [j.choice for j in counted if j.kind == COMPARISON and j.choice != TIE]
    return StudyResults(
        store.facts["title"],
        store.facts["question"],
        table.tallies(),
        table.agreement(),
        table.ranking(),
        annotators,
        wilson_share(decided.count(LEFT), len(decided)) if decided else None,
        [j for j in judgements if j.comment],
        judgements,
    )


def _annotator_facts(
    annotator: Annotator,
    judgements: Sequence[Judgement],
    corrections: dict[str, int],
    most_failed: float | None,
) -> AnnotatorFacts:
    own = [j for j in judgements if j.annotator == annotator.name]
    checks = [j for j in own if j.kind != COMPARISON]
    failed = sum(not passed(j) for j in checks)
    seconds = [j.seconds for j in own if j.seconds is not None]
    too_many = most_failed is not None and failed > most_failed * len(checks)
    return AnnotatorFacts(
        annotator.name,
        annotator.done,
        annotator.total,
        len(checks),
        failed,
        median(seconds) if seconds else None,
        corrections.get(annotator.name, 0),
        not too_many,
    )


def results_rows(results: StudyResults) -> list[dict[str, Any]]:
    """One flat row per tally: shares in percent, with their three intervals."""
    rows = []
    for tally in results.tallies:
        row: dict[str, Any] = {
            "first": tally.first,
            "second": tally.second,
            "motion": tally.motion or "all",
            "judgements": tally.judgements,
        }
        for name in OUTCOMES:
            part = tally.parts[name]
            row |= {name: part.share.shown, f"{name}_percent": _percent(part.share.value)}
            wilson = Interval(part.share.low, part.share.high)
            for kind, interval in (
                ("wilson", wilson),
                ("annotators", part.annotators),
                ("annotators_prompts", part.both),
            ):
                row |= _ends(f"{name}_{kind}", interval)
        row["preferred_percent"] = _percent(tally.preferred)
        rows.append(row | _ends("preferred", tally.preference))
    return rows


def judgement_rows(results: StudyResults) -> list[dict[str, Any]]:
    """One flat row per stored judgement, with its conditions told."""
    counted = {annotator.name for annotator in results.annotators if annotator.counted}
    rows = []
    for j in results.judgements:
        is_check = j.kind != COMPARISON
        sides = (j.second, j.first) if j.swapped else (j.first, j.second)
        winner = {LEFT: sides[0], RIGHT: sides[1], TIE: "tie"}[j.choice]
        rows.append(
            {
                "annotator": j.annotator,
                "number": j.number,
                "kind": j.kind,
                "prompt": j.prompt,
                "motion": j.motion,
                "first": j.first,
                "second": j.second,
                "left": sides[0],
                "right": sides[1],
                "choice": j.choice,
                "winner": "" if is_check else winner,
                "check": ("passed" if passed(j) else "failed") if is_check else "",
                "counted": "yes" if j.annotator in counted and not is_check else "no",
                "seconds": "" if j.seconds is None else j.seconds,
                "at": datetime.fromtimestamp(j.at, UTC).isoformat(timespec="seconds"),
                "comment": j.comment,
            }
        )
    return rows


def write_results(results: StudyResults, folder: Path) -> list[Path]:
    """Write `index.html`, `results.csv`, `judgements.csv` and `results.json` into a folder.

    Raises:
        MotiveError: A file cannot be written.
    """
    from motive.study.results_page import results_page

    texts = {
        "index.html": results_page(results),
        "results.csv": _csv(results_rows(results)),
        "judgements.csv": _csv(judgement_rows(results)),
        "results.json": json.dumps(results_json(results), indent=1, allow_nan=False) + "\n",
    }
    for name, text in texts.items():
        with whole_file(folder / name) as partial:
            partial.write_text(text, "utf-8", newline="")
    return [folder / name for name in texts]


def results_json(results: StudyResults) -> dict[str, Any]:
    """All results as plain values."""
    return {
        "title": results.title,
        "question": results.question,
        "comparisons": results.comparisons,
        "tallies": results_rows(results),
        "ranking": [asdict(entry) | {"expected": entry.expected} for entry in results.ranking],
        "agreement": [asdict(entry) for entry in results.agreement],
        "annotators": [asdict(entry) for entry in results.annotators],
        "left": None if results.left is None else asdict(results.left),
    }


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    """An interval as two columns in percent, empty if there is none."""
    if interval is None:
        return {f"{name}_low": None, f"{name}_high": None}
    return {f"{name}_low": _percent(interval.low), f"{name}_high": _percent(interval.high)}


def _percent(value: float) -> float:
    return round(100 * value, 2)

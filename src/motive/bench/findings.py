"""What a board says in sentences, and its numbers as text."""

from __future__ import annotations

from typing import NamedTuple

from motive.bench.board import BY_KEY, BankFacts, Board, BoardRow, Column, Contrast
from motive.bench.projection import ProjectionCeiling
from motive.report import Estimate

_FROM_ZERO = ("appearance", "position", "camera")  # like counterfactual columns: zero is chance


class Finding(NamedTuple):
    """An answer in one sentence, with the number it rests on.

    Attributes:
        question: What a reader wants to know.
        number: The number alone.
        text: The answer.
        tone: "good", "bad" or "open" (nothing was shown).
    """

    question: str
    number: str
    text: str
    tone: str = "good"


def findings(board: Board) -> list[Finding]:
    """What the board says about motion, mask, frozen control, projection and ceiling."""
    found = []
    motive = board.row("motive")
    if motive is not None and board.chance > 0:
        found.append(_chance_finding(motive, board.chance))
    found += [
        _contrast_finding(contrast)
        for contrast in board.contrasts
        if contrast.kind != "weights"  # many: a table of their own
    ]
    if board.projection is not None:
        found.append(_projection_finding(board.projection))
    if board.bank is not None:
        found += _ceiling_findings(board, board.bank)
    return found


def shown(estimate: Estimate | None, digits: int = 2, signed: bool = False) -> str:
    """An estimate as text: `0.42 [0.33, 0.51]`; an en dash if it was not measured."""
    if estimate is None:
        return "\N{EN DASH}"
    sign = "+" if signed else ""
    text = f"{estimate.value:{sign}.{digits}f}"
    if estimate.low is not None and estimate.high is not None:
        text += f" [{estimate.low:{sign}.{digits}f}, {estimate.high:{sign}.{digits}f}]"
    return text.replace("-", "\N{MINUS SIGN}")


def has_sign(column: Column) -> bool:
    """Whether a column's numbers are told with their sign, because zero stands for nothing."""
    return column.group == "counterfactual" or column.key in _FROM_ZERO


def _chance_finding(row: BoardRow, chance: float) -> Finding:
    found = row.values["map"]
    above = found.low is not None and found.low > chance
    return Finding(
        f"Does {row.name} find the motion?",
        f"{found.value / chance:.1f} x",
        f"Its mean average precision is {shown(found)}, {found.value / chance:.1f} times that of "
        f"a random order ({chance:.3f}).",
        "good" if above else "open",
    )


def _contrast_finding(contrast: Contrast) -> Finding:
    kind = contrast.kind
    name, _, _ = contrast.title.partition(" minus ")
    question = {
        "mask": "What does the motion mask buy?",
        "frozen": "Is it the motion that is found?",
    }.get(kind, contrast.title)
    if kind != contrast.key:  # not the headline method
        question = f"{question[:-1]} ({name})?"
    consequence = {
        ("mask", "higher"): "the mask helps to find motion",
        ("mask", "lower"): "the mask hurts",
        ("frozen", "higher"): "moving clips tell more than still ones under the same mask",
        ("frozen", "lower"): "still clips under the same mask do better",
    }.get((kind, contrast.verdict), "the interval holds zero, so nothing is shown")
    text = f"{contrast.title}: {shown(contrast.estimate, 3, True)} mAP; {consequence}."
    tone = {"higher": "good", "lower": "bad"}.get(contrast.verdict, "open")
    return Finding(question, shown(_bare(contrast.estimate), 3, True), text, tone)


def _projection_finding(ceiling: ProjectionCeiling) -> Finding:
    row = next((row for row in ceiling.rows if row.dim == 512), ceiling.rows[-1])
    return Finding(
        "What does the projection cost?",
        shown(_bare(row.exact_spearman)),
        f"At D' = {row.dim} the projected scores correlate {shown(row.exact_spearman)} (Spearman) "
        f"with the unprojected ones; mAP is {shown(row.average_precision)} instead of "
        f"{shown(ceiling.exact_average_precision)}.",
    )


def _bare(estimate: Estimate) -> Estimate:
    """The value without its interval."""
    return Estimate(estimate.value)


def _ceiling_findings(board: Board, bank: BankFacts) -> list[Finding]:
    found = []
    names = {"lds_loss": "the loss on a query", "lds_motion": "the generated motion"}
    for key, target in names.items():
        scored = [row for row in board.rows if key in row.values]
        if key not in bank.ceilings or not scored:
            continue
        best = max(scored, key=lambda row: row.values[key].value)
        value, top = best.values[key], bank.ceilings[key]
        found.append(
            Finding(
                f"How far from the ceiling ({BY_KEY[key].title})?",
                f"{shown(_bare(value))} of {shown(_bare(top))}",
                f"The best prediction of {target} is {best.name} with LDS {shown(value)}; "
                f"retraining with another seed limits any prediction to {shown(top)}.",
                "good" if value.low is not None and value.low > 0 else "open",
            )
        )
    return found

"""Boards with numbers made up for tests of how boards are shown."""

from motive.bench.board import BankFacts, Board, BoardRow, Contrast
from motive.bench.projection import CeilingRow, ProjectionCeiling
from motive.report import Estimate

MOTIONS = ("roll", "spin")


def around(value, half=0.02):
    """An estimate with a symmetric interval."""
    return Estimate(value, round(value - half, 6), round(value + half, 6))


def a_row(key, name, precision, *, pixels=True, **values):
    """A row with controls (or the note that there are none)."""
    measured = {"map": around(precision), "p1": around(0.5), "p10": around(0.3)}
    if pixels:
        measured |= {"frozen": around(0.15), "shuffled": around(0.12)}
    return BoardRow(
        key=key,
        name=name,
        about=f"What {name} is.",
        values=measured | values,
        same=() if pixels else ("frozen", "shuffled"),
        per_motion=dict.fromkeys(MOTIONS, precision),
        factors={"colour": 0.01},
        seconds=12.0,
    )


def a_ceiling():
    """Agreement of projections at two sizes."""
    rows = tuple(
        CeilingRow(dim, around(0.4), around(0.6), around(0.3), around(0.5), around(0.2))
        for dim in (128, 512)
    )
    return ProjectionCeiling(rows, around(0.25), 60, 10, 6, 28_000, (0, 1))


def a_board(**changes):
    """A board of three methods with everything measured."""
    leaks = {"appearance": around(0.03), "position": around(-0.01), "camera": around(0.0)}
    influence = {"lds_loss": around(0.3), "lds_motion": around(0.1), "gain": around(1.0)}
    fields = {
        "title": "Which score finds motion?",
        "chance": 0.1,
        "rows": (
            a_row("random", "random", 0.11, pixels=False, **leaks),
            a_row("motive", "MOTIVE", 0.26, decoys=around(0.05), **leaks, **influence),
            a_row("no-mask", "no mask", 0.2, **leaks, lds_loss=around(0.2)),
        ),
        "motions": MOTIONS,
        "contrasts": (
            Contrast("mask", "MOTIVE minus no mask", Estimate(0.06, 0.02, 0.1)),
            Contrast("frozen", "MOTIVE minus its frozen control", Estimate(0.01, -0.02, 0.04)),
        ),
        "projection": a_ceiling(),
        "bank": BankFacts(
            models=16,
            subsets=8,
            seeds=2,
            fraction=0.5,
            updates=8,
            ceilings={"lds_loss": around(0.7)},
            labels={"lds_loss": around(0.4)},
            references={"all candidates": around(2.0)},
            shown={"base": around(0.2)},
            unit="percent",
        ),
        "decoy_share": 0.1,
        "facts": (("Model", "Wan-Nano"), ("Queries", "10")),
        "settings": {"queries": 10},
        "versions": {"torch": "2"},
        "command": "motive bench attribution",
        "notes": ("Numbers of a test.",),
    }
    return Board(**{**fields, **changes})

"""What a study stores and what it says about it.

Invariant: `Trial` and `Standing` are all that a browser is ever told, and hold no condition.
"""

from __future__ import annotations

from dataclasses import dataclass

from motive.errors import MotiveError

LEFT, RIGHT, TIE = "left", "right", "tie"
CHOICES = (LEFT, RIGHT, TIE)


class UnknownAnnotatorError(MotiveError):
    """The link belongs to nobody in this study."""


class UnknownTrialError(MotiveError):
    """The pair is none of this annotator's."""


class VoteConflictError(MotiveError):
    """The pair has another judgement, which stays."""


class StorageError(MotiveError):
    """The judgement could not be written; nothing changed, and it can be sent again."""


@dataclass(frozen=True)
class Vote:
    """A judgement as the browser sends it.

    Attributes:
        key: Made once per judgement by the browser; the same key never counts twice.
        choice: "left", "right" or "tie".
        comment: Free text.
        seconds: Time from showing the pair to the choice, as the browser measured it.
    """

    key: str
    choice: str
    comment: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Trial:
    """A pair as an annotator meets it; holds nothing that tells the conditions.

    Attributes:
        id: Random name; the only one the browser knows.
        number: Position in the annotator's order, from 1.
        prompt: Text of the prompt.
        motion: Its motion label, or "".
    """

    id: str
    number: int
    prompt: str
    motion: str


@dataclass(frozen=True)
class Standing:
    """Where an annotator is.

    Attributes:
        done: Pairs judged.
        total: Pairs in all.
        current: The first pair not judged; None at the end.
        following: The one after it, for loading ahead.
        last: Id of the pair judged last, which an undo takes back; None at the beginning.
    """

    done: int
    total: int
    current: Trial | None
    following: Trial | None
    last: str | None


@dataclass(frozen=True)
class Annotator:
    """Who judges, the secret part of their link, and how far they are."""

    name: str
    key: str
    done: int
    total: int


@dataclass(frozen=True)
class Judgement:
    """One counted vote, with its conditions told.

    Attributes:
        annotator: Name.
        number: Position in the annotator's order.
        kind: As of `Pair`.
        prompt: Id.
        motion: Label, or "".
        first: Condition whose wins are counted.
        second: The other condition.
        swapped: Whether the first was on the right.
        choice: "left", "right" or "tie".
        comment: As written.
        seconds: From showing to choosing; None if the browser did not say.
        at: Seconds since 1970 (UTC).
    """

    annotator: str
    number: int
    kind: str
    prompt: str
    motion: str
    first: str
    second: str
    swapped: bool
    choice: str
    comment: str
    seconds: float | None
    at: float

    @property
    def outcome(self) -> int:
        """1 if the first won, 0 for a tie, -1 if the second won."""
        if self.choice == TIE:
            return 0
        return 1 if (self.choice == RIGHT) == self.swapped else -1

"""The conditions of an experiment: on which clips a model is fine-tuned before it generates.

Invariant: conditions differ in the clips alone. Model, updates, seeds, prompts and sampling are the
experiment's own and the same for all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from motive.errors import UsageError
from motive.runs import METHODS

BASE, FULL, LABELLED = "base", "full", "labelled"
DRAWN = ("random", LABELLED)  # each training seed draws other clips
BY_GRADIENT = ("motive", "no-mask")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")


@dataclass(frozen=True)
class Condition:
    """One row of the table.

    Attributes:
        name: Short, for files and the command line.
        by: "base" (not trained), "full" (all clips), "labelled" (drawn from the clips labelled with
            the wanted motions), or a method of `motive.runs.METHODS`.
        title: Name in tables; empty takes one that says what it is.
        top: Share or number of clips; None takes the experiment's.
        bottom: The lowest instead of the highest.
        diverse: λ of `motive.selection.diversify`.
        encoder: For "embedding": folder or hub id; None takes the experiment's.
        features: For "motive" and "no-mask": options of `motive.runs.RunConfig` that differ from
            the experiment's features.
        draws: For the same: scores are averaged over so many draws of (timestep, noise).
    """

    name: str
    by: str
    title: str = ""
    top: str | None = None
    bottom: bool = False
    diverse: float = 0.0
    encoder: str | None = None
    features: Mapping[str, Any] = field(default_factory=dict)
    draws: int = 1

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"condition {self.name!r}: a name has 1 to 40 letters, digits, '.', '-', '+', '_'"
            )
        if self.by not in (BASE, FULL, LABELLED, *METHODS):
            known = ", ".join((BASE, FULL, LABELLED, *METHODS))
            raise UsageError(f"condition {self.name}: by {self.by!r} must be one of {known}")
        if not 0 <= self.diverse <= 1:
            raise UsageError(f"condition {self.name}: diverse {self.diverse}: from 0 to 1")
        asked = [n for n in ("top", "bottom", "diverse") if getattr(self, n)]
        if self.by in (BASE, FULL) and asked:
            raise UsageError(
                f"condition {self.name}: {asked[0]} says nothing about {self.by}; take it out"
            )
        if self.by == LABELLED and (self.bottom or self.diverse):
            raise UsageError(f"condition {self.name}: labelled is drawn; take {asked[-1]} out")
        if self.encoder is not None and self.by != "embedding":
            raise UsageError(f"condition {self.name}: encoder is for by: embedding alone")
        if self.draws < 1:
            raise UsageError(f"condition {self.name}: draws {self.draws}: must be at least 1")
        if self.by not in BY_GRADIENT and (self.features or self.draws > 1):
            what = "features" if self.features else "draws"
            raise UsageError(f"condition {self.name}: {what} is for by: motive and no-mask alone")

    @property
    def trained(self) -> bool:
        """Whether a model is fine-tuned for it."""
        return self.by != BASE

    @property
    def selects(self) -> bool:
        """Whether it is about a part of the clips."""
        return self.by not in (BASE, FULL)

    @property
    def asks(self) -> bool:
        """Whether its clips depend on the queries."""
        return self.by not in (BASE, FULL, "random", "magnitude")

    @property
    def drawn(self) -> bool:
        """Whether each training seed has clips of its own."""
        return self.by in DRAWN

    def shown(self, top: str, encoder: str | None) -> str:
        """Title for tables.

        Args:
            top: The experiment's share.
            encoder: What embeddings come from in the end; None is the built-in encoder.
        """
        if self.title:
            return self.title
        size = self.top or top
        size = size.replace("%", " %") if size.endswith("%") and " " not in size else size
        named = {
            BASE: "Base",
            FULL: "Full fine-tuning",
            LABELLED: f"Labelled {size} (knows the motions)",
            "random": f"Random {size}",
            "magnitude": "Motion magnitude",
            "embedding": _embedding(encoder),
            "no-mask": "MOTIVE without mask",
            "motive": "MOTIVE",
            "pixels": "Pixel similarity",
            "captions": "Caption similarity",
            "weight-maps": "Weight maps alone",
        }[self.by]
        named = f"{named} ({self._differing()})" if self.features or self.draws > 1 else named
        named = f"{named}, diverse {self.diverse:g}" if self.diverse else named
        if self.top and not self.bottom and size not in named:
            named = f"{named}, {size}"
        return f"Bottom {size} of {named} (control)" if self.bottom else named

    def _differing(self) -> str:
        """How its features differ from the experiment's, in words."""
        said = list(options_in_words(self.features))
        return ", ".join(said + [f"mean of {self.draws} draws"] * (self.draws > 1))


#: What a bare name in the list of conditions stands for.
KNOWN: dict[str, dict[str, Any]] = {
    **{name: {"by": name} for name in (BASE, FULL, LABELLED, *METHODS)},
    "bottom": {"by": "motive", "bottom": True},
}
PAPER = (BASE, FULL, "random", "magnitude", "embedding", "no-mask", "motive", "bottom")


def options_in_words(options: Mapping[str, Any]) -> Iterator[str]:
    """`timesteps 300`, `no captions`, ... of options of a run."""
    for name, value in options.items():
        if isinstance(value, bool):
            yield name if value else f"no {name}"
            continue
        listed = value if isinstance(value, tuple) else (value,)
        shown = (f"{v:g}" if isinstance(v, float) else str(v) for v in listed)
        yield f"{name} {' '.join(shown)}"


def _embedding(encoder: str | None) -> str:
    if encoder is None:
        return "Embedding (built-in encoder)"
    return "V-JEPA 2 embedding" if "vjepa2" in encoder.lower() else f"Embedding ({encoder})"

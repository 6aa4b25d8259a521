"""Under which conditions two features may be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from motive.errors import FingerprintError


@dataclass(frozen=True)
class Fingerprint:
    """Everything that decides a feature's numbers, as nested JSON-able values.

    Sections used by a run: model (component digests), parameters (pattern and count), objective,
    projection, standard (frames, fps, size) and motion (tracker and weights).

    Example:
        >>> a = Fingerprint({"objective": {"t": 751}})
        >>> a.require_same(Fingerprint({"objective": {"t": 500}}), "index.lance")
        Traceback (most recent call last):
        motive.errors.FingerprintError: index.lance: made under other settings, so the features \
cannot be compared: objective.t is 751 here and 500 there; use a new run folder, or go back to the \
old settings
    """

    values: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """16 hex digits."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=8).hexdigest()

    def to_json(self) -> str:
        """Canonical JSON."""
        return json.dumps(self.values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Fingerprint:
        """Read what `to_json` wrote."""
        return cls(json.loads(text))

    def require_same(self, other: Fingerprint, where: str) -> None:
        """Raise `FingerprintError` naming each field that differs between self and other."""
        fields = differing_fields(self.values, other.values)
        if not fields:
            return
        shown = "; ".join(
            f"{name} is {here} here and {there} there" for name, here, there in fields
        )
        raise FingerprintError(
            f"{where}: made under other settings, so the features cannot be compared: {shown}; "
            "use a new run folder, or go back to the old settings"
        )


def differing_fields(
    here: Mapping[str, Any], there: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    """(dotted name, value here, value there) for every field that differs."""
    left, right = (json.loads(json.dumps(_flatten(values))) for values in (here, there))
    return [
        (name, _shown(left.get(name)), _shown(right.get(name)))
        for name in sorted({*left, *right})
        if left.get(name) != right.get(name)
    ]


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def _shown(value: Any) -> str:
    return "absent" if value is None else json.dumps(value)

"""Which parameters a feature is made of: their names, order and shapes.

A name keys a parameter's randomness and its size cuts it into blocks. A library that renames,
splits or fuses parameters changes both without changing a weight, so the table belongs to what
must agree before two features are compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from math import prod

import torch

from motive.errors import FingerprintError


@dataclass(frozen=True)
class ParameterTable:
    """The attributed parameters in the order of the model.

    Attributes:
        entries: (name, shape) of each.

    Example:
        >>> table = ParameterTable.of(torch.nn.Linear(4, 3).named_parameters())
        >>> table.entries, table.size, table.offsets()["bias"]
        ((('weight', (3, 4)), ('bias', (3,))), 15, 12)
    """

    entries: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, parameters: Iterable[tuple[str, torch.Tensor]]) -> ParameterTable:
        """The table of named parameters, as `named_parameters()` gives them."""
        return cls(tuple((name, tuple(tensor.shape)) for name, tensor in parameters))

    @classmethod
    def from_json(cls, text: str) -> ParameterTable:
        """Read what `to_json` wrote."""
        return cls(tuple((name, tuple(shape)) for name, shape in json.loads(text)))

    def to_json(self) -> str:
        """Canonical JSON: a list of [name, shape]."""
        return json.dumps(self.entries, separators=(",", ":"))

    @property
    def size(self) -> int:
        """D, the number of coordinates; may exceed 2^31."""
        return sum(prod(shape) for _, shape in self.entries)

    def offsets(self) -> dict[str, int]:
        """Place of each parameter's first coordinate when all are laid end to end."""
        places, place = {}, 0
        for name, shape in self.entries:
            places[name] = place
            place += prod(shape)
        return places

    def identity(self) -> dict[str, object]:
        """Number of parameters, D and a digest of the whole table."""
        digest = hashlib.blake2b(self.to_json().encode(), digest_size=8).hexdigest()
        return {"count": len(self.entries), "size": self.size, "digest": digest}

    def require_same(self, other: ParameterTable, where: str) -> None:
        """Refuse features that were made of other parameters.

        Args:
            other: The table that the features were made with.
            where: Their file, for the message.

        Raises:
            FingerprintError: The tables differ; the message names the first parameter that does.
        """
        for number, (here, there) in enumerate(zip_longest(self.entries, other.entries)):
            if here != there:
                raise FingerprintError(
                    f"{where}: made from other parameters, so the features cannot be compared: "
                    f"number {number} is {_shown(here)} here and {_shown(there)} there; use the "
                    "model and library versions of that run, or a new run folder"
                )


def _shown(entry: tuple[str, tuple[int, ...]] | None) -> str:
    return "absent" if entry is None else f"{entry[0]} {list(entry[1])}"

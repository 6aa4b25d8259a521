"""The feature table: one unit vector and its norms per clip."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from motive.errors import MotiveError
from motive.index.fingerprint import Fingerprint
from motive.index.table import LanceTable

_FINGERPRINT_KEY = b"motive.fingerprint"
_PARAMETERS_KEY = b"motive.parameters"


@dataclass(frozen=True)
class FeatureRow:
    """What is stored per clip; exactly one of `vector` and `error` is given.

    Attributes:
        clip_id: Content-derived id.
        vector: g̃, float32 "d", unit length.
        projected_norm: ‖P g‖.
        gradient_norm: ‖g‖.
        loss: L_mot.
        seconds: Time spent on forward, backward and projection.
        error: Why there is no feature.
    """

    clip_id: str
    vector: np.ndarray | None = None
    projected_norm: float | None = None
    gradient_norm: float | None = None
    loss: float | None = None
    seconds: float | None = None
    error: str | None = None


class FeatureTable(NamedTuple):
    """Features ready for scoring.

    Attributes:
        ids: n clip ids.
        vectors: float32 "n d", unit rows.
        projected_norms: float32 "n"; vectors times these are the P g.
        gradient_norms: float32 "n", of the unprojected gradients.
        losses: float32 "n".
    """

    ids: list[str]
    vectors: np.ndarray
    projected_norms: np.ndarray
    gradient_norms: np.ndarray
    losses: np.ndarray


class FeatureStore:
    """The features of one run under one fingerprint.

    Args:
        path: The `.lance` folder.
        dim: D'.
        fingerprint: Of this run; a store made under another one is refused.

    Raises:
        FingerprintError: The store exists under another fingerprint; the message names the fields.
    """

    def __init__(self, path: Path, dim: int, fingerprint: Fingerprint) -> None:
        self.fingerprint = fingerprint
        schema = pa.schema(
            [
                pa.field("clip_id", pa.string(), nullable=False),
                pa.field("vector", pa.list_(pa.float32(), dim)),
                pa.field("projected_norm", pa.float32()),
                pa.field("gradient_norm", pa.float32()),
                pa.field("loss", pa.float32()),
                pa.field("seconds", pa.float32()),
                pa.field("error", pa.string()),
            ],
            metadata={_FINGERPRINT_KEY: fingerprint.to_json().encode()},
        )
        self.table = LanceTable(path, schema)
        stored = self.table.metadata().get(_FINGERPRINT_KEY.decode())
        if stored is not None:
            fingerprint.require_same(Fingerprint.from_json(stored), str(path))

    def parameters(self) -> str | None:
        """The parameter table that the stored features were made with; None if none is stored."""
        return self.table.metadata().get(_PARAMETERS_KEY.decode())

    def describe_parameters(self, table: str) -> None:
        """The parameter table to store with the first feature; later calls change nothing."""
        schema = self.table.schema
        self.table.schema = schema.with_metadata(
            {**(schema.metadata or {}), _PARAMETERS_KEY: table.encode()}
        )

    def ids(self) -> set[str]:
        """Ids of all rows, errors included."""
        return set(self.table.read(["clip_id"])["clip_id"].to_pylist())

    def errors(self) -> dict[str, str]:
        """Clip id -> reason, for clips without a feature."""
        rows = self.table.read(["clip_id", "error"]).to_pylist()
        good = {row["clip_id"] for row in rows if row["error"] is None}
        return {row["clip_id"]: row["error"] for row in rows if row["clip_id"] not in good}

    def append(self, rows: Iterable[FeatureRow]) -> None:
        """Commit rows atomically."""
        self.table.append(
            [
                {**vars(row), "vector": None if row.vector is None else row.vector.tolist()}
                for row in rows
            ]
        )

    def load(self, ids: Iterable[str] | None = None) -> FeatureTable:
        """Features of the given clips in the given order (default: all, sorted by id).

        Raises:
            MotiveError: An id has no feature.
        """
        numbers = ("projected_norm", "gradient_norm", "loss")
        table = self.table.read(["clip_id", "vector", *numbers])
        table = table.filter(table["vector"].is_valid())
        found = table["clip_id"].to_pylist()
        position: dict[str, int] = {}
        for index, clip_id in enumerate(found):
            position.setdefault(clip_id, index)  # two workers may both have written a clip
        wanted = sorted(position) if ids is None else list(ids)
        missing = [clip_id for clip_id in wanted if clip_id not in position]
        if missing:
            raise MotiveError(
                f"{self.table.path}: no feature for {len(missing)} clips, first {missing[0]}; "
                "run `motive index` again"
            )
        dim = self.table.schema.field("vector").type.list_size
        flat = table["vector"].combine_chunks()
        vectors = np.asarray(_values(flat), dtype=np.float32).reshape(-1, dim)
        order = np.array([position[clip_id] for clip_id in wanted], dtype=np.int64)
        columns = [table[name].to_numpy()[order] for name in numbers]
        return FeatureTable(wanted, vectors[order], *columns)


def _values(array: pa.Array | pa.ChunkedArray) -> np.ndarray:
    if isinstance(array, pa.ChunkedArray):
        parts = [chunk.flatten().to_numpy() for chunk in array.chunks]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)
    return array.flatten().to_numpy()

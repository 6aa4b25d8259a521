"""What a folder of generated videos holds, and under which settings they were made.

`metadata.jsonl` has one row per finished video and makes the folder an ordinary data set;
`generation.json` has what all of them share.

Invariant: a row is written when its video is whole, and never before. All videos of a folder were
made under the same settings; others are refused, not mixed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from motive.errors import FingerprintError, MotiveError, UsageError
from motive.files import whole_file, write_error
from motive.index.fingerprint import differing_fields

ROWS, SETTINGS = "metadata.jsonl", "generation.json"
Key = tuple[str, int]  # prompt, seed


class Manifest:
    """The finished videos of one folder.

    Args:
        folder: Made if missing.
        settings: Everything that decides the videos but prompt and seed, JSON-able.
        facts: What else to record (versions); may change between runs.

    Raises:
        FingerprintError: The folder holds videos made under other settings; says which.
        UsageError: The folder holds something else.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], facts: Mapping[str, Any] | None = None
    ) -> None:
        self.folder = Path(folder)
        self._check(settings)
        self.rows: dict[Key, dict[str, Any]] = self._read()
        record = {"settings": settings, **(facts or {})}
        with whole_file(self.folder / SETTINGS) as partial:
            partial.write_text(json.dumps(record, indent=2) + "\n", "utf-8")

    def finished(self, key: Key) -> bool:
        """Whether this video is there."""
        row = self.rows.get(key)
        return row is not None and (self.folder / row["file_name"]).is_file()

    def owner(self, name: str) -> Key | None:
        """The prompt and seed of a file, if it is there under that name."""
        found = (key for key, row in self.rows.items() if row["file_name"] == name)
        return next((key for key in found if self.finished(key)), None)

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a finished video.

        Raises:
            MotiveError: The disk is full.
        """
        self.rows[row["prompt"], row["seed"]] = dict(row)
        path = self.folder / ROWS
        try:
            with path.open("ab") as file:
                file.write(_line(row))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise write_error(path, error) from error

    def write(self, order: Iterable[Key] = ()) -> None:
        """Write all rows anew, in the given order first, without those whose file is gone."""
        # Another process may have added videos since the rows were read.
        self.rows = {**self._read(), **self.rows}
        keys = dict.fromkeys([*(key for key in order if key in self.rows), *self.rows])
        with whole_file(self.folder / ROWS) as partial:
            partial.write_bytes(
                b"".join(_line(self.rows[key]) for key in keys if self.finished(key))
            )

    def _check(self, settings: Mapping[str, Any]) -> None:
        path = self.folder / SETTINGS
        if not path.exists():
            if self.folder.is_file() or (self.folder / ROWS).exists():
                raise UsageError(f"{self.folder}: holds something else; give another folder")
            return
        try:
            stored = json.loads(path.read_text("utf-8"))["settings"]
        except (OSError, ValueError, KeyError, TypeError):
            raise MotiveError(f"{path}: cannot be read; give another folder") from None
        fields = differing_fields(stored, settings)
        if fields:
            shown = "; ".join(f"{name} was {old} and is {new}" for name, old, new in fields[:4])
            more = f"; and {len(fields) - 4} more" if len(fields) > 4 else ""
            raise FingerprintError(
                f"{self.folder}: holds videos made with other settings: {shown}{more}; give "
                "another folder, or go back to the old settings"
            )

    def _read(self) -> dict[Key, dict[str, Any]]:
        path = self.folder / ROWS
        if not path.exists():
            return {}
        rows = {}
        for line in path.read_bytes().split(b"\n"):
            try:
                row = json.loads(line)
                rows[row["prompt"], row["seed"]] = row
            except (ValueError, KeyError, TypeError):
                continue  # the last line of a killed run; its video is made again
        return rows


def _line(row: Mapping[str, Any]) -> bytes:
    # ASCII: readers open such lists in whatever encoding their system prefers.
    return json.dumps(row, default=str).encode("ascii") + b"\n"

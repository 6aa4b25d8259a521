"""A Lance data set with atomic appends, used as a table that survives anything.

Each append is one Lance commit: it is either there whole or not at all. Small commits are folded
together from time to time so that reading stays fast.
"""

from __future__ import annotations

import logging
import shutil
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa

from motive.errors import FingerprintError, MotiveError
from motive.files import write_error

_LOG = logging.getLogger(__name__)
_LANCE_ERRORS = (OSError, ValueError, RuntimeError)  # its native core raises all three
_COMPACT_EVERY = 256  # appends; thousands of one-row fragments would slow every read


class LanceTable:
    """Rows of one schema in one Lance data set; created at the first append.

    Args:
        path: The `.lance` folder.
        schema: Arrow schema, with metadata to store.

    Raises:
        MotiveError: The folder exists but is no readable Lance data set.
        FingerprintError: Its columns are not those of `schema` (another version of MOTIVE).
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self.schema = path, schema
        self._appends = 0
        existing = self._open()
        if existing is not None and existing.schema.names != schema.names:
            raise FingerprintError(
                f"{path}: columns {existing.schema.names} are not those of this version; "
                "use a new run folder"
            )

    def metadata(self) -> dict[str, str]:
        """Schema metadata as stored on disk (empty before the first append)."""
        dataset = self._open()
        stored = (dataset.schema.metadata or {}) if dataset is not None else {}
        return {key.decode(): value.decode() for key, value in stored.items()}

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Commit rows atomically.

        Raises:
            MotiveError: The disk is full or the folder cannot be written.
        """
        if not rows:
            return
        table = pa.Table.from_pylist(rows, schema=self.schema)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._commit(table)
        except _LANCE_ERRORS as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise write_error(self.path, OSError(text)) from error
        self._appends += 1
        if self._appends % _COMPACT_EVERY == 0:
            self.compact()

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """All rows (optionally some columns), in the order they were written."""
        dataset = self._open()
        if dataset is None:
            names = self.schema.names if columns is None else columns
            return pa.schema([self.schema.field(name) for name in names]).empty_table()
        try:
            return dataset.to_table(columns=columns)
        except _LANCE_ERRORS as error:
            raise self._damaged(error) from error

    def compact(self) -> None:
        """Fold small commits into one and drop old versions. Failure to do so loses nothing."""
        dataset = self._open()
        if dataset is None or len(dataset.get_fragments()) < 2:
            return
        try:
            dataset.optimize.compact_files(target_rows_per_fragment=1 << 20)
            self._open().cleanup_old_versions(older_than=timedelta(hours=1))  # type: ignore[union-attr]
        except _LANCE_ERRORS as error:
            _LOG.warning("%s: could not be compacted (%s); rows are safe", self.path, error)

    def _commit(self, table: pa.Table) -> None:
        if self._open() is None and self._create(table):
            return
        lance.write_dataset(table, str(self.path), schema=self.schema, mode="append")

    def _create(self, table: pa.Table) -> bool:
        """Make the data set with its first rows; False if another process was faster.

        It is made beside its place and renamed: Lance lets two concurrent creations overwrite each
        other.
        """
        if self.path.exists():  # something without a commit: a copy that broke off, for example
            lance.write_dataset(table, str(self.path), schema=self.schema, mode="create")
            return True
        partial = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex[:8]}")
        try:
            lance.write_dataset(table, str(partial), schema=self.schema, mode="create")
            partial.rename(self.path)
        except OSError:
            if self._open() is None:
                raise
            return False
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return True

    def _open(self) -> lance.LanceDataset | None:
        if not self.path.exists():
            return None
        try:
            return lance.dataset(str(self.path))
        except _LANCE_ERRORS as error:
            if not any((self.path / "_versions").glob("*.manifest")):
                return None  # killed before the first commit: nothing was written
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> MotiveError:
        first = str(error).splitlines()[0]
        return MotiveError(
            f"{self.path}: damaged data set ({first:.120}); move it away and run again"
        )

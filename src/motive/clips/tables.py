"""Rows of Parquet files and of Hugging Face data sets on disk (Parquet or Arrow parts).

Invariant: only rows are read. A table that carries the videos themselves is refused at its first
such row, before it fills the memory.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from motive.errors import DatasetError

_ROWS_AT_ONCE = 65536
_SPLITS = ("", "train")  # `save_to_disk` of a data set, or of a dictionary of splits
# `push_to_hub` writes data/train-00000-of-00003.parquet; its viewer's copy default/train/0000.
_PARQUET_PARTS = ("train-*.parquet", "data/train-*.parquet", "default/train/*.parquet")


def table_parts(folder: Path) -> list[Path]:
    """Files of the training split of a Hugging Face data set in this folder, in order."""
    for split in _SPLITS:
        if (folder / split / "dataset_info.json").is_file():
            parts = sorted((folder / split).glob("data-*.arrow"))
            if parts:
                return parts
    return next((sorted(folder.glob(p)) for p in _PARQUET_PARTS if any(folder.glob(p))), [])


def table_rows(
    parts: Iterable[Path], video_columns: Container[str]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(row number, row) over all parts, in batches.

    Args:
        parts: Parquet (.parquet) or Arrow (.arrow) files.
        video_columns: Names of the columns, in lower case, that may not hold bytes.

    Raises:
        DatasetError: A part is no such table, or damaged, or the videos lie inside the table.
    """
    number = 0
    for part in parts:
        try:
            for batch in _arrow(part) if part.suffix.lower() == ".arrow" else _parquet(part):
                for row in batch.to_pylist():
                    number += 1
                    _refuse_embedded(part, number, row, video_columns)
                    yield number, row
        except pa.ArrowException as error:
            first = (str(error).splitlines() or ["unreadable"])[0]
            kind = "an Arrow" if part.suffix.lower() == ".arrow" else "a Parquet"
            raise DatasetError(f"{part}: not {kind} table, or damaged ({first:.160})") from None


def _parquet(part: Path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(part) as table:
        size = 1 if _may_embed(table.schema_arrow) else _ROWS_AT_ONCE
        yield from table.iter_batches(batch_size=size)


def _arrow(part: Path) -> Iterator[pa.RecordBatch]:
    """Batches of the streaming format, which `datasets` writes; mapped, not loaded."""
    with pa.memory_map(str(part)) as file, pa.ipc.open_stream(file) as stream:
        size = 1 if _may_embed(stream.schema) else _ROWS_AT_ONCE
        for batch in stream:
            for start in range(0, batch.num_rows, size):
                yield batch.slice(start, size)


def _may_embed(schema: pa.Schema) -> bool:
    kinds = [field.type for field in schema]
    kinds += [child.type for kind in kinds if pa.types.is_struct(kind) for child in kind]
    return any(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) for kind in kinds)


def _refuse_embedded(
    part: Path, number: int, row: Mapping[str, Any], video_columns: Container[str]
) -> None:
    """A {"bytes": ...} is a file in any column (Hugging Face), bare bytes only in these."""
    for name, value in row.items():
        is_file = isinstance(value, dict)
        data = value.get("bytes") if is_file else value
        if isinstance(data, bytes) and (is_file or name.strip().lower() in video_columns):
            raise DatasetError(
                f"{part}: row {number}: {name} lies inside the table ({len(data)} bytes); write "
                "the videos out as files and list their paths"
            )

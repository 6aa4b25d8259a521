"""Parquet: `metadata.parquet`, the selection with all its scores; `all-scores.parquet`, every clip.

Columns of the first: clip_id, video, caption, label, start, end, source, the facts of the choice,
and one `score.QUERY_ID` per query. What each query was stands in the table's metadata under
`motive.queries` (JSON). The second says the same of clips that were not selected.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from motive.exports.protocol import Export, Format
from motive.files import whole_file

SELECTED, ALL = "metadata.parquet", "all-scores.parquet"
SCORE = "score."  # begins the name of a query's column
_KEY = "motive.queries"


def _write(export: Export) -> None:
    whole = export.videos == "standard"
    rows = [
        {
            "clip_id": clip.item.clip_id,
            "video": export.listed(clip.path),
            "caption": clip.caption,
            "label": clip.item.clip.label,
            "start": None if whole else clip.item.clip.start,
            "end": None if whole else clip.item.clip.end,
            "source": clip.item.clip.source,
            **clip.item.facts,
            **{SCORE + query: score for query, score in clip.item.scores.items()},
        }
        for clip in export.clips
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    typed = {"label": pa.string(), "start": pa.float64(), "end": pa.float64()}
    table = pa.table({name: pa.array(v, typed.get(name)) for name, v in columns.items()})
    _store(table, export.out / SELECTED, export)
    if export.ranking is not None:
        _store(export.ranking, export.out / ALL, export)


def _store(table: pa.Table, path: Path, export: Export) -> None:
    known = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    known[_KEY] = json.dumps({name: dict(facts) for name, facts in export.queries.items()})
    with whole_file(path) as partial:
        pq.write_table(table.replace_schema_metadata(known), partial)


def _command(export: Export) -> str:
    return f"pandas.read_parquet({export.name_of(SELECTED)!r})"


FORMAT = Format(
    key="parquet",
    name="Parquet",
    about="metadata.parquet with all scores of the selection, all-scores.parquet with every clip's",
    videos=("reference", "link", "copy", "standard"),
    write=_write,
    command=_command,
    spans=True,
)

"""Rows of a list (CSV, TSV, JSON, JSONL, Parquet) as clips.

Invariant: every row becomes exactly one `Clip`, in the list's order, whatever is wrong with it; a
row that names no file, or one that is missing, is reported when the clip is decoded.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import logging
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from motive.clips.clip import Clip
from motive.clips.decode import UNREADABLE_SPAN
from motive.clips.folders import VIDEO_SUFFIXES, read_text, videos_under
from motive.clips.tables import table_rows
from motive.errors import DatasetError

_log = logging.getLogger(__name__)

# In order of preference: the columns of DiffSynth-Studio, musubi-tuner, VideoX-Fun, finetrainers,
# Hugging Face VideoFolder, OpenVid-1M and VIDGEN-1M.
VIDEO_COLUMNS = ("video", "video_path", "file_path", "file_name", "path", "vid")
CAPTION_COLUMNS = ("prompt", "caption", "text")
LABEL_COLUMNS = ("motion", "label")

LIST_SUFFIXES = (".jsonl", ".csv", ".tsv", ".json", ".parquet")

_EXAMPLE = '{"video": "clip.mp4", "prompt": "..."}'


def read_list(path: Path, base: Path, *, search: bool = False) -> list[Clip]:
    """Read one list.

    Args:
        path: A file with one of the `LIST_SUFFIXES`.
        base: Folder that relative paths count from.
        search: Look below `base` for a file of that name where the path itself does not exist.

    Raises:
        DatasetError: It is no such list (with the line), names no videos, or is empty.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return clips_from_rows(path, table_rows([path], VIDEO_COLUMNS), base)
    text, guessed = read_text(path)
    if guessed:
        _log.warning("%s: not UTF-8; read as %s", path, guessed)
    if not text.strip():
        raise DatasetError(f"{path}: empty list; write one video per row")
    if suffix == ".jsonl":
        rows = _jsonl_rows(path, text)
    elif suffix == ".json":
        rows = _json_rows(path, text)
    else:
        rows = csv_rows(path, text, tabs=suffix == ".tsv")
    return clips_from_rows(path, rows, base, search=search)


def _jsonl_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # a number of 5000 digits is a ValueError
            raise DatasetError(f"{path}: line {number} is not JSON ({error})") from None
        if not isinstance(row, dict):
            raise DatasetError(f"{path}: line {number} is not an object like {_EXAMPLE}")
        yield number, row


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        hint = "; one object per line belongs in a .jsonl file" if "Extra" in error.msg else ""
        raise DatasetError(f"{path}: not JSON at line {error.lineno} ({error.msg}){hint}") from None
    except RecursionError:
        raise DatasetError(f"{path}: nested too deeply for a list of videos") from None
    except ValueError as error:
        raise DatasetError(f"{path}: no list of videos ({error})") from None
    if isinstance(data, dict):
        nested = data.get("data") if len(data) == 1 else None  # finetrainers' older metadata.json
        data = nested if isinstance(nested, list) else _named_rows(path, data)
    if not isinstance(data, list):
        raise DatasetError(f"{path}: holds neither a list nor an object; write [{_EXAMPLE}]")
    for number, row in enumerate(data, 1):
        if not isinstance(row, dict):
            raise DatasetError(f"{path}: row {number} is not an object like {_EXAMPLE}")
        yield number, row


def _named_rows(path: Path, data: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of an object whose keys are paths.

    ai-toolkit: {path: {"caption": ...}}, or {path: caption}. diffusion-pipe: {name: [captions]}, of
    which the first one counts; all of them stay in `Clip.extra`.
    """
    rows = []
    for name, value in data.items():
        if isinstance(value, dict):
            rows.append({"video": name, **value})
        elif isinstance(value, list):
            if not all(isinstance(caption, str) for caption in value):
                raise DatasetError(f"{path}: {name!r} has no captions; is it a list of videos?")
            rows.append({"video": name, "caption": (value or [""])[0], "captions": value})
        else:
            rows.append({"video": name, "caption": value})
    return rows


def csv_rows(
    path: Path, text: str, *, tabs: bool = False
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line, row) of a table with a header; commas, semicolons or tabs between the fields.

    Raises:
        DatasetError: A line has more fields than the header, or cannot be read.
    """
    text = text.lstrip("\r\n")
    header = text.splitlines()[0]
    # Spreadsheets in many countries write semicolons and still call it CSV.
    delimiter = "\t" if tabs else max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if None in row:
                raise DatasetError(
                    f"{path}: line {reader.line_num} has more fields than the header; "
                    "put captions that hold a comma in double quotes"
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise DatasetError(
            f"{path}: line {reader.line_num}: {error}; is a double quote left open?"
        ) from None


def clips_from_rows(
    path: Path, rows: Iterable[tuple[int, Mapping[str, Any]]], base: Path, *, search: bool = False
) -> list[Clip]:
    """Rows as clips; `path` is the list they come from, for messages; otherwise as `read_list`."""
    table = [(number, {str(k).strip(): v for k, v in row.items()}) for number, row in rows]
    if not table:
        raise DatasetError(f"{path}: the list has no row; add one video per row")
    found = list(dict.fromkeys(key for _, row in table for key in row))
    if not any(key.lower() in VIDEO_COLUMNS for key in found):
        raise DatasetError(
            f"{path}: no column names the videos (found: {', '.join(found[:20]) or 'nothing'}); "
            f"call it one of {', '.join(VIDEO_COLUMNS)}"
        )
    files = _Files(base, search)
    return [_clip_from_row(path, number, row, files) for number, row in table]


def _clip_from_row(path: Path, number: int, row: dict[str, Any], files: _Files) -> Clip:
    """One row as a clip; without a path its source is "", which decoding reports."""
    names = {key.lower(): key for key in row}
    video = _first_present(VIDEO_COLUMNS, names)
    entry = "" if video is None else as_text(_path_of(row.pop(video)))
    refuse_address(entry, f"{path}: row {number}: {entry}")
    caption = _pop(row, names, CAPTION_COLUMNS)
    label = _pop(row, names, LABEL_COLUMNS)
    start, end, bad = _pop_span(row, names)
    if bad:
        row[UNREADABLE_SPAN] = bad
    return Clip(
        source=files.find(entry, is_stem=video is not None and video.lower() == "vid"),
        caption=as_text(caption),
        start=start,
        end=end,
        label=as_text(label) or None,
        row=number,
        extra=row,
    )


def _path_of(value: Any) -> Any:
    """The path in a cell; Hugging Face tables write a video as {"bytes": None, "path": ...}."""
    return value.get("path") if isinstance(value, dict) else value


def _first_present(candidates: Iterable[str], names: Mapping[str, str]) -> str | None:
    return next((names[name] for name in candidates if name in names), None)


def _pop(row: dict[str, Any], names: Mapping[str, str], candidates: Iterable[str]) -> Any:
    """Take the first of these columns out of the row; None if there is none."""
    key = _first_present(candidates, names)
    return None if key is None else row.pop(key)


def _pop_span(
    row: dict[str, Any], names: Mapping[str, str]
) -> tuple[float, float | None, str | None]:
    """(start, end, the text that could not be understood) of a row."""
    if "start" in names or "end" in names:
        pair = [_pop(row, names, ["start"]), _pop(row, names, ["end"])]
    elif "timestamp" in names:
        pair = row.pop(names["timestamp"])
        if isinstance(pair, str) and pair.strip():
            try:
                pair = ast.literal_eval(pair)  # OpenVid and Panda style: "[0.5, 5.5]"
            except (ValueError, SyntaxError):
                return 0.0, None, repr(pair)
        pair = pair or [None, None]
    else:
        return 0.0, None, None
    try:
        start, end = (_seconds(value) for value in pair)
    except (TypeError, ValueError, OverflowError):
        return 0.0, None, f"{pair!r:.80}"
    return start or 0.0, end, None


def _seconds(value: Any) -> float | None:
    """A time as seconds: a number, "12.5", or "h:m:s"; None for an empty one."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        raise ValueError(value)
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, str):
        raise TypeError(value)
    text = value.strip()
    if not text or text.lower() == "nan":
        return None
    if not re.fullmatch(r"(\d+:){0,2}\d*\.?\d*", text):
        raise ValueError(value)
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def as_text(value: Any) -> str:
    """A caption cell as text that any file format can store."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | tuple):
        value = " ".join(map(as_text, value))
    # A lone surrogate (broken JSON escape) is no character: no tokenizer or table takes it.
    return str(value).strip().encode("utf-8", "replace").decode("utf-8")


def refuse_address(address: str, where: str) -> None:
    """Raise a `DatasetError` that begins with `where` if the path is an address."""
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", address):
        raise DatasetError(
            f"{where} is an address, not a file; download the videos and list local paths"
        )


class _Files:
    """Finds the file that a list entry means, relative to one folder."""

    def __init__(self, base: Path, search: bool) -> None:
        self.base, self.search = base, search

    def find(self, entry: str, *, is_stem: bool) -> str:
        """Path of the entry; the plain join if no such file exists."""
        if not entry:
            return ""
        path = self.base / entry
        if not (is_stem or self.search) or os.path.isfile(path):  # False for an impossible name
            return str(path)
        if is_stem and path.suffix.lower() not in VIDEO_SUFFIXES:
            path = path.with_name(path.name + ".mp4")
        return str(self._below.get(Path(entry).name, path))

    @cached_property
    def _below(self) -> dict[str, Path]:
        """All videos below the folder by name, with and without suffix (VIDGEN lists stems)."""
        paths = sorted(videos_under(self.base), reverse=True)
        return {path.stem: path for path in paths} | {path.name: path for path in paths}

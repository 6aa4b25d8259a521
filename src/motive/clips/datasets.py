"""Read a data set in the forms that video trainers use: folders, captions in files, and lists.

Invariant: every video file or list row becomes exactly one `Clip`, in a fixed order. A row whose
file is missing stays, so that its error is reported later instead of the clip vanishing.
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
from motive.errors import DatasetError

_log = logging.getLogger(__name__)

# fmt: off
VIDEO_SUFFIXES = frozenset((
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts",
    ".wmv", ".asf", ".flv", ".f4v", ".ogv", ".3gp", ".gif", ".vob", ".y4m", ".mxf",
))
# fmt: on

# In order of preference: the columns of DiffSynth-Studio, musubi-tuner, VideoX-Fun, finetrainers,
# Hugging Face VideoFolder, OpenVid-1M and VIDGEN-1M.
VIDEO_COLUMNS = ("video", "video_path", "file_path", "file_name", "path", "vid")
CAPTION_COLUMNS = ("prompt", "caption", "text")
LABEL_COLUMNS = ("motion", "label")

_LIST_SUFFIXES = (".jsonl", ".csv", ".tsv", ".json")
# Lists that describe the folder they lie in: finetrainers and VideoFolder, then common habits.
_FOLDER_LISTS = tuple(
    stem + suffix for stem in ("metadata", "dataset", "prompts") for suffix in _LIST_SUFFIXES
)
_PAIRED_LISTS = (("videos.txt", "prompts.txt"), ("videos.txt", "prompt.txt"))  # finetrainers

_EXAMPLE = '{"video": "clip.mp4", "prompt": "..."}'


def read_dataset(source: str | os.PathLike[str], *, base: Path | None = None) -> list[Clip]:
    """Read a folder of videos, one video, or a CSV / TSV / JSON / JSONL list as clips.

    A folder is searched recursively, in sorted order, without hidden files; `clip.txt` beside
    `clip.mp4` is its caption. If it holds a list of its own (`metadata.jsonl` and the like, or
    `videos.txt` with `prompts.txt`), that list is read instead. A JSON list is `[{...}, ...]` or
    `{path: {"caption": ...}}`. Column names are those in `VIDEO_COLUMNS`, `CAPTION_COLUMNS` and
    `LABEL_COLUMNS`, in any case; `start` and `end`, or `timestamp` = [start, end], give the span
    (seconds or h:m:s). All other columns are kept in `Clip.extra`.

    Args:
        source: Folder, video file, or list.
        base: Folder that relative paths of a list count from; by default the list's own.

    Returns:
        One clip per video or row, in file order, whether its video exists or not.

    Raises:
        DatasetError: There is no such file, it cannot be read as a list (with the line), it has no
            column that names videos, it is empty, or it lists addresses instead of files.
    """
    name = os.fspath(source)
    _refuse_address(name, name)
    path = Path(name)
    try:
        if path.is_dir():
            clips = _read_folder(path, base)
        elif path.is_file() and path.suffix.lower() in _LIST_SUFFIXES:
            clips = _read_list(path, base or path.parent)
        elif path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES:
            clips = _with_captions([path], path)
        elif path.exists():
            known = ", ".join(_LIST_SUFFIXES)
            raise DatasetError(f"{path}: neither a folder, a video, nor a list ({known})")
        else:
            raise DatasetError(f"{path}: no such file or folder; check the path")
    except OSError as error:
        reason = error.strerror or str(error)
        at = error.filename or path
        raise DatasetError(f"{at}: cannot be read ({reason}); check permissions") from None
    without = sum(not clip.caption for clip in clips)
    if without:
        _log.warning("%s: %d of %d clips have no caption", path, without, len(clips))
    return clips


def _read_folder(folder: Path, base: Path | None) -> list[Clip]:
    for name in _FOLDER_LISTS:
        if (folder / name).is_file():
            return _read_list(folder / name, base or folder)
    for videos, prompts in _PAIRED_LISTS:
        if (folder / videos).is_file() and (folder / prompts).is_file():
            return _read_pair(folder / videos, folder / prompts, base or folder)
    paths = sorted(_videos_under(folder), key=lambda path: path.as_posix())
    if not paths:
        raise DatasetError(
            f"{folder}: no video found in this folder (looked for .mp4, .mov, .mkv, .webm, .avi "
            "and others); give a folder of videos or a list of them"
        )
    return _with_captions(paths, folder)


def _read_pair(videos: Path, prompts: Path, base: Path) -> list[Clip]:
    """Two text files whose lines belong together."""
    paths = [line.strip() for line in _read_text(videos)[0].splitlines() if line.strip()]
    texts = [line.strip() for line in _read_text(prompts)[0].splitlines() if line.strip()]
    if len(paths) != len(texts):
        raise DatasetError(
            f"{videos}: lists {len(paths)} videos but {prompts.name} holds {len(texts)} captions; "
            "give one line of each per clip"
        )
    rows = (
        (i, {"video": p, "prompt": t}) for i, (p, t) in enumerate(zip(paths, texts, strict=True), 1)
    )
    return _clips_from_rows(videos, rows, base)


def _read_list(path: Path, base: Path) -> list[Clip]:
    text, guessed = _read_text(path)
    if guessed:
        _log.warning("%s: not UTF-8; read as %s", path, guessed)
    if not text.strip():
        raise DatasetError(f"{path}: empty list; write one video per row")
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        rows = _jsonl_rows(path, text)
    elif suffix == ".json":
        rows = _json_rows(path, text)
    else:
        rows = _csv_rows(path, text, tabs=suffix == ".tsv")
    return _clips_from_rows(path, rows, base)


def _jsonl_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
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
    if isinstance(data, dict):  # ai-toolkit: {path: {"caption": ...}} or {path: caption}
        values = data.items()
        data = [{"video": k, **(v if isinstance(v, dict) else {"caption": v})} for k, v in values]
    if not isinstance(data, list):
        raise DatasetError(f"{path}: holds neither a list nor an object; write [{_EXAMPLE}]")
    for number, row in enumerate(data, 1):
        if not isinstance(row, dict):
            raise DatasetError(f"{path}: row {number} is not an object like {_EXAMPLE}")
        yield number, row


def _csv_rows(path: Path, text: str, *, tabs: bool) -> Iterator[tuple[int, Mapping[str, Any]]]:
    text = text.lstrip("\r\n")
    header = text.splitlines()[0]
    # Spreadsheets in many countries write semicolons and still call it CSV.
    delimiter = "\t" if tabs else max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in reader:
            if None in row:
                raise DatasetError(
                    f"{path}: line {reader.line_num} has more fields than the header; "
                    "put captions that hold a comma in double quotes"
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise DatasetError(f"{path}: line {reader.line_num}: {error}") from None


def _clips_from_rows(
    path: Path, rows: Iterable[tuple[int, Mapping[str, Any]]], base: Path
) -> list[Clip]:
    """Rows as clips; `path` is the list they come from, for messages."""
    table = [(number, {str(k).strip(): v for k, v in row.items()}) for number, row in rows]
    if not table:
        raise DatasetError(f"{path}: the list has no row; add one video per row")
    found = list(dict.fromkeys(key for _, row in table for key in row))
    if not any(key.lower() in VIDEO_COLUMNS for key in found):
        raise DatasetError(
            f"{path}: no column names the videos (found: {', '.join(found[:20]) or 'nothing'}); "
            f"call it one of {', '.join(VIDEO_COLUMNS)}"
        )
    files = _Files(base)
    return [_clip_from_row(path, number, row, files) for number, row in table]


def _clip_from_row(path: Path, number: int, row: dict[str, Any], files: _Files) -> Clip:
    """One row as a clip; without a path its source is "", which decoding reports."""
    names = {key.lower(): key for key in row}
    video = _first_present(VIDEO_COLUMNS, names)
    entry = "" if video is None else _as_text(row.pop(video))
    _refuse_address(entry, f"{path}: row {number}: {entry}")
    caption = _pop(row, names, CAPTION_COLUMNS)
    label = _pop(row, names, LABEL_COLUMNS)
    start, end, bad = _pop_span(row, names)
    if bad:
        row[UNREADABLE_SPAN] = bad
    return Clip(
        source=files.find(entry, by_stem=video is not None and video.lower() == "vid"),
        caption=_as_text(caption),
        start=start,
        end=end,
        label=_as_text(label) or None,
        row=number,
        extra=row,
    )


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
    except (TypeError, ValueError):
        return 0.0, None, repr(pair)
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


def _as_text(value: Any) -> str:
    """A caption cell as text that any file format can store."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | tuple):
        value = " ".join(map(_as_text, value))
    # A lone surrogate (broken JSON escape) is no character: no tokenizer or table takes it.
    return str(value).strip().encode("utf-8", "replace").decode("utf-8")


def _refuse_address(address: str, where: str) -> None:
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", address):
        raise DatasetError(
            f"{where} is an address, not a file; download the videos and list local paths"
        )


class _Files:
    """Finds the file that a list entry means, relative to one folder."""

    def __init__(self, base: Path) -> None:
        self.base = base

    def find(self, entry: str, *, by_stem: bool) -> str:
        """Path of the entry; the plain join if no such file exists."""
        if not entry:
            return ""
        path = self.base / entry
        if not by_stem or path.is_file():
            return str(path)
        with_suffix = path.with_name(path.name + ".mp4")
        return str(self._by_stem.get(Path(entry).name, with_suffix))

    @cached_property
    def _by_stem(self) -> dict[str, Path]:
        """All videos below the folder by name without suffix (VIDGEN lists stems only)."""
        paths = sorted(_videos_under(self.base), reverse=True)
        return {path.stem: path for path in paths}


def _with_captions(videos: Iterable[Path], source: Path) -> list[Clip]:
    """Videos as clips; the caption is the same-stem .txt file, or ""."""
    clips, guessed = [], 0
    for video in videos:
        file, text, encoding = video.with_suffix(".txt"), "", None
        if file.is_file():
            text, encoding = _read_text(file)
        guessed += encoding is not None
        clips.append(Clip(str(video), " ".join(_as_text(text).split())))
    if guessed:
        _log.warning("%s: %d caption files are not UTF-8; read as cp1252", source, guessed)
    return clips


def _videos_under(folder: Path) -> Iterator[Path]:
    """Video files below a folder; links are followed once, hidden names are skipped."""
    seen = set()

    def complain(error: OSError) -> None:
        _log.warning("%s: folder skipped (%s)", error.filename, error.strerror)

    for root, folders, files in os.walk(folder, followlinks=True, onerror=complain):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES:
                yield Path(root, name)


def _read_text(path: Path) -> tuple[str, str | None]:
    """A text file's content, and the encoding if it had to be guessed."""
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", "replace")
        return text, "broken UTF-16" if "\ufffd" in text else None
    try:
        return data.decode("utf-8-sig"), None
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"

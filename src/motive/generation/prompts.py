"""Read the prompts to generate from: a text file, a table, or JSON.

Invariant: every line or row is a prompt, a blank, or a repetition of a prompt, and the list says
which; nothing is dropped silently and no prompt is generated twice.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motive.clips import CAPTION_COLUMNS
from motive.clips.folders import read_text
from motive.clips.lists import as_text, csv_rows
from motive.errors import DatasetError

COLUMNS = (*CAPTION_COLUMNS, "prompt_en")  # the last is VBench's own list
_LINE_END = re.compile(r"\r\n|\r|\n")
_NOT_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ufffd]")
_SHOWN = 5


@dataclass(frozen=True)
class Prompt:
    """One text to generate from.

    Attributes:
        text: The prompt, without white space around it.
        row: Line or row in the list, from 1.
        facts: Other columns of the row, kept as they were (a motion label, for example).
    """

    text: str
    row: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PromptList:
    """A list of prompts, sorted out.

    Attributes:
        prompts: Each text once, in the list's order.
        blanks: Rows without a text.
        duplicates: (row, first row with the same text).
        encoding: The file's encoding where it had to be guessed, else None.
    """

    prompts: tuple[Prompt, ...]
    blanks: tuple[int, ...] = ()
    duplicates: tuple[tuple[int, int], ...] = ()
    encoding: str | None = None

    def notes(self) -> list[str]:
        """What a person should know about the list, one line each."""
        lines = []
        if self.encoding:
            lines.append(f"the list is not UTF-8; read as {self.encoding}")
        if self.blanks:
            lines.append(f"blank rows left out: {len(self.blanks)} ({_some(self.blanks)})")
        if self.duplicates:
            rows = [row for row, _ in self.duplicates]
            lines.append(f"repeated prompts, used once: {len(rows)} ({_some(rows)})")
        return lines


def read_prompts(source: str | os.PathLike[str] | Iterable[str | Prompt]) -> PromptList:
    """Prompts of a file, or of a sequence of texts.

    A text file has one prompt a line. CSV, TSV, JSONL and JSON have a column named in `COLUMNS`;
    JSON and JSONL may hold plain strings too. UTF-8 and UTF-16 are recognised, with or without a
    byte order mark, and any line ends; what is neither is read as Windows text.

    Args:
        source: Path of a list, or the prompts themselves.

    Raises:
        DatasetError: The file cannot be read, or holds no prompt.

    Example:
        >>> found = read_prompts(["a ball rolls", " ", "a ball rolls "])
        >>> [prompt.text for prompt in found.prompts], found.blanks, found.duplicates
        (['a ball rolls'], (2,), ((3, 1),))
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        text, encoding = _text(path)
        found = _sorted_out(_rows(path, text), encoding)
        name = str(path)
    else:
        rows = (
            item if isinstance(item, Prompt) else Prompt(as_text(item), row)
            for row, item in enumerate(source, start=1)
        )
        found, name = _sorted_out(rows, None), "prompts"
    if not found.prompts:
        raise DatasetError(f"{name}: no prompt in it; write one per line")
    return found


def _text(path: Path) -> tuple[str, str | None]:
    try:
        text, encoding = read_text(path)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file; give a list of prompts") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from None
    if "\0" in text:  # UTF-16 without its mark: half of the bytes of Latin text are zero
        data = path.read_bytes()
        encoding = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
        text = data.decode(encoding, "replace")
    if _NOT_TEXT.search(text):
        raise DatasetError(f"{path}: is no text file; give one prompt per line")
    return text, encoding


def _rows(path: Path, text: str) -> Iterable[Prompt]:
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        if text.strip():
            yield from _of_rows(path, csv_rows(path, text, tabs=suffix == ".tsv"))
    elif suffix == ".json":
        values = _json(path, text, "")
        if not isinstance(values, list):
            raise DatasetError(f'{path}: holds no list; write ["a ball rolls", ...]')
        yield from _of_values(path, list(enumerate(values, start=1)))
    else:
        lines = list(enumerate(_LINE_END.split(text), start=1))
        if not lines[-1][1]:
            lines.pop()  # the end of the last line begins none
        if suffix == ".jsonl":
            found = [
                (row, _json(path, line, f"line {row} ")) for row, line in lines if line.strip()
            ]
            yield from _of_values(path, found)
        else:
            yield from (Prompt(line.strip(), row) for row, line in lines)


def _json(path: Path, text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DatasetError(f"{path}: {where}is not JSON ({error})") from None


def _of_values(path: Path, values: list[tuple[int, Any]]) -> Iterable[Prompt]:
    strange = next((row for row, value in values if not isinstance(value, str | dict)), None)
    if strange is not None:
        raise DatasetError(f"{path}: row {strange} is neither a text nor an object")
    tables = [(row, value) for row, value in values if isinstance(value, dict)]
    known = {prompt.row: prompt for prompt in _of_rows(path, tables)}
    for row, value in values:
        yield known[row] if isinstance(value, dict) else Prompt(as_text(value), row)


def _of_rows(path: Path, rows: Iterable[tuple[int, Mapping[str, Any]]]) -> Iterable[Prompt]:
    for number, row in rows:
        names = {str(key).strip().lower(): key for key in row}
        column = next((names[name] for name in COLUMNS if name in names), None)
        if column is None:
            found = ", ".join(map(str, row)) or "nothing"
            raise DatasetError(
                f"{path}: row {number}: no column holds a prompt (found: {found:.200}); call it "
                f"one of {', '.join(COLUMNS)}"
            )
        facts = {str(key).strip(): value for key, value in row.items() if key != column}
        yield Prompt(as_text(row[column]), number, facts)


def _sorted_out(rows: Iterable[Prompt], encoding: str | None) -> PromptList:
    first: dict[str, Prompt] = {}
    blanks, duplicates = [], []
    for prompt in rows:
        if not prompt.text:
            blanks.append(prompt.row)
        elif prompt.text in first:
            duplicates.append((prompt.row, first[prompt.text].row))
        else:
            first[prompt.text] = prompt
    return PromptList(tuple(first.values()), tuple(blanks), tuple(duplicates), encoding)


def _some(rows: Sequence[int]) -> str:
    more = ", ..." if len(rows) > _SHOWN else ""
    return f"row {', '.join(map(str, rows[:_SHOWN]))}{more}"

"""Small text files of exports, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from motive.files import whole_file


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 with plain line ends.

    Raises:
        MotiveError: The file cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]], *, ascii_only: bool) -> None:
    """Write one object per line.

    Args:
        path: File to write.
        rows: The objects.
        ascii_only: Escape all other letters, for readers that open files in whatever encoding
            their system prefers.
    """
    lines = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    write_text(path, "".join(line + "\n" for line in lines))


def write_json(path: Path, value: Any, *, ascii_only: bool) -> None:
    """Write one indented JSON value; `ascii_only` as in `write_jsonl`."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=ascii_only) + "\n")


def toml_string(text: str) -> str:
    r"""A basic TOML string in ASCII, which both the `toml` package and `tomllib` read.

    Example:
        >>> print(toml_string('a "b" \\ é 😀'))
        "a \"b\" \\ \u00E9 \U0001F600"
    """
    escaped = []
    for letter in text:
        code = ord(letter)
        if letter in '"\\':
            escaped.append("\\" + letter)
        elif 0x20 <= code < 0x7F:
            escaped.append(letter)
        else:
            escaped.append(f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}")
    return '"' + "".join(escaped) + '"'

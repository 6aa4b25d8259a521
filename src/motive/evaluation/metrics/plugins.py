"""A function that the user names: "FILE.py:FUNCTION" or "MODULE:FUNCTION"."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from motive.clips import file_digest
from motive.errors import ClipError, UsageError

_NAMED = re.compile(r"(?P<place>.+?):(?P<name>[A-Za-z_]\w*)")


def names_callable(text: str) -> bool:
    """Whether a value is such a name, rather than a path."""
    found = _NAMED.fullmatch(text)
    if found is None:
        return False
    place = found["place"]
    return place.endswith(".py") or re.fullmatch(r"[A-Za-z_][\w.]*", place) is not None


def callable_identity(text: str) -> str:
    """The name, with a digest of the file if it names one: a changed function is another one.

    Raises:
        UsageError: The file is not there.
    """
    place = text.rpartition(":")[0]
    if not place.endswith(".py"):
        return text
    try:
        return f"{text} {file_digest(place).hex()[:16]}"
    except ClipError as error:
        raise UsageError(str(error)) from None


def load_callable(text: str) -> Callable[..., Any]:
    """The function; its module is imported, that is, run.

    Raises:
        UsageError: The module or the function is not there, or it cannot be imported.
    """
    found = _NAMED.fullmatch(text)
    if found is None or not names_callable(text):
        raise UsageError(f"{text}: write FILE.py:FUNCTION or MODULE:FUNCTION")
    place, name = found["place"], found["name"]
    try:
        module = (
            _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
        )
        function = getattr(module, name)
    except (ImportError, OSError, SyntaxError, AttributeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"{text}: cannot be imported ({first:.160})") from None
    if not callable(function):
        raise UsageError(f"{text}: is not a function")
    return function  # type: ignore[no-any-return]


def _from_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no module in {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

"""YAML to typed options: every key is known, or the error names it with the nearest right one."""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from motive.errors import DatasetError, UsageError

_Section = TypeVar("_Section")
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; a key that is written twice is refused.

    Raises:
        DatasetError: The file cannot be read or is no YAML.
        UsageError: It is not a mapping, or a key stands in it twice.
    """
    try:
        loaded = yaml.load(path.read_text("utf-8"), _StrictLoader)  # noqa: S506  (a safe loader)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file; `motive experiment init` prints one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise DatasetError(f"{path}: not YAML ({' '.join(str(error).split()):.200})") from None
    except _TwiceError as error:
        raise UsageError(f"{path}: {error}; keep one of them") from None
    if not isinstance(loaded, dict):
        raise UsageError(f"{path}: no options in it; `motive experiment init` prints an example")
    return loaded


class _TwiceError(ValueError):
    """A key stands twice in one mapping."""


class _StrictLoader(yaml.SafeLoader):
    """YAML itself would silently take the last of two equal keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping, if every key is in it once."""
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise _TwiceError(f"line {key_node.start_mark.line + 1}: {key!r} is written twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


def section(
    kind: type[_Section],
    given: Any,
    where: str,
    *,
    without: Collection[str] = (),
    **fixed: Any,
) -> _Section:
    """A dataclass from a mapping.

    Args:
        kind: The dataclass.
        given: What the file says; None is nothing.
        where: File and section, for messages.
        without: Fields that the section may not set.
        fixed: Values of such fields.

    Raises:
        UsageError: An unknown key, a value of another kind, or one out of range.
    """
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise UsageError(f"{where}: must be options with names, not {given!r}")
    hints = get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind) if f.name not in without]  # type: ignore[arg-type]
    check_names(given, names, where)
    values = {name: typed(value, hints[name], f"{where}: {name}") for name, value in given.items()}
    try:
        return kind(**values, **fixed)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def check_names(given: Mapping[Any, Any], known: Collection[str], where: str) -> None:
    """Refuse keys that are not known, with the nearest one that is.

    Raises:
        UsageError: There is such a key.
    """
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(str(key).lower().replace("-", "_"), known, 1, 0.5)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise UsageError(f"{where}: unknown option {key!r}; {hint}")


def typed(value: Any, hint: Any, where: str) -> Any:
    """The value as a type hint wants it; YAML knows no tuples and takes 1e-4 for a text.

    Raises:
        UsageError: It is of another kind.
    """
    kinds = get_args(hint)
    if hint is Any:
        return value
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        return typed(value, next(kind for kind in kinds if kind is not type(None)), where)
    if get_origin(hint) is tuple:
        listed = value if isinstance(value, list | tuple) else [value]
        return tuple(typed(item, kinds[0], where) for item in listed)
    if get_origin(hint) in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise UsageError(f"{where}: {value!r} must be names with values")
        return {str(name): typed(item, kinds[1], where) for name, item in value.items()}
    found = _number(value) if hint is float else value
    found = str(found) if hint is str and type(found) in (int, float) else found
    if type(found) is not hint:
        raise UsageError(f"{where}: {value!r} is not {_KINDS.get(hint, hint)}")
    return found


def _number(value: Any) -> Any:
    """A float for whole numbers and for texts such as 1e-4; anything else as it is."""
    if isinstance(value, bool):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def merged(given: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Options with changes on top, section by section."""
    result = dict(given)
    for key, value in changes.items():
        below = result.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        result[key] = merged(below, value) if both else value  # type: ignore[arg-type]
    return result

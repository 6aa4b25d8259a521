"""Options shared by commands, made from the fields of `RunConfig` so that they cannot drift."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from cyclopts import Parameter

from motive.errors import UsageError
from motive.runs import Run, RunConfig
from motive.runs.config import config_from, read_config


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options of every command."""

    json: Annotated[
        bool,
        Parameter(help="Print one JSON object instead of text.", negative="", show_default=False),
    ] = False
    debug: Annotated[
        bool, Parameter(help="Show tracebacks and debug messages.", negative="", show_default=False)
    ] = False


def options_of(config: type, *, without: Collection[str] = ()) -> Any:
    """A dataclass with the fields of a configuration, None meaning "as stored, else the default".

    Args:
        config: A dataclass whose fields have a help text as metadata entry "help", and may have
            another name for the flag as "flag".
        without: Fields that the command asks for in its own way.
    """
    hints = get_type_hints(config)
    fields = []
    for entry in dataclasses.fields(config):
        if entry.name in without:
            continue
        shown = entry.default
        if isinstance(shown, tuple):
            shown = " ".join(f"{value:g}" for value in shown) or None
        text = entry.metadata["help"]
        if shown not in (None, "") and not isinstance(shown, bool):
            text += f" [default: {shown}]"
        several = "tuple[" in str(hints[entry.name])
        parameter = Parameter(
            help=text,
            consume_multiple=several,
            negative_iterable=(),
            show_default=False,
            alias=entry.metadata.get("flag"),
        )
        kind: Any = Annotated[hints[entry.name] | None, parameter]  # type: ignore
        fields.append((entry.name, kind, dataclasses.field(default=None)))
    made = dataclasses.make_dataclass(
        config.__name__.removesuffix("Config") + "Options", fields, frozen=True
    )
    # cyclopts looks annotations up in the module a class says it is from.
    made.__module__ = __name__
    return Parameter(name="*")(made)


def given(options: Any) -> dict[str, Any]:
    """The options that were given on the command line."""
    return {name: value for name, value in vars(options).items() if value is not None}


RunOptions = options_of(RunConfig)


def open_run(
    folder: Path, options: Any = None, config_file: Path | None = None, **rest: Any
) -> Run:
    """Open a run with its stored options, or those (and the data) of another run's `config.yaml`.

    Given options go on top.
    """
    source = config_file or folder / "config.yaml"
    stored = read_config(source) if config_file or source.exists() else {}
    config = config_from(stored, source) if stored else RunConfig()
    changes = {} if options is None else dataclasses.asdict(options)
    run = Run(folder, config.updated(**changes), **rest)
    run.stored = {key: stored[key] for key in ("data", "queries") if key in stored} | run.stored
    return run


def given_or_stored(given: str | None, run: Run, key: str, flag: str) -> str:
    """A data set named on the command line, else the one the run was made with."""
    found = given or run.stored.get(key)
    if not found:
        raise UsageError(f"{run.folder}: which clips? give {flag} FOLDER_OR_LIST")
    return str(found)


def command_line() -> str:
    """The command as typed, for the report."""
    import shlex

    return shlex.join(["motive", *sys.argv[1:]])


def named_values(given: list[str] | None, flag: str, example: str) -> list[tuple[str, str]]:
    """NAME=VALUE arguments as (name, value).

    Raises:
        UsageError: One is not of that form.
    """
    pairs = []
    for text in given or []:
        name, _, value = text.partition("=")
        if not (name and value):
            raise UsageError(f"{flag} {text}: write NAME=VALUE, for example {example}")
        pairs.append((name, value))
    return pairs

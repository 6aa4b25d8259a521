"""What a study compares: prompts, one folder of videos per condition, and who judges.

Invariant: every condition has exactly one video for every prompt before a study exists. A video
that is missing, doubled or misnamed is an error that names it, never a pair that vanishes.
"""

from __future__ import annotations

import difflib
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from motive.clips import CAPTION_COLUMNS, LABEL_COLUMNS, VIDEO_COLUMNS, VIDEO_SUFFIXES
from motive.errors import DatasetError, UsageError

_LOG = logging.getLogger(__name__)

ID_COLUMNS = ("id", "prompt_id", "name")
DEFAULT_QUESTION = "In which video is the motion better?"
_SHOWN = 3  # names listed in an error before "and N more"


@dataclass(frozen=True)
class Prompt:
    """One row of the comparison.

    Attributes:
        id: Name of its video in every condition's folder, without the suffix.
        text: What the annotators read above the videos; empty if there is none.
        motion: Label by which the report groups; empty if there is none.
    """

    id: str
    text: str = ""
    motion: str = ""


@dataclass(frozen=True)
class StudyPlan:
    """Everything that a study is made of.

    Attributes:
        conditions: Name -> folder with one video per prompt. Annotators never learn the names.
        prompts: The prompts to judge; None takes the names of the first condition's videos.
        main: The condition that all others are compared with; None is the first one.
        every_pairing: Compare all conditions with each other instead of with `main` only.
        annotators: Their names; each gets a link of their own.
        checks: Attention checks per annotator; None is one per 25 pairs, at least two.
        question: What is asked about every pair.
        title: Shown to the annotators: it must not give a condition away.
        seed: Order and sides follow from it and the annotator's name.
    """

    conditions: Mapping[str, Path]
    prompts: Sequence[Prompt] | None = None
    main: str | None = None
    every_pairing: bool = False
    annotators: Sequence[str] = ()
    checks: int | None = None
    question: str = DEFAULT_QUESTION
    title: str = "Video comparison"
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.conditions) < 2:
            raise UsageError(
                f"a study compares at least two conditions (given: {len(self.conditions)}); write "
                "NAME=FOLDER for each"
            )
        if self.main is not None and self.main not in self.conditions:
            raise UsageError(
                f"main condition {self.main!r}: must be one of {', '.join(self.conditions)}"
            )
        if self.checks is not None and self.checks < 0:
            raise UsageError(f"checks {self.checks}: must not be negative")
        if not self.question.strip() or not self.title.strip():
            raise UsageError("title and question must not be empty")
        check_names(self.annotators)

    @property
    def pairings(self) -> list[tuple[str, str]]:
        """(first, second) conditions; results are told as wins of the first."""
        names = list(self.conditions)
        main = self.main or names[0]
        names.sort(key=lambda name: name != main)  # stable: the rest keep their order
        firsts = names[:-1] if self.every_pairing else names[:1]
        return [(a, b) for i, a in enumerate(firsts) for b in names[i + 1 :]]


def check_names(names: Sequence[str]) -> None:
    """Refuse annotator names that are empty, doubled, or would break a line of a table."""
    for name in names:
        if not name.strip() or not name.isprintable() or len(name) > 80:
            raise UsageError(f"annotator {name!r}: give a printable name of 1 to 80 characters")
    doubled = sorted({name for name in names if list(names).count(name) > 1})
    if doubled:
        raise UsageError(f"annotator {doubled[0]!r} is listed twice; every name stands for one")


def numbered_annotators(count: int, *, after: int = 0) -> list[str]:
    """Names for annotators who have none.

    Example:
        >>> numbered_annotators(2, after=16)
        ['annotator-17', 'annotator-18']
    """
    if count < 1:
        raise UsageError(f"{count} annotators: a study needs at least one")
    return [f"annotator-{number:02d}" for number in range(after + 1, after + count + 1)]


def read_prompts(path: Path) -> list[Prompt]:
    """Prompts from JSON lines: `{"id": "spin_01", "prompt": "...", "motion": "spin"}`.

    The id may also be called `prompt_id` or `name`, or be the file name in a `video` column; the
    text and the motion may have the names that data sets use.

    Raises:
        DatasetError: The file is missing, no UTF-8, empty, or a line is no prompt (with the line).
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path}: not UTF-8 (byte {error.start}); save the prompts as UTF-8"
        ) from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    prompts: dict[str, Prompt] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        prompt = _prompt(line, f"{path}: line {number}")
        if prompt.id in prompts:
            raise DatasetError(f"{path}: line {number}: prompt {prompt.id!r} is listed twice")
        prompts[prompt.id] = prompt
    if not prompts:
        raise DatasetError(f'{path}: holds no prompt; write {{"id": ..., "prompt": ...}} per line')
    return list(prompts.values())


def _prompt(line: str, where: str) -> Prompt:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DatasetError(f"{where} is not JSON ({error})") from None
    if not isinstance(row, dict):
        raise DatasetError(f'{where} is not an object like {{"id": "spin_01", "prompt": "..."}}')
    values = {str(key).lower(): value for key, value in row.items()}
    name = _first(values, ID_COLUMNS)
    if not name:
        name = Path(_first(values, VIDEO_COLUMNS)).stem
    if not name:
        raise DatasetError(f'{where} has no "id"; give the name of its videos without the suffix')
    return Prompt(name, _first(values, CAPTION_COLUMNS), _first(values, LABEL_COLUMNS))


def _first(values: Mapping[str, Any], columns: Iterable[str]) -> str:
    """The first filled column as text without lone surrogates, or ""."""
    for column in columns:
        if values.get(column) not in (None, ""):
            return str(values[column]).strip().encode("utf-8", "replace").decode("utf-8")
    return ""


def find_videos(plan: StudyPlan) -> tuple[list[Prompt], dict[tuple[str, str], Path]]:
    """The prompts, and the video of every (condition, prompt id).

    Raises:
        DatasetError: A folder is missing or holds no video, a prompt has no video or two in a
            condition; the message names the condition and the first of them.
    """
    folders = {name: _videos_in(name, folder) for name, folder in plan.conditions.items()}
    first = next(iter(folders.values()))
    prompts = [Prompt(stem) for stem in sorted(first)] if plan.prompts is None else plan.prompts
    found: dict[tuple[str, str], Path] = {}
    for name, videos in folders.items():
        missing = [prompt.id for prompt in prompts if prompt.id not in videos]
        if missing:
            raise DatasetError(
                f"condition {name}: {plan.conditions[name]} has no video for {len(missing)} of "
                f"{len(prompts)} prompts ({_listed(missing)}); add them, named by prompt id, or "
                "take the prompts out of the list"
            )
        extra = sorted(set(videos) - {prompt.id for prompt in prompts})
        if extra:
            _LOG.warning(
                "condition %s: %d videos belong to no prompt and are left out (%s)",
                name,
                len(extra),
                _listed(extra),
            )
        found |= {(name, prompt.id): videos[prompt.id] for prompt in prompts}
    return list(prompts), found


def _videos_in(condition: str, folder: Path) -> dict[str, Path]:
    """Stem -> path of the videos that lie in a folder."""
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DatasetError(
            f"condition {condition}: {folder} cannot be read ({error.strerror}); give the folder "
            "that holds its videos"
        ) from None
    videos: dict[str, Path] = {}
    for path in paths:
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            continue
        if path.stem in videos:
            raise DatasetError(
                f"condition {condition}: {videos[path.stem].name} and {path.name} in {folder} are "
                "both named for one prompt; keep one of them"
            )
        videos[path.stem] = path
    if not videos:
        raise DatasetError(f"condition {condition}: no video in {folder}; check the folder")
    return videos


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def read_plan(path: Path) -> StudyPlan:
    """A plan from YAML; its fields are those of `StudyPlan`, relative paths count from the file.

    `prompts` is the path of a prompt list, `annotators` a number or a list of names.

    Raises:
        UsageError: A field is unknown or has a value of another kind.
        DatasetError: The file or its prompt list cannot be read.
    """
    try:
        given = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); check the path") from None
    except yaml.YAMLError as error:
        raise DatasetError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(given, dict) or not isinstance(given.get("conditions"), dict):
        raise UsageError(f"{path}: name the folders under conditions:, as  motive: videos/motive")
    known = [entry.name for entry in fields(StudyPlan)]
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise UsageError(f"{path}: unknown field {key!r}; {hint}")
    base = path.parent
    conditions = {str(k): base / str(v) for k, v in given["conditions"].items()}
    plan = StudyPlan(conditions)
    for key, value in given.items():
        if key != "conditions" and value is not None:
            plan = replace(plan, **{key: _plan_value(key, value, base, path)})
    return plan


def _plan_value(key: str, value: Any, base: Path, path: Path) -> Any:
    """A field's value as `StudyPlan` wants it."""
    if key == "prompts":
        return read_prompts(base / str(value))
    if key == "annotators" and isinstance(value, list):
        return [str(name) for name in value]
    found, wanted = value, _KINDS.get(key, str)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise UsageError(f"{path}: {key}: {value!r} is not {_KIND_NAMES[wanted]}")
    return numbered_annotators(found) if key == "annotators" else found


_KINDS: Mapping[str, type] = {"seed": int, "checks": int, "annotators": int, "every_pairing": bool}
_KIND_NAMES = {int: "a whole number", bool: "true or false", str: "text"}


def condition_folders(pairs: Iterable[tuple[str, str]]) -> dict[str, Path]:
    """(name, folder) pairs as conditions; a name given twice is an error."""
    folders: dict[str, Path] = {}
    for name, folder in pairs:
        if name in folders:
            raise UsageError(f"condition {name!r} is given twice; name each once")
        folders[name] = Path(folder)
    return folders


def checked_plan_text(plan: StudyPlan) -> None:
    """Refuse a title or question that names a condition: it would unblind the annotators."""
    shown = f"{plan.title} {plan.question}".lower()
    for name in plan.conditions:
        if re.search(rf"(?<!\w){re.escape(name.lower())}(?!\w)", shown):
            raise UsageError(
                f"the title or question names the condition {name!r}, and annotators read both; "
                "leave it out"
            )

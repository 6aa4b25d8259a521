"""Which videos are judged, and which of two folders belong together."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motive.clips import Clip, read_dataset
from motive.errors import UsageError

_SEED = re.compile(r"(?:^|[-_. ])(?:seed|s)[-_]?(\d+)$", re.IGNORECASE)
_INDEX = re.compile(r"-\d+$")  # VBench's names: PROMPT-INDEX.mp4


@dataclass(frozen=True)
class Asked:
    """What videos were asked to show.

    Attributes:
        text: The prompt.
        motion: Label of the motion; None if it is not known.
        id: By which videos are named; empty if they are not.
    """

    text: str = ""
    motion: str | None = None
    id: str = ""


@dataclass(frozen=True)
class Video:
    """One video of one condition.

    Attributes:
        condition: Name of the folder in tables.
        path: The file.
        name: Path below the folder, without the suffix.
        prompt: Text; empty if it is not known.
        motion: Label of the motion that was asked for, if it is known.
        seed: Of the generation, if it is known.
        span: Whether a list names only a part of the file.
    """

    condition: str
    path: str
    name: str
    prompt: str = ""
    motion: str | None = None
    seed: int | None = None
    span: bool = False


def find_videos(
    condition: str, place: str | os.PathLike[str], prompts: Sequence[Asked] = ()
) -> list[Video]:
    """Every video of a folder, a list, or a single file; those that are missing too.

    Prompt, motion and seed come from the folder's own list (`metadata.jsonl` with `file_name`,
    `prompt`, `motion`, `seed`, as `motive generate` writes it) or a caption file. What is not there
    comes from `prompts`: by the same text, or by the video's name, which is a prompt's id or text
    with or without a trailing seed ("spin_01-seed3") or index ("a coin spins-0").

    Args:
        condition: Name of the folder in tables.
        place: As in `motive.clips.read_dataset`.
        prompts: What was asked.

    Raises:
        DatasetError: There is no such folder or list, or no video in it.
    """
    clips = read_dataset(place)
    root = Path(place) if Path(place).is_dir() else Path(place).parent
    named = {name: asked for asked in prompts for name in (asked.text, asked.id) if name}
    return [_video(condition, clip, root, named) for clip in clips]


def _video(condition: str, clip: Clip, root: Path, prompts: Mapping[str, Asked]) -> Video:
    name = _name(clip.source, root)
    stem = Path(name).name
    keys = (clip.caption, stem, _SEED.sub("", stem), _INDEX.sub("", stem))
    asked = next((prompts[key] for key in keys if key in prompts), Asked())
    return Video(
        condition,
        clip.source,
        name,
        clip.caption or asked.text,
        clip.label or asked.motion,
        _seed(clip.extra.get("seed"), stem),
        bool(clip.start) or clip.end is not None,
    )


def _name(source: str, root: Path) -> str:
    path = Path(source)
    try:
        relative = path.absolute().relative_to(root.absolute())
    except ValueError:
        relative = Path(path.name)
    return relative.with_suffix("").as_posix()


def _seed(given: Any, stem: str) -> int | None:
    try:
        return int(given)
    except (TypeError, ValueError):
        found = _SEED.search(stem)
        return int(found[1]) if found else None


def pair_keys(conditions: Mapping[str, Sequence[Video]]) -> dict[str, list[str]]:
    """For every video of every condition, what its partners in the others are called too.

    Prompt and seed where every video of every condition has them and no two share them; else the
    names of the files.

    Returns:
        Condition -> one key per video; keys are unique within a condition.

    Raises:
        UsageError: Two videos of a condition have one name.
    """
    by_prompt = {
        name: [f"{v.prompt} [seed {v.seed}]" for v in videos] for name, videos in conditions.items()
    }
    known = all(v.prompt and v.seed is not None for vs in conditions.values() for v in vs)
    if known and all(len(set(keys)) == len(keys) for keys in by_prompt.values()):
        return by_prompt
    by_name = {name: [video.name for video in videos] for name, videos in conditions.items()}
    for condition, names in by_name.items():
        if len(set(names)) < len(names):
            doubled = next(name for name in names if names.count(name) > 1)
            by_name[condition] = [f"{n} ({i})" for i, n in enumerate(names)]
            if len(conditions) > 1:
                raise UsageError(
                    f"{condition}: two videos are called {doubled!r}, so neither can be compared "
                    "with another folder; rename one"
                )
    return by_name


def condition_names(places: Sequence[str], names: Sequence[str] | None) -> list[str]:
    """The names given, or the folders' own where they differ, else their whole paths.

    Raises:
        UsageError: Another number of names than folders, or one given twice.
    """
    if names is not None:
        if len(names) != len(places):
            raise UsageError(
                f"--names: {len(names)} names for {len(places)} folders; give one for each"
            )
        found = list(names)
    else:
        found = [Path(place).name or str(place) for place in places]
        if len(set(found)) < len(found):
            found = list(places)
    doubled = [name for name in found if found.count(name) > 1]
    if doubled or not all(name.strip() for name in found):
        raise UsageError(
            f"condition {doubled[0] if doubled else ''!r}: every folder needs a name of its own; "
            "give --names"
        )
    return found

"""Makes a study folder: the videos under names that say nothing, the pairs, the annotators.

Invariant: a study folder is there whole or not at all. It is built beside its place and renamed,
and a folder that exists is never touched.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from motive.errors import UsageError
from motive.files import write_error
from motive.study.design import COMPARISON, IDENTICAL, Pair, check_pairs, comparison_pairs
from motive.study.media import StudyVideo, bring_known_bad, bring_video
from motive.study.sources import Prompt, StudyPlan, checked_plan_text, find_videos
from motive.study.store import FORMAT, VIDEOS, StudyStore, create_database

_Videos = dict[tuple[str, str], StudyVideo]


def create_study(
    plan: StudyPlan, folder: Path, *, on_progress: Callable[[int, int], object] | None = None
) -> list[str]:
    """Build a study folder from a plan.

    Args:
        plan: What is compared and by whom.
        folder: Where; must not exist.
        on_progress: Told the videos done and their total.

    Returns:
        Warnings: pairs whose videos differ in length, size or shape, which may give a condition
        away or bias the judgement.

    Raises:
        DatasetError: A video, folder or prompt is missing.
        ClipError: A file is no video, damaged or a single picture.
        UsageError: The folder exists.
        MotiveError: It cannot be written.
    """
    if folder.exists():
        raise UsageError(f"{folder}: exists already; a study is never overwritten, choose another")
    checked_plan_text(plan)
    prompts, sources = find_videos(plan)
    names = [prompt.id for prompt in prompts]
    pairs = comparison_pairs(names, plan.pairings)
    pairs += check_pairs(names, list(plan.conditions), len(pairs), plan.checks, plan.seed)
    building = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        (building / VIDEOS).mkdir(parents=True)
        videos, spoilt = _bring(building, sources, pairs, plan.seed, on_progress)
        db = create_database(building)
        try:
            with db:
                _fill(db, plan, prompts, sources, videos, spoilt, pairs)
        finally:
            db.close()
        with StudyStore(building) as store:
            store.add_annotators(plan.annotators)
        os.rename(building, folder)
    except (OSError, sqlite3.Error) as error:
        cause = error if isinstance(error, OSError) else OSError(str(error))
        raise write_error(folder, cause) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return _differences(plan, names, videos)


def _bring(
    building: Path,
    sources: Mapping[tuple[str, str], Path],
    pairs: Sequence[Pair],
    seed: int,
    on_progress: Callable[[int, int], object] | None,
) -> tuple[_Videos, _Videos]:
    """All videos, and the spoilt ones of the attention checks, by (condition, prompt)."""
    checks = {
        (pair.first, pair.prompt) for pair in pairs if pair.kind not in (COMPARISON, IDENTICAL)
    }
    videos: _Videos = {}
    spoilt: _Videos = {}
    total = len(sources) + len(checks)
    for done, (place, source) in enumerate(sources.items(), 1):
        videos[place] = bring_video(source, building / VIDEOS)
        if on_progress is not None:
            on_progress(done, total)
    for done, place in enumerate(sorted(checks), len(sources) + 1):
        spoilt[place] = bring_known_bad(sources[place], building / VIDEOS, seed)
        if on_progress is not None:
            on_progress(done, total)
    return videos, spoilt


def _fill(
    db: sqlite3.Connection,
    plan: StudyPlan,
    prompts: Sequence[Prompt],
    sources: Mapping[tuple[str, str], Path],
    videos: _Videos,
    spoilt: _Videos,
    pairs: Sequence[Pair],
) -> None:
    """Write everything but the annotators."""
    facts = {
        "format": FORMAT,
        "title": plan.title,
        "question": plan.question,
        "seed": str(plan.seed),
        "token": secrets.token_urlsafe(16),
    }
    db.execute("BEGIN")
    db.executemany("INSERT INTO study VALUES (?, ?)", facts.items())
    db.executemany(
        "INSERT INTO conditions VALUES (?, ?, ?)",
        [(name, i, str(path)) for i, (name, path) in enumerate(plan.conditions.items())],
    )
    db.executemany(
        "INSERT INTO prompts VALUES (?, ?, ?, ?)",
        [(prompt.id, i, prompt.text, prompt.motion) for i, prompt in enumerate(prompts)],
    )
    for group, is_spoilt in ((videos, False), (spoilt, True)):
        db.executemany(
            "INSERT INTO videos VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (v.file, prompt, condition, is_spoilt, str(sources[condition, prompt]), v.seconds,
                 v.width, v.height)
                for (condition, prompt), v in group.items()
            ],
        )  # fmt: skip
    for pair in pairs:
        first = videos[pair.first, pair.prompt]
        second = (videos if pair.kind in (COMPARISON, IDENTICAL) else spoilt)[
            pair.second, pair.prompt
        ]
        db.execute(
            "INSERT INTO pairs VALUES (?, ?, ?, ?, ?, ?, ?)",
            (pair.number, pair.kind, pair.prompt, pair.first, pair.second, first.file, second.file),
        )


def _differences(plan: StudyPlan, prompts: Sequence[str], videos: _Videos) -> list[str]:
    """One warning per pairing whose two videos can be told apart by their format."""
    warnings = []
    for first, second in plan.pairings:
        both = [(videos[first, prompt], videos[second, prompt]) for prompt in prompts]
        sizes = sum((a.width, a.height) != (b.width, b.height) for a, b in both)
        lengths = sum(abs(a.seconds - b.seconds) > 0.1 for a, b in both)
        for count, what in ((sizes, "size"), (lengths, "length")):
            if count:
                warnings.append(
                    f"{first} and {second}: the videos of {count} of {len(both)} prompts differ "
                    f"in {what}, which annotators can see; generate them alike for a blind study"
                )
    return warnings

"""The generated videos as a blind study: annotators judge what the metrics cannot."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from motive.errors import UsageError
from motive.experiment.about import About, read_about
from motive.experiment.reading import check_names
from motive.experiment.results import JudgedVideo, read_videos
from motive.files import write_error
from motive.study import Prompt, StudyPlan


def study_videos(
    out: Path,
    folder: Path,
    *,
    conditions: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    annotators: Sequence[str] = (),
    seed: int = 0,
) -> StudyPlan:
    """Lay out an experiment's videos for a study: a folder per condition, a name per prompt.

    Args:
        out: Folder of a finished experiment.
        folder: Gets one folder of links (or copies) per condition.
        conditions: Which are judged; None takes all. The experiment's main one is compared with
            the others.
        seeds: Whose videos; None takes the first alone, so that a prompt is judged once.
        annotators: Who judges.
        seed: Of order and sides.

    Returns:
        The plan, for `motive.study.create_study`.

    Raises:
        UsageError: An unknown condition or seed, or the experiment is not finished.
        MotiveError: The folder cannot be written.
    """
    about = read_about(out)
    names = [facts.name for facts in about.conditions]
    asked = list(conditions or names)
    for name in asked:
        check_names({name: None}, names, "--conditions")
    asked = list(dict.fromkeys([about.main, *asked]))
    chosen = list(seeds if seeds is not None else about.seeds[:1])
    strange = [number for number in chosen if number not in about.seeds]
    if strange or not chosen:
        raise UsageError(f"--seeds {strange or 'none'}: the experiment has {about.seeds}")
    wanted = [
        video for video in read_videos(out) if video.condition in asked and video.seed in chosen
    ]
    prompts = _prompts(about, chosen)
    ids = {(prompt.text, number): prompt.id for number, prompt in prompts}
    for video in wanted:
        _link(out / video.path, folder / video.condition / f"{ids[_key(video)]}.mp4")
    return StudyPlan(
        {name: folder / name for name in asked},
        [prompt for _, prompt in prompts],
        about.main,
        annotators=annotators,
        seed=seed,
    )


def _key(video: JudgedVideo) -> tuple[str, int]:
    return video.prompt, video.seed


def _prompts(about: About, seeds: Sequence[int]) -> list[tuple[int, Prompt]]:
    """(seed, prompt) of every video of a condition."""
    return [
        (seed, Prompt(f"p{number:04d}-s{seed}", text, motion))
        for seed in seeds
        for number, (text, motion) in enumerate(about.prompts, start=1)
    ]


def _link(source: Path, target: Path) -> None:
    """A second name for the file; a copy where the file system has no links."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
    except OSError as error:
        raise write_error(target, error) from error

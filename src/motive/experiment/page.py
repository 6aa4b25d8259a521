"""The page of an experiment: the table, its charts, and the videos side by side, prompt by prompt.

Invariant: the page loads nothing but the videos beside it and computes no number; every one on it
is in `results.json`. The folder is there whole or not at all, and can be given away as it is.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment
from markupsafe import Markup

from motive.evaluation.metrics import BY_KEY, DIMENSIONS
from motive.experiment.page_data import page_data, prompt_motions
from motive.experiment.published import HUMANS, MODEL, TITLES, published_rows
from motive.experiment.results import Results
from motive.experiment.wording import (
    WANTED,
    findings,
    heading,
    interval,
    is_labelled,
    notes,
    number,
    verdict,
    wanted_text,
)
from motive.files import whole_folder
from motive.pages import asset, environment, plotly_script, source_digest, trusted
from motive.report import Estimate

FOLDER, PAGE = "report", "index.html"
_VIDEOS = "videos"


def write_page(results: Results, out: Path) -> Path:
    """Write `report/index.html` and its videos; returns the page.

    The videos are second names of the generated files where the file system allows it, else copies.

    Raises:
        MotiveError: The folder cannot be written.
    """
    target = out / FOLDER
    with whole_folder(target) as partial:
        videos = _bring_videos(results, out, partial)
        html = _environment().get_template("experiment.html.j2").render(_values(results, videos))
        (partial / PAGE).write_bytes(html.encode("utf-8", "replace"))
    return target / PAGE


def _bring_videos(results: Results, out: Path, page: Path) -> dict[tuple[str, str, int], str]:
    """(condition, prompt, seed) -> address of the video, relative to the page."""
    places = {text: number for number, (text, _) in enumerate(results.about.prompts)}
    rows = {facts.name: number for number, facts in enumerate(results.about.conditions)}
    found = {}
    for video in results.videos:
        source = out / video.path
        if video.prompt not in places or not source.is_file():
            continue
        name = f"{_VIDEOS}/{rows[video.condition]}/{places[video.prompt]}-{video.seed}.mp4"
        (page / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, page / name)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, page / name)
        found[video.condition, video.prompt, video.seed] = name
    return found


def _values(results: Results, videos: Mapping[tuple[str, str, int], str]) -> dict[str, Any]:
    about = results.about
    plotly, script = plotly_script(), asset("experiment", "experiment.js")
    settings = {"settings": about.settings, "versions": about.versions, "seconds": about.seconds}
    return {
        "about": about,
        "results": results,
        "main": about.condition(about.main),
        "others": [facts for facts in about.conditions if facts.name != about.main],
        "columns": [BY_KEY[key] for key in results.columns],
        "question": BY_KEY.get(results.question),
        "motions": prompt_motions(about),
        "findings": findings(results),
        "notes": notes(results),
        "unmeasured": {BY_KEY[key].title: why for key, why in results.unmeasured.items()},
        "published": {"model": MODEL, "rows": published_rows(), "humans": HUMANS, "titles": TITLES},
        "dimensions": [BY_KEY[key] for key in DIMENSIONS],
        "labelled": is_labelled(about),
        "wanted": wanted_text,
        "precision": WANTED,
        "settings": yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).strip(),
        "data": _embedded(page_data(results, videos)),
        "hashes": " ".join(source_digest(text) for text in (plotly, script)),
        "style": trusted(asset("report", "style.css") + asset("experiment", "experiment.css")),
        "plotly": trusted(plotly),
        "script": trusted(script),
        "verdict": verdict,
        "heading": heading,
    }


def _embedded(values: dict[str, Any]) -> Markup:
    """JSON that cannot end its script element."""
    return trusted(json.dumps(values, allow_nan=False).replace("<", "\\u003c"))


@cache
def _environment() -> Environment:
    return environment("experiment", number=number_filter, interval=interval_filter)


def number_filter(estimate: Estimate, key: str, signed: bool = False) -> str:
    """The number alone, for templates."""
    return number(BY_KEY[key], estimate.value, signed=signed)


def interval_filter(estimate: Estimate, key: str, signed: bool = False) -> str:
    """The interval alone, for templates."""
    return interval(BY_KEY[key], estimate, signed=signed)

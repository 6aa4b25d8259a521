"""What the page's script draws: numbers with their texts, and where every video is.

Texts are made here, so that a number looks the same in a chart, a table and a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motive.evaluation.metrics import BY_KEY
from motive.experiment.about import About, ConditionFacts
from motive.experiment.results import JudgedVideo, Results
from motive.experiment.wording import estimate_text, number, verdict
from motive.report import Estimate
from motive.report.media import TINY_PIXELS

Places = Mapping[tuple[str, str, int], str]  # (condition, prompt, seed) -> address


def page_data(results: Results, places: Places) -> dict[str, Any]:
    """JSON values for the page.

    Args:
        results: The numbers.
        places: Where the videos are, relative to the page.
    """
    about, key = results.about, results.question
    judged: dict[str, dict[str, dict[str, list[Any]]]] = {}
    for video in results.videos:
        entry = [places.get((video.condition, video.prompt, video.seed)), *_said(video, key)]
        of_prompt = judged.setdefault(video.prompt, {})
        of_prompt.setdefault(video.condition, {})[str(video.seed)] = entry
    return {
        "main": about.main,
        "fps": about.fps,
        "size": list(about.size),
        "tiny": max(about.size) <= TINY_PIXELS,
        "seeds": about.seeds,
        "motions": prompt_motions(about),
        "metric": None if not key else {"title": BY_KEY[key].title, "percent": BY_KEY[key].percent},
        "conditions": [_condition(results, facts) for facts in about.conditions],
        "prompts": [
            {"text": text, "motion": motion, "videos": judged.get(text, {})}
            for text, motion in about.prompts
        ],
    }


def prompt_motions(about: About) -> list[str]:
    """Motions that the prompts ask for, in order."""
    return list(dict.fromkeys(motion for _, motion in about.prompts if motion))


def _condition(results: Results, facts: ConditionFacts) -> dict[str, Any]:
    key = results.question
    cell = results.cell(facts.name, key) if key else None
    found = results.difference(facts.name, key) if key else None
    return {
        "name": facts.name,
        "title": facts.title,
        "clips": facts.clips,
        "wanted": facts.wanted,
        "still": facts.still,
        "losses": facts.losses,
        "cell": cell and {
            **_estimate(key, cell.estimate),
            "seeds": cell.seeds,
            "motions": {motion: _estimate(key, found) for motion, found in cell.motions.items()},
        },
        "difference": found and {
            **_estimate(key, found.estimate, signed=True),
            "seeds": found.seeds,
            "verdict": verdict(found),
        },
    }  # fmt: skip


def _estimate(key: str, estimate: Estimate, *, signed: bool = False) -> dict[str, Any]:
    text = estimate_text(key, estimate, signed=signed)
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "text": text}


def _said(video: JudgedVideo, question: str) -> tuple[bool | None, str]:
    """Whether the video shows the asked motion, and what to say of it."""
    shown, chance = (video.values.get(f"motion_{name}") for name in ("shown", "probability"))
    if shown is not None:
        return bool(shown), "" if chance is None else f"{chance:.0%}".replace("%", " %")
    if question in video.values:
        return None, f"{BY_KEY[question].title} {number(BY_KEY[question], video.values[question])}"
    return None, ""

"""The pages of a study as text: whole, with style and script inside, loading nothing else.

Invariant: the annotators' page is the same for all of them and for every pair. What differs is
asked for under the annotator's own address.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment

from motive.pages import asset, environment, source_digest, trusted


def annotator_page(title: str, question: str, most_comment: int) -> str:
    """The page on which pairs are judged.

    Args:
        title: Of the study.
        question: Asked about every pair.
        most_comment: Characters a comment may have.
    """
    return render_page(
        "annotate.html.j2",
        title=title,
        question=question,
        most_comment=most_comment,
        script=trusted(asset("study", "annotate.js")),
    )


def message_page(title: str, text: str) -> str:
    """A page that says one thing, such as why there is nothing to see."""
    return render_page("message.html.j2", title=title, text=text[:1].upper() + text[1:])


@cache
def page_policy() -> str:
    """Content-Security-Policy of these pages: their own script and style, and nothing else."""
    style, script = (source_digest(text) for text in (page_style(), asset("study", "annotate.js")))
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; media-src blob:; "
        "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def render_page(template: str, **values: Any) -> str:
    """A template with the look that all pages of a study share."""
    return _environment().get_template(template).render(style=trusted(page_style()), **values)


@cache
def page_style() -> str:
    """The report's style, and the study's on top."""
    return asset("report", "style.css") + asset("study", "study.css")


@cache
def _environment() -> Environment:
    return environment("study")

"""What the pages of all rooms are made of: templates, styles, scripts and their digests.

Invariant: whatever a template is given is escaped, unless it was marked as our own by `trusted`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


@cache
def asset(room: str, name: str) -> str:
    """A file of the templates of a room, for example ("report", "style.css")."""
    return (resources.files(f"motive.{room}") / "templates" / name).read_text("utf-8")


def environment(room: str, **filters: Callable[..., Any]) -> Environment:
    """The templates of a room, with filters of its own; a name that is missing is an error."""
    made = Environment(
        loader=PackageLoader(f"motive.{room}"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(filters)
    return made


def trusted(text: str) -> Markup:
    """Text that is ours (or escaped already) and goes into a page as it is."""
    return Markup(text)  # noqa: S704


def source_digest(text: str) -> Markup:
    """How a Content-Security-Policy names a script or style: 'sha256-...'."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return trusted(f"'sha256-{digest}'")


@cache
def plotly_script() -> str:
    """The library that draws charts in the browser."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())

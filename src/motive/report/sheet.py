"""The contact sheet of a motion table: one HTML file, a strip of pictures per clip, filters.

Invariant: the page is complete in itself and computes nothing; numbers arrive finished, names and
captions are shown as text. Overlay videos lie beside it and are only linked.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from motive.files import whole_file
from motive.pages import asset, source_digest, trusted
from motive.report.page import page_environment

_MARKER = '<meta name="generator" content="MOTIVE motion">'
_PETAL = 20.0  # px, length of the longest line of a direction rose


@dataclass(frozen=True)
class SheetClip:
    """One clip of the sheet.

    Attributes:
        name: File name.
        path: Where it is.
        caption: Any text.
        picture: JPEG of three frames side by side: first, last, motion map. None if there is none.
        size: (width, height) of one of the three frames, in pixels of the picture.
        overlay: Overlay video relative to the page, if there is one.
        error: Why the clip could not be measured; None for all others.
        flags: For example ("camera-only", "cut").
        camera: Camera class; empty if unknown.
        facts: (name, value) lines.
        values: Sort key -> value, higher first.
        directions: Shares of motion by direction, counterclockwise from the right; may be empty.
    """

    name: str
    path: str
    caption: str = ""
    picture: bytes | None = None
    size: tuple[int, int] = (16, 9)
    overlay: str | None = None
    error: str | None = None
    flags: Sequence[str] = ()
    camera: str = ""
    facts: Sequence[tuple[str, str]] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    directions: Sequence[float] = ()

    @property
    def groups(self) -> list[str]:
        """What the filter knows the clip by."""
        return ["failed"] if self.error is not None else list(self.flags) or ["unflagged"]

    @property
    def petals(self) -> list[tuple[float, float]]:
        """End points of the direction rose's lines, pixels from its centre, y down."""
        longest = max(self.directions, default=0.0)
        if longest <= 0:
            return []
        step = 2 * math.pi / len(self.directions)
        return [
            (
                round(_PETAL * share / longest * math.cos(k * step), 1),
                round(-_PETAL * share / longest * math.sin(k * step), 1),
            )
            for k, share in enumerate(self.directions)
        ]

    @property
    def picture_url(self) -> Markup:
        """The picture as a data address."""
        text = base64.b64encode(self.picture or b"").decode()
        return trusted(f"data:image/jpeg;base64,{text}")

    @property
    def overlay_url(self) -> str:
        """The overlay's address; names may hold any character."""
        return quote(self.overlay or "")


@dataclass(frozen=True)
class SheetData:
    """Everything on the page.

    Attributes:
        title: Headline.
        lead: One or two sentences.
        facts: (label, value) pairs of the whole table.
        clips: What is shown, in the order to show it.
        total: How many clips the table has.
        flags: Flag -> how many clips of the table have it; the order is that of the filter.
        unflagged: How many have none.
        failed: How many could not be measured.
        cameras: Camera class -> how many.
        sorts: (sort key, its name), the first one being the order of `clips`.
        drop_command: Shell line to which flags to drop are appended.
        notes: Remarks the reader should know.
    """

    title: str
    lead: str
    facts: Sequence[tuple[str, str]]
    clips: Sequence[SheetClip]
    total: int
    flags: Mapping[str, int]
    unflagged: int
    failed: int
    cameras: Mapping[str, int]
    sorts: Sequence[tuple[str, str]]
    drop_command: str = ""
    notes: Sequence[str] = ()


def build_sheet(data: SheetData, path: Path) -> Path:
    """Write the page and return its path.

    Raises:
        MotiveError: It cannot be written.
    """
    page = page_environment().get_template("sheet.html.j2").render(_values(data))
    with whole_file(path) as partial:
        # A caption may hold lone surrogates (undecodable file names); they become "?".
        partial.write_bytes(page.encode("utf-8", "replace"))
    return path


def _values(data: SheetData) -> dict[str, Any]:
    script = asset("report", "sheet.js")
    groups = {
        **{name: count for name, count in data.flags.items() if count},
        **({"unflagged": data.unflagged} if data.unflagged else {}),
        **({"failed": data.failed} if data.failed else {}),
    }
    return {
        "data": data,
        "groups": groups,
        "cameras": {name: count for name, count in data.cameras.items() if count},
        "marker": trusted(_MARKER),
        "style": trusted(asset("report", "style.css") + asset("report", "sheet.css")),
        "script": trusted(script),
        "script_hash": source_digest(script),
    }

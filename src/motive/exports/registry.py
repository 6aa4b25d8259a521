"""The formats. A new one is a file that defines a `Format`, listed here."""

from __future__ import annotations

from motive.errors import UsageError
from motive.exports import (
    ai_toolkit,
    diffsynth,
    diffusion_pipe,
    musubi,
    parquet,
    videofolder,
    videox_fun,
    webdataset,
)
from motive.exports.protocol import Format

FORMATS: tuple[Format, ...] = (
    diffsynth.FORMAT,
    musubi.FORMAT,
    diffusion_pipe.FORMAT,
    videox_fun.FORMAT,
    ai_toolkit.FORMAT,
    videofolder.FINETRAINERS,
    videofolder.VIDEOFOLDER,
    webdataset.FORMAT,
    parquet.FORMAT,
)


def find_format(key: str) -> Format:
    """The format of this key.

    Raises:
        UsageError: There is none; the message lists them.
    """
    for form in FORMATS:
        if form.key == key:
            return form
    raise UsageError(f"format {key!r}: must be one of {', '.join(form.key for form in FORMATS)}")

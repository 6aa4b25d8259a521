"""Versions of the packages that decide numbers, for records."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    """Looked up once: records are written often, and eight look-ups take 40 ms."""
    names = ("motive-video", "torch", "diffusers", "transformers", "numpy", "av", "pylance")
    found = {"python": platform.python_version()}
    for name in (*names, "opencv-python-headless"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found

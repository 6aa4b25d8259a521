"""Fixtures that write small test videos, and how examples are drawn.

Property tests try the same examples on every run, so that a failure is that of the change at hand;
`HYPOTHESIS_PROFILE=search` draws new ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # the processes share the cores; before torch counts them
    _SHARE = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _SHARE)))

import pytest
from hypothesis import settings

from numbered_videos import frame_with_number, write_video
from tiny_wan import save_tiny_wan

settings.register_profile("repeatable", derandomize=True, print_blob=True)
settings.register_profile("search")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture
def numbered_video(tmp_path: Path) -> Callable[..., Path]:
    """Factory: `numbered_video(count, fps, name=..., **options)` writes frames 0, 1, 2, ..."""

    def make(count: int, fps: float = 16, *, name: str = "clip.mp4", size=(32, 64), **options):
        frames = [frame_with_number(i, *size) for i in range(count)]
        return write_video(tmp_path / name, frames, fps, **options)

    return make


@pytest.fixture(scope="session")
def tiny_wan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Wan 2.1 pipeline folder (9 frames of 64x64 are enough for it)."""
    return save_tiny_wan(tmp_path_factory.mktemp("models") / "tiny-wan")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process is left alone with them in the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)

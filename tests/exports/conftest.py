"""Small videos with difficult names, as items to export."""

from __future__ import annotations

import pytest

from export_items import SOURCES, STANDARD, item_of
from numbered_videos import frame_with_number, write_video


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """A folder of small videos, each of another length, of 8 frames per second."""
    folder = tmp_path_factory.mktemp("source vidéos")
    for number, name in enumerate(SOURCES):
        (folder / name).parent.mkdir(exist_ok=True)
        write_video(folder / name, [frame_with_number(i) for i in range(6 + number)], 8)
    return folder


@pytest.fixture
def items(sources):
    return [
        item_of(sources / name, caption, rank)
        for rank, (name, caption) in enumerate(SOURCES.items(), 1)
    ]


@pytest.fixture
def standard():
    return STANDARD

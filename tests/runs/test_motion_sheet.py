"""The contact sheet shows what the table says, and of a large table some of everything."""

import re

import cv2
import numpy as np
import pytest
import torch

from motive.clips import ClipStandard
from motive.index import ClipRecord
from motive.motion import Motion, MotionFacts
from motive.runs.motion_clip import motion_strip
from motive.runs.motion_rows import ClipMotion, stored_facts
from motive.runs.motion_settings import MotionSettings
from motive.runs.motion_sheet import choose, longer_than_measured, write_sheet
from motive.runs.motion_table import MotionTable
from moving_squares import square_video, square_videos

SETTINGS = MotionSettings(ClipStandard(frames=5, fps=8, height=32, width=48))


def facts(**changes):
    values = {
        "mean_magnitude": 1.0, "max_magnitude": 2.0, "moving_fraction": 0.5, "uniformity": 0.5,
        "camera": "static", "camera_magnitude": 0.0, "camera_share": 0.0, "object_magnitude": 2.0,
        "moving_area": 0.5, "directions": (0.0,) * 8, "static": False, "camera_only": False,
        "micro_motion": False,
    }  # fmt: skip
    return MotionFacts(**values | changes)


def row(name, error=None, seconds=1.0, **changes):
    motion = {"seconds": seconds, "facts": stored_facts(facts(**changes))}
    status = "error" if error else "ok"
    return ClipMotion(ClipRecord("motion", name, status, name, error=error, motion=motion))


def test_a_large_table_shows_equally_many_of_each_kind():
    rows = [row(f"moves{n:03}", object_magnitude=n + 1.0) for n in range(100)]
    rows += [row(f"still{n}", static=True) for n in range(30)]
    rows += [row(f"cut{n}", cuts=(3,)) for n in range(2)]
    rows += [row(f"bad{n}", error="bad: gone") for n in range(40)]
    assert choose(rows, 200) == choose(rows, 172)
    assert len(choose(rows, 200)) == 172
    chosen = [r.record.source for r in choose(rows, 20)]
    kinds = [re.sub(r"\d", "", name) for name in chosen]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "moves": 6, "still": 6, "cut": 2, "bad": 6
    }  # fmt: skip
    assert chosen[:2] == ["moves099", "moves098"]
    assert set(kinds[-6:]) == {"bad"}


def test_a_remark_says_how_much_of_long_clips_was_looked_at():
    standard = ClipStandard(frames=16, fps=16)
    assert longer_than_measured([row("a"), row("b", seconds=1.2)], standard) == []
    (text,) = longer_than_measured(
        [row("a"), row("b", seconds=12.5), row("c", seconds=None)], standard
    )
    assert text.startswith(
        "1 of 3 clips are longer than the 1 s that are measured (the longest: 12.5"
    )


def test_the_sheet_of_a_folder_shows_each_clip(tmp_path):
    data = square_videos(tmp_path / "data", (1, 2))
    square_video(data / "one.mp4", 3, frames=1)
    table = MotionTable(tmp_path / "out dir", SETTINGS, workers=1)
    found = table.measure(data, overlays=1)  # without strips: the sheet makes those it needs
    text = write_sheet(table, found).read_text("utf-8")
    assert len(list((table.folder / "strips").rglob("*.jpg"))) == 2
    assert text.count('<li class="clip') == 3
    assert text.count("data-video=") == 1
    assert "too short" in text
    assert "square number 2" in text
    assert f"motive motion --out &#39;{table.folder}&#39;" in text
    assert write_sheet(table, found).read_text("utf-8") == text


def test_a_clip_that_is_gone_keeps_its_row_without_a_picture(tmp_path, caplog):
    data = square_videos(tmp_path / "data", (1, 2))
    table = MotionTable(tmp_path / "out", SETTINGS, workers=1)
    found = table.measure(data)
    (data / "square1.mp4").unlink()
    text = write_sheet(table, found).read_text("utf-8")
    assert (text.count('<li class="clip'), text.count("no picture")) == (2, 1)
    assert "not drawn: " in caplog.text


@pytest.mark.parametrize("cuts", [(), (3,)])
def test_a_strip_is_first_last_and_the_frame_that_moves_most(cuts):
    levels = np.array([30, 60, 90, 120, 150], np.uint8)
    pixels = torch.from_numpy(np.broadcast_to(levels[:, None, None, None], (5, 100, 300, 3)).copy())
    magnitude = torch.zeros(5, 100, 300)
    magnitude[2, :50] = 9.0  # the frame before the cut, if there is one
    magnitude[1, :50] = 4.0
    strip = motion_strip(pixels, Motion(magnitude, facts(cuts=cuts)))
    image = cv2.imdecode(np.frombuffer(strip, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (75, 672, 3)
    still = [float(image[60, x].mean()) for x in (100, 330, 560)]
    np.testing.assert_allclose(still, [30, 150, 60 if cuts else 90], atol=3)
    assert image[10, 560].std() > 20  # warm where it moves

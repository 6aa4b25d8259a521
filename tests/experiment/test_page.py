"""The page as a reader meets it: whole, without a network, in a real browser."""

import json
import re
import shutil

import numpy as np
import pytest

from browser import CHROMIUM, Browser
from experiment_world import invented_results
from motive.clips import write_mp4
from motive.experiment.page import write_page
from motive.experiment.results import results_of

PROMPTS, SEEDS = 20, (0, 1)
ROWS = "document.querySelectorAll('#rows > li')"
COUNT = "document.getElementById('count').textContent"


def results():
    """20 prompts, 2 seeds, 3 conditions; MOTIVE shows the first ten prompts, one name is evil."""
    shown = np.r_[np.ones(10), np.zeros(10)]
    values = {
        "base": np.zeros(40),
        "random": np.r_[np.zeros(39), 1.0],
        "motive": np.r_[shown, shown],
    }
    evil = "</script><b>bold</b>"
    about, videos = invented_results(values, prompts=PROMPTS, seeds=SEEDS, title=f"Squares {evil}")
    for video in videos:
        video.values["motion_probability"] = 0.5
    return results_of(about, videos)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    out = tmp_path_factory.mktemp("page with späces")
    made = results()
    squares = np.full((9, 32, 32, 3), 40, np.uint8)
    for frame in range(9):
        squares[frame, 8:16, 2 * frame : 2 * frame + 8] = 220
    write_mp4(out / "one.mp4", squares, 8)
    for video in made.videos:
        (out / video.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(out / "one.mp4", out / video.path)
    (out / made.videos[0].path).unlink()  # of base: a video that has gone
    return write_page(made, out)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def opened(chromium, page):
    chromium.complaints.clear()
    chromium.size(1280, 800)
    chromium.open(page.as_uri())
    chromium.until(f"{ROWS}.length > 0")
    return chromium


in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


def test_the_folder_is_complete_and_the_text_is_no_markup(page):
    text = page.read_text("utf-8")
    assert "<b>bold</b>" not in text
    without_scripts = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", without_scripts)
    videos = sorted(page.parent.glob("videos/*/*.mp4"))
    assert len(videos) == 3 * PROMPTS * len(SEEDS) - 1
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    for prompt in data["prompts"]:
        for entries in prompt["videos"].values():
            assert all(
                place is None or (page.parent / place).exists() for place, *_ in entries.values()
            )


def test_the_published_numbers_are_labelled_as_other_data(page):
    text = page.read_text("utf-8")
    published = text[text.index("The published table") :]
    assert "another model, other clips, no seeds and no intervals" in published
    assert "47.6" in published
    assert "47.6" not in text[: text.index("The published table")].split("<body>")[1]


def test_a_page_written_again_replaces_the_old_one(page, tmp_path):
    out = tmp_path / "again"
    shutil.copytree(page.parent.parent, out)
    (out / "report" / "left over").write_text("")
    write_page(results(), out)
    assert not (out / "report" / "left over").exists()
    assert (out / "report" / "index.html").read_bytes() == page.read_bytes()


@in_browser
def test_videos_stand_side_by_side_and_play_in_step(opened):
    side = f"[...{ROWS}[0].querySelectorAll('figure')].map(f => f.getBoundingClientRect().top)"
    tops = opened.run(side)
    assert len(tops) == 3
    assert len(set(tops)) == 1
    opened.run(f"{ROWS}[1].scrollIntoView({{behavior: 'instant'}})")
    videos = f"[...{ROWS}[1].querySelectorAll('video')]"
    opened.until(f"{videos}.length == 3 && {videos}.every(v => v.readyState >= 2)")
    opened.until(f"{videos}.some(v => !v.paused)")
    opened.click("#play")
    opened.until("document.getElementById('play').textContent == 'Play'", seconds=10)
    opened.until(f"{videos}.every(v => v.paused)", seconds=10)
    opened.press("ArrowRight")
    opened.until(f"new Set({videos}.map(v => v.currentTime.toFixed(3))).size == 1")
    assert opened.complaints == []


@in_browser
def test_a_missing_video_is_said_and_not_an_empty_box(opened):
    text = opened.run(f"{ROWS}[0].querySelector('figure').textContent")
    assert "No video" in text


def choose(page, name, value, event):
    page.run(
        f"(() => {{ const e = document.getElementById('{name}'); e.value = '{value}';"
        f" e.dispatchEvent(new Event('{event}')); }})()"
    )


@in_browser
def test_filters_find_prompts_by_motion_word_and_outcome(opened):
    assert opened.run(COUNT) == "20 of 20 prompts"
    choose(opened, "by-motion", "spin", "change")
    assert opened.run(COUNT) == "10 of 20 prompts"
    choose(opened, "by-motion", "", "change")
    choose(opened, "by-outcome", "only-main", "change")
    assert opened.run(COUNT) == "10 of 20 prompts"
    choose(opened, "by-text", "prompt 3", "input")
    assert opened.run(COUNT) == "1 of 20 prompts"
    choose(opened, "by-text", "elephant", "input")
    assert not opened.run("document.getElementById('nothing').hidden")


@in_browser
def test_keys_walk_enlarge_and_change_the_seed(opened):
    opened.press("j")
    opened.press("j")
    assert opened.run(f"{ROWS}[1].classList.contains('here')")
    opened.press("Enter")
    opened.until("document.getElementById('viewer').open")
    assert opened.run("document.getElementById('viewer-title').textContent") == "prompt 1"
    opened.press("s")
    assert opened.run("document.querySelector('input[name=seed]:checked').value") == "1"
    assert opened.run("document.getElementById('viewer-title').textContent") == "prompt 1"
    opened.press("Escape")
    opened.until("!document.getElementById('viewer').open")
    assert opened.complaints == []


@in_browser
def test_nothing_overflows_on_a_phone(opened):
    opened.size(390, 800, phone=True)
    opened.until("document.documentElement.scrollWidth <= 390")
    assert opened.run("document.querySelectorAll('.js-plotly-plot').length") >= 3
    opened.size(1280, 800)

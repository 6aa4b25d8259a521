"""The annotators' page in a real browser."""

import threading

import pytest

from browser import CHROMIUM, Browser
from motive.study import StudyStore, annotator_link
from study_world import served, small_study

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

READY = "document.querySelector('.sides.ready')"
WATCHED = "document.querySelector('[data-choice=left]').getAttribute('aria-disabled') === 'false'"
DONE = "Number(document.getElementById('progress').value)"
PAUSED = "[...document.querySelectorAll('video')].map(v => v.paused).join()"
STATUS = "document.getElementById('status').textContent"


@pytest.fixture(scope="module")
def one_browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def chromium(one_browser):
    """The browser of an ordinary desktop; no test inherits another's screen or wishes."""
    one_browser.complaints.clear()
    one_browser.size(1280, 800)
    one_browser.prefer(prefers_reduced_motion="no-preference", prefers_color_scheme="light")
    yield one_browser
    one_browser.open("about:blank")


@pytest.fixture(scope="module")
def short_study(tmp_path_factory):
    """Videos of one and a half seconds: two prompts, no checks, an annotator for every test."""
    names = ["keys", "mouse", "calm", "crash", "names", "windows", "contrast"]
    video = {"frames": 12, "fps": 8, "size": (48, 64)}
    return small_study(
        tmp_path_factory.mktemp("short"), prompts=2, checks=0, annotators=names, video=video
    )


@pytest.fixture
def visit(chromium, short_study):
    """Opens an annotator's page; yields (browser, store, name)."""
    with served(short_study) as address, StudyStore(short_study) as store:

        def open_page(name, begin=True):
            person = next(a for a in store.annotators() if a.name == name)
            chromium.open(annotator_link(address, person, None))
            chromium.until("!document.getElementById('welcome').hidden || " + READY)
            if begin and not chromium.run(READY):
                chromium.press("Enter")  # the button has the focus
                chromium.until(READY)
            return chromium, store

        yield open_page


def answers(store, name):
    return [j.choice for j in store.judgements() if j.annotator == name]


def test_a_whole_study_by_keys_alone(visit):
    page, store = visit("keys")
    page.press("ArrowLeft")  # not yet seen to the end
    assert "Watch both to the end once" in page.run(STATUS)
    assert answers(store, "keys") == []
    page.until("document.querySelectorAll('video')[0].currentTime > 0.2")
    page.press(" ")
    page.until(f"{PAUSED} === 'true,true'")
    apart = "Math.abs(document.getElementById('left').currentTime - right.currentTime)"
    assert page.run(apart) < 0.15
    page.press("r")
    page.until(f"{PAUSED} === 'false,false'")
    page.until(WATCHED)
    page.until("document.getElementById('left').currentTime > 0.2")  # and round again, together
    assert page.run(apart) < 0.15
    page.press("c")
    page.send("Input.insertText", text="left right z")
    page.press("z")  # a letter while writing, no command
    page.press("Escape")
    page.press("ArrowLeft", repeat=True)  # a key held down is no answer
    assert answers(store, "keys") == []
    page.press("ArrowLeft")
    page.until(f"{DONE} === 1")
    assert [(j.choice, j.comment) for j in store.judgements() if j.annotator == "keys"] == [
        ("left", "left right zz")
    ]
    page.until(WATCHED)
    page.press("z")
    page.until(f"{DONE} === 0")
    assert answers(store, "keys") == []
    assert page.run("document.getElementById('comment').value") == "left right zz"
    assert page.run("document.querySelector('.earlier').dataset.choice") == "left"
    page.until(f"{READY} && {WATCHED}")
    page.press("ArrowDown")
    page.until(f"{DONE} === 1")
    assert page.run("document.getElementById('comment').value") == ""
    page.until(WATCHED)
    page.press("ArrowRight")
    page.until("!document.getElementById('done').hidden")
    assert answers(store, "keys") == ["tie", "right"]
    seconds = [j.seconds for j in store.judgements() if j.annotator == "keys"]
    assert all(value >= 1.4 for value in seconds)
    page.press("z")  # the last one can still be changed
    page.until(f"{DONE} === 1 && {READY}")
    assert answers(store, "keys") == ["tie"]
    assert page.complaints == []


def test_a_double_click_counts_once_and_a_reload_goes_on_where_it_was(visit):
    page, store = visit("mouse")
    page.until(WATCHED)
    page.click("[data-choice=right]", 2)
    page.until(f"{DONE} === 1")
    assert answers(store, "mouse") == ["right"]
    assert page.run("document.activeElement.id") == "prompt"  # Space plays, and presses no button
    prompt = page.run("document.getElementById('prompt').textContent")
    page.until(READY)
    page.run("document.getElementById('comment').value = 'half a tho'")
    page.run("document.getElementById('comment').dispatchEvent(new Event('input'))")
    page.send("Page.reload")
    page.until("document.readyState === 'complete'")
    page.until(READY)
    assert page.run(DONE) == 1
    assert page.run("document.getElementById('prompt').textContent") == prompt
    assert page.run("document.getElementById('comment').value") == "half a tho"
    page.until(WATCHED)
    page.click("[data-choice=tie]")
    page.until("!document.getElementById('done').hidden")
    assert answers(store, "mouse") == ["right", "tie"]
    assert page.complaints == []


def test_whoever_wants_less_motion_starts_the_videos(chromium, visit):
    chromium.prefer(prefers_reduced_motion="reduce")
    page, _ = visit("calm")
    assert page.run(PAUSED) == "true,true"
    assert "Press Play" in page.run(STATUS)
    assert page.run("document.getElementById('play').textContent.trim()") == "Play"
    page.press("Tab")
    page.press("Tab")  # the prompt, then Play
    page.run("document.getElementById('play').focus()")
    page.press(" ")
    page.until(WATCHED)


def test_an_answer_waits_for_a_server_that_is_away(chromium, short_study):
    with StudyStore(short_study) as store:
        person = next(a for a in store.annotators() if a.name == "crash")
        with served(short_study) as address:
            chromium.open(annotator_link(address, person, None))
            chromium.until("!document.getElementById('welcome').hidden")
            chromium.press("Enter")
            chromium.until(f"{READY} && {WATCHED}")
        chromium.press("ArrowRight")
        chromium.until(f"{STATUS}.includes('Not saved yet')")
        assert answers(store, "crash") == []
        chromium.press("ArrowLeft")  # the answer is on its way already
        with served(short_study, port=int(address.rpartition(":")[2])):
            chromium.until(f"{DONE} === 1")
            assert answers(store, "crash") == ["right"]
            chromium.until(WATCHED)
        chromium.press("ArrowDown")
        chromium.until(f"{STATUS}.includes('Not saved yet')")
        chromium.open("about:blank")  # the page is closed before the server is back
        with served(short_study, port=int(address.rpartition(":")[2])):
            chromium.open(annotator_link(address, person, None))
            chromium.until("!document.getElementById('done').hidden")
        assert answers(store, "crash") == ["right", "tie"]


def test_an_answer_in_another_window_is_noticed(visit):
    page, store = visit("windows")
    page.until(WATCHED)
    from motive.study import Vote

    first = store.standing("windows").current.id
    done = threading.Thread(
        target=store.vote, args=("windows", first, Vote("key-other-window", "left"))
    )
    done.start()
    done.join()
    page.press("ArrowRight")
    page.until(f"{DONE} === 1")
    assert "first answer stays" in page.run(STATUS)
    assert answers(store, "windows") == ["left"]


CONTRASTS = """
[...document.querySelectorAll('h1, p, li, button, label, summary, figcaption, kbd, dd, textarea')]
  .filter(e => e.checkVisibility() && (e.textContent.trim() || e.value)).map(e => {
    const parts = c => c.match(/[\\d.]+/g).map(Number);
    const light = c => parts(c).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    let paper = e;
    while (parts(getComputedStyle(paper).backgroundColor)[3] === 0) paper = paper.parentElement;
    const [a, b] = [getComputedStyle(e).color, getComputedStyle(paper).backgroundColor].map(light);
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.textContent.trim()];
  })
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(chromium, visit, scheme):
    chromium.prefer(prefers_color_scheme=scheme)
    page, _ = visit("contrast", begin=False)
    found = page.run(CONTRASTS)
    page.press("Enter")
    page.until(READY)
    page.press("c")
    found += page.run(CONTRASTS)
    page.until(WATCHED)
    found += page.run(CONTRASTS)
    page.click("#help")
    found += page.run(CONTRASTS)
    page.press("Escape")
    assert len(found) > 40
    assert [entry for entry in found if entry[0] < 4.5] == []


def named(page):
    """(role, name) of everything that can be operated or read, as assistive software gets it."""
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    return [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored") and "role" in node
    ]


def test_everything_has_a_name_and_fits_every_screen(visit):
    page, _ = visit("names", begin=False)
    assert ("heading", "In which video is the motion better?") in named(page)
    assert page.run("document.activeElement.id") == "begin"
    page.press("Enter")
    page.until(f"{READY} && {WATCHED}")
    found = named(page)
    for role in ("button", "Video", "video", "textbox", "progressbar", "progressIndicator"):
        assert all(name for kind, name in found if kind == role), (role, found)
    for wanted in ("A is better", "About the same", "B is better", "Pause", "Replay"):
        assert ("button", wanted) in found
    assert ("group", "In which video is the motion better?") in found
    assert any(role == "status" for role, _ in found)
    assert page.run("document.documentElement.lang") == "en"
    for width, height, phone in ((1280, 800, False), (844, 390, True), (390, 844, True),
                                 (320, 640, True)):  # fmt: skip
        page.size(width, height, phone=phone)
        assert page.run("document.documentElement.scrollWidth") <= width
        small = page.run(
            "[...document.querySelectorAll('#trial button')].filter(b => !b.disabled)"
            ".map(b => b.getBoundingClientRect()).filter(r => r.height < 24 || r.width < 24).length"
        )
        assert small == 0
    page.size(1280, 800)
    # Everything can be reached by Tab, and shows that it has the focus.
    page.run("document.getElementById('prompt').focus()")
    reached = []
    for _ in range(6):
        page.press("Tab")
        reached.append(page.run("document.activeElement.textContent.trim()"))
        assert page.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert [text for text in reached if "better" in text or "same" in text] == [
        "A is better←", "About the same↓", "B is better→",
    ]  # fmt: skip
    page.click("#help")
    page.until("document.getElementById('helper').open")
    page.press("ArrowLeft")
    assert page.run(DONE) == 0
    page.click("#keys")  # whoever needs the keys for something else turns them off
    page.press("Escape")
    page.until("!document.getElementById('helper').open")
    page.press("ArrowLeft")
    assert page.run(DONE) == 0
    page.click("#help")
    page.click("#keys")
    page.press("Escape")
    assert page.complaints == []

"""The contact sheet is one file that loads nothing and shows names and captions as text."""

import base64
import hashlib
import html.parser
import re
import shutil
import subprocess

import pytest

from motive.errors import MotiveError
from motive.report.sheet import SheetClip, SheetData, build_sheet

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
JPEG = b"\xff\xd8 no real picture"
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


class Page(html.parser.HTMLParser):
    """Elements of a page with their attributes, and its visible text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def of(self, tag, **wanted):
        return [a for t, a in self.elements if t == tag and wanted.items() <= a.items()]


def page(tmp_path, clips, **changes):
    values = {
        "title": "clips", "lead": "", "facts": [("Tracker", "dis")], "clips": clips,
        "total": len(clips), "flags": {"static": 1, "cut": 0}, "unflagged": 1, "failed": 1,
        "cameras": {"pan": 2, "zoom": 0}, "sorts": [("objects", "Objects"), ("order", "Listed")],
        "drop_command": "motive motion --out m",
    }  # fmt: skip
    path = build_sheet(SheetData(**values | changes), tmp_path / "sheet" / "motion.html")
    text = path.read_text("utf-8")
    return Page(text), text


@pytest.fixture
def clips():
    return [
        SheetClip(
            "a b#1.mp4", "/d/a b#1.mp4", "a walk", JPEG, (224, 129), "overlays/a b#1-12345678.mp4",
            flags=["static"], camera="pan", facts=[("camera", "pan, 2.0 px")],
            values={"objects": 1.5, "order": 0}, directions=(1, 0, 0, 0, 0.5, 0, 0, 0),
        ),
        SheetClip("b.mp4", "/d/b.mp4", camera="pan", picture=JPEG,
            values={"objects": 0.5, "order": 1}),
        SheetClip("c.mp4", "/d/c.mp4", error="empty file"),
    ]  # fmt: skip


def test_every_clip_is_a_row_with_what_the_filter_needs(tmp_path, clips):
    found, text = page(tmp_path, clips)
    rows = found.of("li")
    assert [row["data-groups"] for row in rows] == ["static", "unflagged", "failed"]
    assert [row["data-camera"] for row in rows] == ["pan", "pan", ""]
    assert (rows[0]["data-objects"], rows[0]["data-name"]) == ("1.5", "a b#1.mp4")
    chips = [a for a in found.of("button") if "aria-pressed" in a and "chip" in a.get("class", "")]
    named = [a.get("data-group") or a.get("data-camera") for a in chips]
    assert named == ["static", "unflagged", "failed", "pan"]  # counts of none have no chip
    assert "empty file" in text
    assert [a["value"] for a in found.of("option")] == ["objects", "order", "name"]
    picture = found.of("img")[0]
    assert base64.b64decode(picture["src"].removeprefix("data:image/jpeg;base64,")) == JPEG
    assert "motion map" in picture["alt"]
    assert len(found.of("svg")) == 1
    assert found.of("line")[0]["x2"] == "20.0"


def test_the_page_loads_nothing_and_runs_only_its_own_script(tmp_path, clips):
    found, text = page(tmp_path, clips)
    for _, attributes in found.elements:
        for name in ("src", "href"):
            address = attributes.get(name) or "#"
            assert address.startswith(("#", "data:")), address
    (videos,) = [a["data-video"] for a in found.of("button") if "data-video" in a]
    assert videos == "overlays/a%20b%231-12345678.mp4"
    script = re.search(r"<script>(.*?)</script>", text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert not re.search(r"https?://", text.replace("http://www.w3.org", ""))


def test_names_captions_and_reasons_are_shown_as_text(tmp_path):
    clip = SheetClip(EVIL, EVIL, EVIL + "\udce4", error=EVIL, facts=[(EVIL, EVIL)])
    found, _ = page(tmp_path, [clip], title=EVIL, lead=EVIL, notes=[EVIL], drop_command=EVIL)
    assert len(found.of("script")) == 1
    assert found.of("img") == []
    assert all(not name.startswith("on") for _, a in found.elements for name in a)
    assert EVIL in "".join(found.words)


def test_a_part_of_the_table_says_so(tmp_path, clips):
    assert "3 of 12000 clips are on this page" in page(tmp_path, clips, total=12000)[1]
    assert "are on this page" not in page(tmp_path, clips)[1]


def test_a_page_that_cannot_be_written_is_one_line(tmp_path, clips):
    (tmp_path / "sheet").write_text("a file where the folder should be")
    with pytest.raises(MotiveError, match="cannot be written") as caught:
        page(tmp_path, clips)
    assert "\n" not in str(caught.value)


def in_browser(path, profile, then=""):
    """The page after its script, and then another one, ran in a browser without a complaint."""
    if then:  # which the page's own policy would not let run
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", path.read_text())
        path = path.with_name("with-script.html")
        path.write_text(text.replace("</body>", f"<script>{then}</script></body>"))
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-sync --dump-dom"
    flags += " --disable-background-networking --disable-component-update --enable-logging=stderr"
    done = subprocess.run(
        [CHROMIUM, *flags.split(), f"--user-data-dir={profile}", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert "CONSOLE" not in done.stderr, [x for x in done.stderr.splitlines() if "CONSOLE" in x]
    found = Page(done.stdout)
    shown = [row["data-name"] for row in found.of("li") if "hidden" not in row]
    return found, shown, done.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_filters_sorts_and_finds(tmp_path, clips):
    page(tmp_path, clips)
    path, profile = tmp_path / "sheet" / "motion.html", tmp_path / "profile"
    found, shown, text = in_browser(path, profile)
    assert shown == ["a b#1.mp4", "b.mp4", "c.mp4"]
    assert "hidden" not in found.of("form")[0]
    assert "3 of 3 shown" in text
    press = "document.querySelector('[data-group=%s]').click();"
    found, shown, text = in_browser(path, profile, press % "static" + press % "failed")
    assert shown == ["a b#1.mp4", "c.mp4"]
    assert "motive motion --out m --drop static</code>" in text  # what failed is dropped anyway
    get = "document.getElementById('%s')"
    find, sort = get % "find", get % "sort"
    listed = f"{sort}.value = 'order'; {sort}.dispatchEvent(new Event('change'));"
    typed = f"{find}.value = 'MP4'; {find}.dispatchEvent(new Event('input'));"
    shown = in_browser(path, profile, press % "unflagged" + press % "static" + typed + listed)[1]
    assert shown == ["b.mp4", "a b#1.mp4"]
    camera = "document.querySelector('button[data-camera=pan]').click();"
    nothing = press % "failed" + camera
    found, shown, _ = in_browser(path, profile, nothing)
    assert shown == []
    assert all("hidden" not in paragraph for paragraph in found.of("p", id="none"))

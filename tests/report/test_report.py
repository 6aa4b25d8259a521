"""The report is whole, safe with any text, honest about missing media, and the same every time."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motive.errors import MotiveError
from motive.report import (
    Comparison,
    ComparisonRow,
    Estimate,
    Metric,
    QueryReport,
    ReportClip,
    ReportData,
    ScoredClip,
    SelectedClip,
    build_report,
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
HOSTILE = (
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(1)</script>",
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }} {% raw %}",
    "\u202eright to left \u05e9\u05dc\u05d5\u05dd 🎾",
    "lone surrogate \udcff and\x00nul",
    "&lt;b&gt; & <b>bold</b>",
)


def write_mp4(path: Path, width: int, height: int, level: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(4):
            pixels = np.full((height, width, 3), level, np.uint8)
            pixels[:, i * width // 8 : (i + 1) * width // 8] = 255 - level
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Six clips with overlays: tiny, portrait and wide."""
    folder = tmp_path_factory.mktemp("clips")
    sizes = [(64, 64), (64, 64), (96, 160), (64, 64), (832, 480), (64, 64)]
    return [
        ReportClip(
            id=f"{i:032x}",
            video=write_mp4(folder / f"{i}.mp4", w, h, 20 * i),
            overlay=write_mp4(folder / f"{i}_motion.mp4", w, h, 20 * i + 9),
            caption=f"clip number {i}",
            label="spin" if i % 2 else "roll",
            facts={"object motion": "1.5 px"},
        )
        for i, (w, h) in enumerate(sizes)
    ]


def report_data(clips, **changes) -> ReportData:
    scores = np.linspace(-0.3, 0.4, 30)
    queries = [
        QueryReport(
            clip=query,
            positives=[ScoredClip(clip, 0.4 - 0.01 * i, i + 1) for i, clip in enumerate(clips[:4])],
            negatives=[ScoredClip(clips[-1], -0.3, 30)],
            scores=scores,
            threshold=0.33,
            metrics={"precision@10": 0.5},
            same_label=scores > 0.2,
        )
        for query in clips[:2]
    ]
    selection = [
        SelectedClip(clip, i + 1, 2 - i % 2, 1.5 + i, 0.3, "2 of 2 votes", {"q1": 0.2, "q2": -0.1})
        for i, clip in enumerate(clips)
    ]
    data = ReportData(
        title="Which training clips influence the motion?",
        subtitle="A test run.",
        facts=[("Model", "wan-nano")],
        queries=queries,
        selection=selection,
        comparison=comparison(),
        errors=[("broken.mp4", "truncated: 3 of 32 frames"), ("a.txt", "not a video")],
        duplicates=[("copy.mp4", "0.mp4")],
        notes=["A note."],
        command="motive demo",
        config_yaml="seed: 0\n",
        fixed_noise=(751, 0.751),
        projected_dim=512,
    )
    return replace(data, **changes)


def comparison() -> Comparison:
    def row(name, value, is_main=False):
        estimate = Estimate(value, value - 0.05, value + 0.05)
        return ComparisonRow(name, {"p": estimate}, {"roll": {"p": estimate}}, is_main, "a note")

    return Comparison(
        metrics=[Metric("p", "Precision @ 10", 0.1)],
        rows=[row("MOTIVE", 0.61, True), row("no mask", 0.43), row("random", 0.12)],
        statement="It follows the motion.",
    )


class Page(HTMLParser):
    """Tags, links and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "poster", "data-overlay", "data-video"}:
                self.links.append(value)
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_data(self, data):
        self.text += data


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_page_loads_nothing_from_outside_its_folder(clips, tmp_path):
    page = build_report(report_data(clips), tmp_path / "report")
    html = page.read_text("utf-8")
    assert "http://" not in html
    assert "https://" not in html
    assert "@import" not in html
    assert "url(" not in html
    for link in Page(html).links:
        if not link.startswith("#"):
            assert (page.parent / link).is_file(), link
    assert str(clips[0].video.parent) not in html  # nor names where it was made


def test_every_link_inside_the_page_has_a_target(clips, tmp_path):
    html = build_report(report_data(clips), tmp_path / "report").read_text("utf-8")
    for anchor in set(re.findall(r'href="#([^"]+)"', html)):
        assert f'id="{anchor}"' in html
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_the_user_stays_text(clips, tmp_path, text):
    plain = Page(build_report(report_data(clips), tmp_path / "plain").read_text("utf-8"))
    marked = [
        replace(clip, caption=text, label=text, name=text, id=f"{i}{text}", facts={text: text})
        for i, clip in enumerate(clips)
    ]
    data = report_data(
        marked,
        title=text,
        subtitle=text,
        facts=[(text, text)],
        errors=[(text, text), (text, text)],
        duplicates=[(text, text)],
        notes=[text],
        command=text,
        config_yaml=text,
    )
    page = Page(build_report(data, tmp_path / "report").read_text("utf-8"))
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert page.handlers == []
    assert set(page.tags) <= set(plain.tags) | {"i"}
    shown = text.replace("\udcff", "?").replace("\x00", "")
    assert shown in page.text.replace("\x00", "").replace("\ufffd", "")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(caption=st.text(max_size=60))
def test_no_caption_changes_the_structure_of_the_page(tmp_path, caption):
    clip = ReportClip(id="0", video=Path("gone.mp4"), caption="plain", name="gone")
    plain = report_data([clip] * 4, comparison=None)
    odd = report_data([replace(clip, caption=caption)] * 4, comparison=None)
    tags = [Page(build_report(d, tmp_path / "r").read_text("utf-8")).tags for d in (plain, odd)]
    assert tags[0] == tags[1]


def test_the_same_video_is_copied_once(clips, tmp_path):
    twin = tmp_path / "another name.mp4"
    shutil.copyfile(clips[0].video, twin)
    clips = [*clips, replace(clips[0], id="f" * 32, video=twin)]
    page = build_report(report_data(clips), tmp_path / "report")
    videos = [path for path in (page.parent / "media").iterdir() if path.suffix == ".mp4"]
    assert len(videos) == 12  # six clips, six overlays
    assert page.read_text("utf-8").count(f'src="media/{videos[0].name}"') >= 1


def test_building_again_gives_the_same_bytes_and_drops_what_is_stale(clips, tmp_path):
    out = tmp_path / "report"
    build_report(report_data(clips), out)
    first = folder_bytes(out)
    (out / "media" / "stale.mp4").write_bytes(b"old")
    build_report(report_data(clips), out)
    assert folder_bytes(out) == first
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_missing_empty_and_broken_videos_become_placeholders(clips, tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    lost = [
        replace(clips[0], id="a", video=tmp_path / "gone.mp4"),
        replace(clips[1], id="b", video=tmp_path / "empty.mp4"),
        replace(clips[2], id="c", video=tmp_path / "broken.mp4"),
        replace(clips[3], id="d", overlay=tmp_path / "no-overlay.mp4"),
    ]
    queries = report_data([lost[3], *lost]).queries
    page = build_report(report_data(lost, queries=queries), tmp_path / "r")
    text = Page(page.read_text("utf-8")).text
    assert "gone.mp4" in text
    assert "file not found" in text
    assert "empty file (0 bytes)" in text
    assert "No motion map" in text
    # Clip 3, the broken file (only a browser can tell what it plays) and three overlays.
    assert len(list((page.parent / "media").glob("*.mp4"))) == 5


def with_bad_number(data: ReportData, place: str, number: float) -> ReportData:
    query = data.queries[0]
    if place == "positive":
        query = replace(query, positives=[ScoredClip(query.clip, number, 1)])
    elif place == "scores":
        query = replace(query, scores=np.array([0.1, number, 0.2]), same_label=None)
    elif place == "selection":
        return replace(data, selection=[replace(data.selection[0], score=number)])
    else:
        row = ComparisonRow("MOTIVE", {"p": Estimate(number)})
        return replace(data, comparison=replace(comparison(), rows=[row]))
    return replace(data, queries=[query])


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("positive", r"query 0\.mp4, clip 0\.mp4 \(0{32}\): score is (nan|inf)"),
        ("selection", r"selected clip 0\.mp4 \(0{32}\): score is (nan|inf)"),
        ("scores", r"query 0\.mp4: score of clip number 1 is (nan|inf), 1 of 3 are not finite"),
        ("comparison", r"comparison row MOTIVE, overall: p is (nan|inf)"),
    ],
)
def test_a_number_that_is_not_finite_is_refused_by_name(clips, tmp_path, place, message, number):
    data = with_bad_number(report_data(clips), place, number)
    with pytest.raises(MotiveError, match=message):
        build_report(data, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_report_without_queries_or_with_misaligned_labels_is_refused(clips, tmp_path):
    data = report_data(clips)
    with pytest.raises(MotiveError, match="no query"):
        build_report(replace(data, queries=[]), tmp_path / "r")
    query = replace(data.queries[0], same_label=np.ones(3, dtype=bool))
    with pytest.raises(MotiveError, match="3 label flags for 30 scores"):
        build_report(replace(data, queries=[query]), tmp_path / "r")


def test_a_folder_that_is_no_report_is_never_replaced(clips, tmp_path):
    precious = tmp_path / "home" / "thesis.tex"
    precious.parent.mkdir()
    precious.write_text("years of work")
    with pytest.raises(MotiveError, match="not a MOTIVE report"):
        build_report(report_data(clips), precious.parent)
    assert precious.read_text() == "years of work"


def test_a_full_disk_leaves_the_old_report_whole(clips, tmp_path, monkeypatch):
    out = tmp_path / "report"
    build_report(report_data(clips), out)
    before = folder_bytes(out)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("motive.report.media.shutil.copyfile", full)
    with pytest.raises(MotiveError, match=r"cannot be written \(No space left on device\)"):
        build_report(report_data(clips, title="new"), out)
    assert folder_bytes(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_all_numbers_errors_and_repeat_instructions_are_on_the_page(clips, tmp_path):
    csv = tmp_path / "chosen.csv"
    csv.write_text("rank,id\n")
    page = build_report(report_data(clips, selection_csv=csv), tmp_path / "report")
    text = Page(page.read_text("utf-8")).text
    for wanted in (
        "0.61",
        "[0.56, 0.66]",
        "chance 0.10",
        "no mask",
        "+0.400",
        "\N{MINUS SIGN}0.300",
    ):
        assert wanted in text, wanted
    for wanted in (
        "truncated: 3 of 32 frames",
        "not a video",
        "copy.mp4",
        "motive demo",
        "seed: 0",
    ):
        assert wanted in text, wanted
    assert (page.parent / "selection.csv").read_text() == "rank,id\n"


def test_an_unlabelled_run_with_one_query_and_no_selection_has_a_page(clips, tmp_path):
    bare = [replace(clip, label=None, overlay=None, caption="") for clip in clips]
    query = QueryReport(bare[0], [ScoredClip(bare[1], 0.1, 1)], [], np.array([0.1]))
    data = ReportData("Title", "Subtitle", [], [query])
    page = Page(build_report(data, tmp_path / "report").read_text("utf-8"))
    assert "(no caption)" in page.text
    assert "No selection was made" in page.text
    assert "Show motion" not in page.text
    assert "Ground truth" not in page.text


@pytest.mark.parametrize(
    ("lowest", "says"), [(-0.2, "Push away from it"), (0.05, "Push least toward it")]
)
def test_the_lowest_scores_push_away_only_if_they_are_negative(clips, tmp_path, lowest, says):
    bare = [replace(clip, label=None) for clip in clips[:3]]
    query = QueryReport(
        bare[0],
        [ScoredClip(bare[1], 0.3, 1)],
        [ScoredClip(bare[2], lowest, 2)],
        np.array([0.3, lowest]),
    )
    page = build_report(
        report_data(clips, queries=[query], selection=[], comparison=None), tmp_path / "r"
    )
    text = page.read_text("utf-8")
    assert says in text
    assert ("Push away from it" in text) == (lowest < 0)


def test_text_colours_reach_contrast_aa_in_light_and_dark():
    css = (Path(__file__).parents[2] / "src/motive/report/templates/style.css").read_text("utf-8")
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    )

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    pairs = [
        (ink, paper)
        for ink in ("ink", "muted", "pos", "neg")
        for paper in ("bg", "panel", "neg-soft")
    ]
    for theme in (light, dark):
        for ink, paper in [*pairs, ("pos", "pos-soft")]:
            high, low = sorted((luminance(theme[ink]), luminance(theme[paper])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, paper, theme[ink], theme[paper])


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
@pytest.mark.parametrize(("calm", "button"), [(False, "Pause"), (True, "Play")])
def test_a_browser_opens_the_page_without_a_complaint(clips, tmp_path, calm, button):
    page = build_report(report_data(clips), tmp_path / "report")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-sync --dump-dom"
    flags += " --disable-background-networking --disable-component-update --enable-logging=stderr"
    flags += " --force-prefers-reduced-motion" if calm else ""
    done = subprocess.run(
        [CHROMIUM, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr, [x for x in done.stderr.splitlines() if "CONSOLE" in x]
    dom = Page(done.stdout)
    assert dom.tags.count("video") >= 20
    # The script ran: it shows the switches and names what the play button does.
    assert re.search(r'class="switches"[^>]*aria-label="Playback">', done.stdout)
    assert re.search(rf'<span class="text">{button}</span>', done.stdout)
    assert '<span class="frame missing">' not in done.stdout  # every video loaded

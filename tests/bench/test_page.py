"""The page is complete in itself, shows what the board holds, and trusts no text."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from bench_boards import a_board, a_row
from motive.bench.board import Contrast, board_json
from motive.bench.page import build_page
from motive.errors import MotiveError
from motive.report import Estimate


class Page(HTMLParser):
    """Elements, their attributes, and the text of scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.cells, self._inside = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data

    def ids(self):
        return {attributes["id"] for _, attributes in self.elements if "id" in attributes}


def page_of(board, folder):
    return Page(build_page(board, folder).read_text("utf-8"))


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    page = page_of(a_board(), tmp_path)
    for tag, attributes in page.elements:
        assert "src" not in attributes
        assert tag != "link"
        assert attributes.get("href", "#").startswith("#")


def test_other_motion_weights_have_a_section_of_their_own(tmp_path):
    change = Contrast("weights of x", "weights: x minus MOTIVE", Estimate(0.01, -0.02, 0.04))
    assert "weightings" in page_of(a_board(contrasts=(change,)), tmp_path / "with").ids()
    assert "weightings" not in page_of(a_board(), tmp_path / "without").ids()


def test_the_browser_runs_only_the_scripts_that_the_page_names(tmp_path):
    page = page_of(a_board(), tmp_path)
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv"))
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    run = [text for attributes, text in page.scripts if "type" not in attributes]
    assert len(run) == 2
    found = {base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in run}
    assert found == allowed
    assert "unsafe" not in policy


def test_the_charts_get_exactly_the_numbers_of_the_board(tmp_path):
    board = a_board()
    page = page_of(board, tmp_path)
    data = next(text for attributes, text in page.scripts if attributes.get("id") == "data")
    assert json.loads(data) == board_json(board)


def test_names_are_text_and_never_markup(tmp_path):
    evil = "</script><script>alert(1)</script><img src=x>"
    page = page_of(a_board(rows=(a_row("evil", evil, 0.2),), notes=(evil,)), tmp_path)
    assert len(page.scripts) == 3
    assert not [tag for tag, _ in page.elements if tag == "img"]


def test_the_table_shows_every_method_and_can_be_sorted_by_number(tmp_path):
    page = page_of(a_board(), tmp_path)
    values = [a["data-v"] for tag, a in page.elements if tag == "td" and "data-v" in a]
    assert {"0.26", "0.2", "0.11", ""} <= set(values)
    text = (tmp_path / "index.html").read_text("utf-8")
    for name in ("MOTIVE", "no mask", "random", "ceiling of retraining"):
        assert f">{name}</th>" in text


def test_only_what_was_measured_has_a_section(tmp_path):
    charts = {"chart-map", "chart-leakage", "chart-lds_loss", "chart-agreement", "chart-gain"}
    assert charts <= page_of(a_board(), tmp_path).ids()
    bare = a_board(rows=(a_row("motive", "MOTIVE", 0.3),), bank=None, projection=None, contrasts=())
    found = page_of(bare, tmp_path).ids()
    assert not {"retraining", "projection", "chart-scatter", "chart-decoys"} & found
    assert {"chart-map", "chart-motions"} <= found


def test_every_chart_of_the_page_is_known_to_its_script(tmp_path):
    page = page_of(a_board(), tmp_path)
    script = page.scripts[-1][1]
    for name in page.ids():
        if name.startswith("chart-"):
            assert f'"{name}"' in script


def test_the_same_board_gives_the_same_bytes(tmp_path):
    first = build_page(a_board(), tmp_path / "a").read_bytes()
    assert build_page(a_board(), tmp_path / "b").read_bytes() == first


def test_a_number_that_is_not_finite_never_reaches_the_page(tmp_path):
    row = a_row("x", "other", 0.2, gain=Estimate(float("inf")))
    with pytest.raises(MotiveError, match="other: gain is not finite"):
        build_page(a_board(rows=(row,)), tmp_path)
    assert list(tmp_path.iterdir()) == []

"""The documents' numbers are those of the result files, and their links lead somewhere."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from motive.bench.findings import shown
from motive.report import Estimate

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"


def table_line(document, first_cell, *, after=""):
    """The first row that begins so, below some words."""
    text = (ROOT / document).read_text("utf-8")
    lines = text[text.index(after) :].splitlines()
    return next(line for line in lines if line.startswith(f"| {first_cell} |"))


def test_the_leaderboard_is_that_of_the_result_file():
    board = json.loads((RESULTS / "attribution_board.json").read_text("utf-8"))
    for row in board["rows"]:
        weights = row["name"].startswith("weights: ")
        line = table_line("docs/trackers.md" if weights else "README.md", row["name"])
        for column in ("map", "lds_loss", "frozen" if weights else "lds_motion"):
            signed = column.startswith("lds")
            assert shown(Estimate(**row["values"][column]), 2, signed=signed) in line


def test_the_experiment_is_that_of_the_result_file():
    found = json.loads((RESULTS / "experiment.json").read_text("utf-8"))
    shown_in = {c["condition"]: c for c in found["cells"] if c["key"] == "motion_shown"}
    minus = {d["other"]: d for d in found["differences"] if d["key"] == "motion_shown"}
    for condition in found["conditions"]:
        name, title = condition["name"], condition["title"]
        first = f"**{title}**" if name == "motive" else title
        line = table_line("README.md", first, after="**Does fine-tuning on its choice")
        assert f"| {percent(shown_in[name]['estimate'])} |" in line
        if condition["wanted"] is not None:
            assert f"| {100 * condition['wanted']:.0f} % |" in line
        if name in minus:
            difference = percent(minus[name]["estimate"], signed=True)
            mark = "**" if minus[name]["shown"] else ""
            assert f"| {mark}{difference}{mark} |" in line


def percent(estimate, *, signed=False):
    """As "16.3 [12.0, 21.3]", or "+7.0 [+2.3, +12.6]"."""

    def one(value):
        text = f"{100 * value:{'+' if signed else ''}.1f}"
        return text.replace("-0.0", "0.0").replace("-", "\N{MINUS SIGN}")

    return f"{one(estimate['value'])} [{one(estimate['low'])}, {one(estimate['high'])}]"


def test_the_fresh_draw_is_that_of_the_result_file():
    found = json.loads((RESULTS / "attribution_replication.json").read_text("utf-8"))
    for contrast in found["contrasts"]:
        line = table_line("docs/attribution-study.md", contrast["title"])
        assert shown(Estimate(**contrast["estimate"]), 3, signed=True) in line


@pytest.mark.parametrize(
    ("first_cell", "weights"),
    [
        ("OpenCV DIS, all motion (default)", "dis: raw"),
        ("OpenCV DIS, against the camera (`objects`)", "dis: residual, robust 99 %"),
        ("Farneback, all motion", "farneback: raw"),
        ("Farneback, against the camera", "farneback: residual"),
        ("the encoder's motion vectors, all motion", "codec: raw"),
        ("the encoder's vectors, against the camera", "codec: residual"),
        (
            "OpenCV DIS, cumulative in frame 0's coordinates (`paper`)",
            "dis: paper (anchor coordinates, plain bilinear)",
        ),
        (
            "*exact displacements, against the camera*",
            "exact flow: residual without evidence",
        ),
    ],
)
def test_the_worth_of_weights_is_that_of_the_result_file(first_cell, weights):
    results = json.loads((RESULTS / "motion_trackers.json").read_text("utf-8"))
    for side in ("static camera", "moving camera"):
        mean, low, high = results["weights"][weights][side]["latent_ap"]
        assert f"{mean:.2f} [{low:.2f}, {high:.2f}]" in table_line("README.md", first_cell)


def test_the_speed_of_batches_is_that_of_the_result_file():
    results = json.loads((RESULTS / "batched_gradients.json").read_text("utf-8"))
    for found in results["batches"]:
        line = table_line("docs/engine.md", found["batch"])
        for way, ratio in found["ratio"].items():
            shown_ratio = "" if way == "training step" else f", {ratio:.1f} x"
            assert f"| {1000 * found['seconds_per_clip'][way]:.0f} ms{shown_ratio} |" in line


def test_the_profile_of_the_projection_is_that_of_the_result_file():
    found = json.loads((RESULTS / "projection_profile.json").read_text("utf-8"))["nanoseconds"]
    names = {"gather, Gaussian and fold: the rest": "gather, Gaussian and fold"}
    names |= {"copy": "for comparison: copying"}
    for stage, nanoseconds in found.items():
        assert f"| {nanoseconds:.2f} |" in table_line("docs/engine.md", names.get(stage, stage))


def test_the_speed_of_motion_weights_is_that_of_the_result_file():
    results = json.loads((RESULTS / "motion_speed.json").read_text("utf-8"))
    lines = (ROOT / "docs/trackers.md").read_text("utf-8").splitlines()
    for setting, found in results["settings"].items():
        seconds, peak = found["seconds"]["median"], found["megabytes"]["last_clip"]
        assert f"| {setting} | {seconds:.1f} | {peak:.0f} |" in lines


def test_the_study_of_variants_shows_every_row_of_the_result_file():
    study = json.loads((RESULTS / "attribution_variants.json").read_text("utf-8"))
    for row in study["rows"]:
        low, high = row["interval"]
        numbers = f"{row['mean_average_precision']:.2f} [{low:.2f}, {high:.2f}]"
        assert numbers in table_line("docs/attribution-study.md", row["variant"])


@pytest.mark.parametrize("document", sorted(p.relative_to(ROOT) for p in ROOT.glob("docs/*.md")))
def test_links_of_the_documents_lead_to_files(document):
    assert missing_links(ROOT / document) == []


def test_links_of_the_readme_lead_to_files():
    assert missing_links(ROOT / "README.md") == []


def missing_links(document):
    links = [part.split(")")[0] for part in document.read_text("utf-8").split("](")[1:]]
    local = [link.split("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    return [link for link in local if not (document.parent / link).exists()]


def test_the_gain_since_an_older_checkout_is_that_of_the_result_file():
    found = json.loads((RESULTS / "since.json").read_text("utf-8"))
    for first_cell, name in (
        ("`motive demo --clips 100` (50 queries, with and without mask, report)", "demo"),
        ("4 models of the bank of retrained models", "bank"),
    ):
        line = table_line("docs/engine.md", first_cell)
        older, now = (statistics.median(found[name][side]) for side in ("older", "now"))
        assert f"| {older:.0f} s | {now:.0f} s | {found[name]['factor']:.1f} |" in line
    demo = json.loads((RESULTS / "demo.json").read_text("utf-8"))["runs"]
    line = table_line(
        "README.md", "`make demo` (420 clips, 50 queries), everything after the downloads"
    )
    peak = max(run["peak_gigabytes"] for run in demo.values())
    assert f"{demo['first']['seconds']:.0f} s, at most {peak:.1f} GB" in line
    assert f"run again: {demo['second']['seconds']:.0f} s" in line
    assert f"{found['demo']['factor']:.1f} x faster" in line

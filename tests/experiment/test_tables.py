"""The table in its forms says the same, and claims no more than its intervals."""

import dataclasses
import json

import numpy as np
import pytest

from motive.experiment.results import results_of
from motive.experiment.tables import latex_table, markdown_table, results_json, terminal_table
from motive.experiment.wording import findings, notes


@pytest.fixture
def results(invented):
    """MOTIVE is better than base, worse than full, and not shown to differ from random."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=24) / 10
    values = {
        "base": noise,
        "full": noise + 2,
        "random": noise + 1 + rng.normal(size=24),
        "motive": noise + 1,
    }
    return results_of(*invented(values, key="dynamic_margin_dis"))


def test_findings_claim_what_is_shown_and_say_what_is_not(results):
    found = {finding.question: finding for finding in findings(results)}
    assert found["Does fine-tuning on its clips help at all?"].tone == "good"
    assert found["Does it match training on all clips?"].tone == "bad"
    assert found["Is it better than random clips?"].tone == "open"
    assert "Not shown" in found["Is it better than random clips?"].text
    assert "is better" not in found["Is it better than random clips?"].text
    assert found["Does fine-tuning on its clips help at all?"].number == "+1.00"


def test_markdown_has_the_rows_the_differences_and_the_published_table(results):
    text = markdown_table(results)
    assert "|  | chosen clips with the wanted motion, % | " in text
    assert "| **Motive** | 50 | 0.99 [" in text
    assert "| Base | \N{EN DASH} | " in text  # nothing was chosen for it
    assert "| Base | **+1.00 [+1.00, +1.00]** |" in text
    minus = "\N{MINUS SIGN}1.00"
    assert f"| Full | **{minus} [{minus}, {minus}]** |" in text
    assert "| V-JEPA embedding | 95.7 |" in text
    assert "12 held-out prompts x 2 training seeds: 24 videos per condition" in text
    assert "Every fine-tuning: 6 updates of 2 clips" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(row.endswith("|") for row in rows)


def test_latex_is_escaped_and_balanced(results):
    text = latex_table(results)
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    assert "95 %" not in text.replace(r"95 \%", "")
    assert "\N{MINUS SIGN}" not in text
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert body.count(r"\\") == 4
    assert all(line.count("&") == 2 for line in body.splitlines() if "&" in line)


def test_without_labels_no_precision_is_claimed(invented):
    about, videos = invented({"base": np.zeros(24), "motive": np.ones(24)})
    bare = [dataclasses.replace(facts, wanted=None) for facts in about.conditions]
    results = results_of(dataclasses.replace(about, conditions=bare), videos)
    for text in (markdown_table(results), latex_table(results), " ".join(notes(results))):
        assert "wanted motion" not in text


def test_json_holds_every_number_and_nothing_that_json_cannot(results):
    found = json.loads(json.dumps(results_json(results), allow_nan=False))
    assert {cell["condition"] for cell in found["cells"]} == {"base", "full", "random", "motive"}
    assert [d["shown"] for d in found["differences"]] == [True, True, False]
    assert found["published"]["vbench"]["motive"]["dynamic_degree"] == 47.6


def test_the_terminal_table_has_a_row_per_condition(results):
    assert terminal_table(results).row_count == 4


def test_a_quick_run_and_a_single_seed_are_told(invented):
    values = {"base": np.zeros(12), "motive": np.ones(12)}
    results = results_of(*invented(values, seeds=(0,), quick=True))
    told = " ".join(notes(results))
    assert "Do not quote" in told
    assert "One training seed" in told


def test_shares_are_printed_in_percent(invented):
    values = {"base": np.zeros(24), "motive": np.r_[np.ones(12), np.zeros(12)]}
    results = results_of(*invented(values))
    assert "motion shown 50.0 % against 0.0 %" in findings(results)[0].text
    assert "| **Motive** | 50 | 50.0 [" in markdown_table(results)


def test_an_experiment_without_a_number_still_has_a_page(invented):
    about, videos = invented({"base": np.zeros(24), "motive": np.ones(24)})
    for video in videos:
        video.values.clear()
    results = results_of(about, videos)
    assert findings(results) == []
    assert "## Not measured" in markdown_table(results)
    assert "tabular" in latex_table(results)

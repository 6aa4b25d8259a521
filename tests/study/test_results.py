"""Numbers of a study against counting by hand."""

import csv
import json
import re

import numpy as np
import pytest

from motive.errors import UsageError
from motive.study import Judgement, StudyStore, Vote, study_results, write_results
from motive.study.design import COMPARISON, IDENTICAL, KNOWN_BAD
from motive.study.tally import Table

PAIRINGS = [("motive", "base"), ("motive", "random")]


def judgement(annotator, prompt, second, outcome, *, kind=COMPARISON, motion=""):
    """A judgement with the first video on the left."""
    choice = {1: "left", 0: "tie", -1: "right"}[outcome]
    first = "motive"
    second = first if kind != COMPARISON else second
    return Judgement(annotator, 1, kind, prompt, motion, first, second, False, choice, "", 2.0, 0.0)


def random_judgements(annotators=17, prompts=50, seed=0):
    """Annotators and prompts of different leanings."""
    generator = np.random.default_rng(seed)
    by_annotator, by_prompt = generator.normal(0, 0.8, annotators), generator.normal(0, 1, prompts)
    found = []
    for a in range(annotators):
        for p in range(prompts):
            for second, lead in (("base", 1.0), ("random", 0.3)):
                value = lead + by_annotator[a] + by_prompt[p] + generator.logistic()
                outcome = 0 if abs(value) < 0.4 else int(np.sign(value))
                motion = "spin" if p % 5 else "roll"
                found.append(judgement(f"a{a:02d}", f"p{p:02d}", second, outcome, motion=motion))
    return found


def test_an_outcome_does_not_depend_on_sides():
    plain = judgement("a", "p", "base", 1)
    assert plain.outcome == 1
    swapped = Judgement(**(vars(plain) | {"swapped": True}))
    assert swapped.outcome == -1
    assert Judgement(**(vars(swapped) | {"choice": "right"})).outcome == 1
    assert Judgement(**(vars(swapped) | {"choice": "tie"})).outcome == 0


def test_shares_are_counted_and_checks_never_enter():
    judgements = [judgement("a", f"p{i}", "base", outcome) for i, outcome in
                  enumerate([1] * 6 + [0] * 1 + [-1] * 3)]  # fmt: skip
    judgements += [judgement("a", "p0", "", -1, kind=kind) for kind in (IDENTICAL, KNOWN_BAD)]
    (tally,) = Table(judgements, PAIRINGS, 0).tallies()
    assert (tally.first, tally.second, tally.judgements) == ("motive", "base", 10)
    assert [part.share.shown for part in tally.parts.values()] == [6, 1, 3]
    assert tally.preferred == pytest.approx(0.65)
    win = tally.parts["win"]
    assert (win.share.low, win.share.high) == pytest.approx((0.3127, 0.8318), abs=1e-4)
    assert win.annotators is None  # one annotator says nothing about annotators
    assert win.both is None
    assert tally.preference is not None


def test_the_paper_sized_study_gives_each_motion_pairing_and_interval():
    judgements = random_judgements()
    table = Table(judgements, PAIRINGS, 0)
    tallies = table.tallies()
    assert [(t.motion, t.second, t.judgements) for t in tallies] == [
        ("", "base", 850),
        ("", "random", 850),
        ("roll", "base", 170),
        ("roll", "random", 170),
        ("spin", "base", 680),
        ("spin", "random", 680),
    ]
    for tally in tallies:
        assert sum(part.share.value for part in tally.parts.values()) == pytest.approx(1)
        for part in tally.parts.values():
            assert part.annotators.low <= part.share.value <= part.annotators.high
            assert part.both.low <= part.share.value <= part.both.high
    # Clusters make the truth wider than Wilson's interval says.
    win = tallies[0].parts["win"]
    assert win.both.high - win.both.low > win.annotators.high - win.annotators.low
    assert win.annotators.high - win.annotators.low > win.share.high - win.share.low
    assert [entry.pairs for entry in table.agreement()] == [50, 50]
    assert all(0 < entry.kappa < entry.ordinal < 1 for entry in table.agreement())
    ranking = table.ranking()
    assert [entry.condition for entry in ranking] == ["motive", "random", "base"]
    assert sum(entry.strength for entry in ranking) == pytest.approx(0, abs=1e-6)
    for entry in ranking:
        assert entry.interval.low < entry.strength < entry.interval.high


def test_the_annotator_bootstrap_has_the_error_of_the_cluster_mean():
    judgements = random_judgements(prompts=20)
    (tally, _, *_) = Table(judgements, PAIRINGS, 0).tallies()
    per_annotator = [
        np.mean([j.outcome == 1 for j in judgements if j.annotator == name and j.second == "base"])
        for name in sorted({j.annotator for j in judgements})
    ]
    error = np.std(per_annotator) / np.sqrt(len(per_annotator))
    win = tally.parts["win"]
    assert win.annotators.high - win.annotators.low == pytest.approx(2 * 1.96 * error, rel=0.12)


def test_results_do_not_depend_on_the_order_of_judgements():
    judgements = random_judgements(annotators=4, prompts=6)
    tables = [Table(order, PAIRINGS, 0) for order in (judgements, judgements[::-1])]
    assert tables[0].tallies() == tables[1].tallies()
    assert tables[0].ranking() == tables[1].ranking()


def test_a_pairing_nobody_judged_has_no_row_and_no_place():
    judgements = [judgement("a", "p0", "base", 1), judgement("b", "p0", "base", -1)]
    table = Table(judgements, PAIRINGS, 0)
    assert [tally.second for tally in table.tallies()] == ["base"]
    assert [entry.condition for entry in table.ranking()] == ["base", "motive"]
    apart = [("a", "b"), ("c", "d")]
    scattered = [Judgement(**(vars(judgements[0]) | {"first": x, "second": y})) for x, y in apart]
    assert {entry.condition for entry in Table(scattered, apart, 0).ranking()} == {"a", "b"}


def judge_all(store, name, choose):
    """Answer every pair of an annotator; `choose` gets the kind, and whether it is swapped."""
    kinds = {
        row["id"]: (row["kind"], bool(row["swapped"]))
        for row in store._read(
            "SELECT t.id, p.kind, t.swapped FROM trials t JOIN pairs p ON p.number = t.pair"
        )
    }
    while trial := store.standing(name).current:
        choice, comment = choose(*kinds[trial.id])
        store.vote(name, trial.id, Vote(f"key-{trial.id}", choice, comment, 3.0))


def attentive(kind, swapped):
    return ("tie" if kind == IDENTICAL else "right" if swapped else "left"), ""


def careless(kind, _):
    return "right", "<b>whatever</b>, \u202eנ 🎾" if kind == COMPARISON else ""


@pytest.fixture
def judged(folder):
    with StudyStore(folder) as store:
        judge_all(store, "anna", attentive)
        judge_all(store, "ben", careless)
        yield store


def test_attention_checks_are_counted_per_annotator_and_can_exclude(judged):
    results = study_results(judged)
    anna, ben = results.annotators
    assert (anna.checks, anna.failed, anna.counted, anna.seconds) == (2, 0, True, 3.0)
    assert ben.failed >= 1
    assert ben.counted
    assert results.comparisons == 6
    strict = study_results(judged, most_failed=0.4)
    assert [entry.counted for entry in strict.annotators] == [True, False]
    assert strict.comparisons == 3
    assert strict.tallies[0].parts["win"].share.value == 1
    assert len(strict.judgements) == 10  # what is left out is still told
    assert len(strict.comments) == 3
    with pytest.raises(UsageError, match="between 0 and 1"):
        study_results(judged, most_failed=40)


def test_nothing_to_count_is_told(folder):
    with StudyStore(folder) as store:
        with pytest.raises(UsageError, match="nobody has judged anything yet"):
            study_results(store)
        judge_all(store, "ben", careless)
        with pytest.raises(UsageError, match="every annotator who judged failed more than 0%"):
            study_results(store, most_failed=0)


def test_files_hold_every_judgement_and_every_number(judged, tmp_path):
    results = study_results(judged, most_failed=0.4)
    files = write_results(results, tmp_path / "report")
    assert [path.name for path in files] == [
        "index.html", "results.csv", "judgements.csv", "results.json",
    ]  # fmt: skip
    with files[2].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert {row["counted"] for row in rows if row["annotator"] == "ben"} == {"no"}
    for row in rows:
        if row["kind"] == COMPARISON and row["annotator"] == "anna":
            assert row["winner"] == "motive" == row[row["choice"]]
        if row["kind"] != COMPARISON:
            assert row["winner"] == ""
            assert row["check"] == ("failed" if row["annotator"] == "ben" else "passed") or (
                row["annotator"] == "ben"
            )
    assert sum(row["comment"] == careless(COMPARISON, False)[1] for row in rows) == 3
    with files[1].open(newline="", encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    assert (first["motion"], first["win"], first["win_percent"]) == ("all", "3", "100.0")
    told = json.loads(files[3].read_text("utf-8"))
    assert told["comparisons"] == 3
    assert told["ranking"][0]["condition"] == "motive"


def test_the_page_of_results_is_whole_and_text_stays_text(judged, tmp_path):
    page = write_results(study_results(judged), tmp_path / "report")[0].read_text("utf-8")
    assert not re.search(r"https?://|@import|url\(|<script", page)
    assert "&lt;b&gt;whatever&lt;/b&gt;" in page
    assert "<b>motive</b> against base" in page
    for heading in ("Who wins", "By motion", "One scale for all", "Annotators", "Comments"):
        assert heading in page
    for link in re.findall(r'href="([^"#:]+)"', page):
        assert (tmp_path / "report" / link).is_file()

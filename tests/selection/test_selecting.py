"""The vote does what the formula says, and a selection can be read back."""

import csv
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from motive.clips import Clip, read_dataset, write_diffsynth_jsonl
from motive.errors import UsageError
from motive.selection import majority_vote, parse_top, write_selection_csv

scores_with_ties = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 8)),
    elements=st.sampled_from([-0.75, -0.5, 0.0, 0.25, 0.5, 0.875]),
)


def literal_vote(scores, ids, top, percentile=None):
    """Equation 18 with loops: (id, votes) of the top K."""
    table = [dict(zip(ids, row, strict=True)) for row in scores.tolist()]
    votes, mean_rank = dict.fromkeys(ids, 0), dict.fromkeys(ids, 0.0)
    for row in table:
        descending = sorted(row.values(), reverse=True)
        if percentile is not None:
            tau = float(np.percentile(np.array(list(row.values()), np.float32), percentile))
        else:
            tau = -math.inf if top == len(ids) else descending[top]
        order = sorted(ids, key=lambda name: (-row[name], name))
        for name in ids:
            votes[name] += row[name] > tau
            mean_rank[name] += (order.index(name) + 1) / len(table)
    best = sorted(ids, key=lambda name: (-votes[name], round(mean_rank[name], 9), name))[:top]
    return [(name, votes[name]) for name in best]


def ids_for(scores):
    return [f"clip{n}" for n in np.random.default_rng(7).permutation(scores.shape[1])]


@given(scores_with_ties, st.data())
def test_the_vote_agrees_with_the_formula(scores, data):
    ids = ids_for(scores)
    top = data.draw(st.integers(1, len(ids)))
    percentile = data.draw(st.none() | st.sampled_from([0.0, 10.0, 50.0, 90.0, 100.0]))
    queries = [f"q{n}" for n in range(len(scores))]
    found = majority_vote(scores, ids, queries, top, percentile)
    assert [(c.clip_id, c.votes) for c in found.choices] == literal_vote(
        scores, ids, top, percentile
    )
    assert [c.rank for c in found.choices] == list(range(1, top + 1))
    assert all(math.isfinite(tau) for tau in found.thresholds.values())


@given(scores_with_ties, st.randoms(), st.data())
def test_the_vote_does_not_depend_on_the_order_of_clips_or_queries(scores, random, data):
    ids, queries = ids_for(scores), [f"q{n}" for n in range(len(scores))]
    top = data.draw(st.integers(1, len(ids)))
    columns, rows = list(range(len(ids))), list(range(len(queries)))
    random.shuffle(columns)
    random.shuffle(rows)
    here = majority_vote(scores, ids, queries, top)
    there = majority_vote(
        scores[np.ix_(rows, columns)],
        [ids[n] for n in columns],
        [queries[q] for q in rows],
        top,
    )
    assert [(c.clip_id, c.votes) for c in here.choices] == [
        (c.clip_id, c.votes) for c in there.choices
    ]
    assert here.thresholds == there.thresholds


def test_ties_in_votes_go_to_the_better_mean_rank_and_then_to_the_smaller_id():
    scores = np.array([[0.9, 0.8, 0.1, 0.1], [0.8, 0.9, 0.2, 0.2]], np.float32)
    found = majority_vote(scores, ["d", "c", "b", "a"], ["q", "r"], top=3)
    assert [c.clip_id for c in found.choices] == ["c", "d", "a"]
    assert [c.mean_rank for c in found.choices] == [1.5, 1.5, 3.0]


def test_without_ties_exactly_k_clips_pass_every_query():
    scores = np.random.default_rng(0).random((5, 40)).astype(np.float32)
    found = majority_vote(scores, [f"{n:02d}" for n in range(40)], list("abcde"), top=4)
    for row, tau in zip(scores, found.thresholds.values(), strict=True):
        assert (row > tau).sum() == 4


def test_choosing_every_clip_gives_every_vote_and_finite_thresholds():
    scores = np.array([[0.5, -0.5], [0.5, 0.5]], np.float32)
    found = majority_vote(scores, ["a", "b"], ["q", "r"], top=2)
    assert [c.votes for c in found.choices] == [2, 2]
    assert found.thresholds["q"] == pytest.approx(-0.5)


def test_the_reason_names_votes_rank_and_query():
    scores = np.array([[0.1, 0.9, 0.5], [0.3, 0.2, 0.1]], np.float32)
    choice = majority_vote(scores, ["a", "b", "c"], ["query-one", "query-two"], top=1).choices[0]
    assert (choice.clip_id, choice.best_query, choice.best_score) == (
        "b", "query-one", pytest.approx(0.9),
    )  # fmt: skip
    assert choice.reason == (
        "above the threshold of 1 of 2 queries; rank 1 of 3 for query query-on"
    )


def test_every_query_says_what_it_contributed():
    scores = np.array([[0.1, 0.9, 0.5], [0.3, 0.2, 0.1]], np.float32)
    (choice,) = majority_vote(scores, ["a", "b", "c"], ["q", "r"], top=1).choices
    assert choice.clip_id == "b"
    said = {name: (round(c.score, 3), c.rank, c.vote) for name, c in choice.per_query.items()}
    assert said == {"q": (0.9, 1, True), "r": (0.2, 2, False)}
    assert choice.votes == sum(c.vote for c in choice.per_query.values())


@given(scores_with_ties, st.data())
def test_the_bottom_is_the_vote_on_negated_scores_told_with_the_real_ones(scores, data):
    ids, queries = ids_for(scores), [f"q{n}" for n in range(len(scores))]
    top = data.draw(st.integers(1, len(ids)))
    low = majority_vote(scores, ids, queries, top, bottom=True)
    known = majority_vote(-scores, ids, queries, top)
    assert [(c.clip_id, c.votes) for c in low.choices] == [
        (c.clip_id, c.votes) for c in known.choices
    ]
    for choice in low.choices:
        column = scores[:, ids.index(choice.clip_id)]
        assert choice.mean_score == pytest.approx(column.mean())
        assert choice.best_score == column.max()
        assert {n: c.score for n, c in choice.per_query.items()} == dict(
            zip(queries, column.tolist(), strict=True)
        )
    assert low.thresholds == {name: -tau for name, tau in known.thresholds.items()}


def test_a_reason_from_the_bottom_says_so():
    scores = np.array([[0.1, 0.9, 0.5]], np.float32)
    (choice,) = majority_vote(scores, ["a", "b", "c"], ["query"], top=1, bottom=True).choices
    assert choice.reason == "below the threshold of 1 of 1 queries; rank 3 of 3 for query query"


@pytest.mark.parametrize(("top", "percentile"), [(0, None), (3, None), (1, -1), (1, 101)])
def test_sizes_and_percentiles_out_of_range_are_wrong_use(top, percentile):
    with pytest.raises(UsageError):
        majority_vote(np.zeros((1, 2), np.float32), ["a", "b"], ["q"], top, percentile)


@pytest.mark.parametrize(
    ("text", "total", "count"),
    [
        ("10%", 420, 42), ("10 %", 420, 42), (" 7 ", 420, 7), (7, 420, 7), ("1%", 50, 1),
        ("0.1%", 50, 1), ("100%", 50, 50), ("33.3%", 10, 4), ("10%", 30, 3), ("55%", 100, 55),
        ("7%", 100, 7), ("14%", 50, 7), ("29%", 100, 29),
    ],
)  # fmt: skip
def test_shares_and_counts_are_understood(text, total, count):
    assert parse_top(text, total) == count


@pytest.mark.parametrize(
    "text", ["0%", "-5%", "101%", "nan%", "%", "abc", "", "0", "-1", "1000", "2.5", "1e2", "None"]
)
def test_other_sizes_are_wrong_use_in_one_line(text):
    with pytest.raises(UsageError) as error:
        parse_top(text, 420)
    assert str(error.value).startswith(f"--top {text}")
    assert "\n" not in str(error.value)


@given(st.integers(1, 1000), st.floats(0.001, 100))
def test_a_share_is_rounded_up_and_never_leaves_the_range(total, percent):
    count = parse_top(f"{percent:.3f}%", total)
    assert 1 <= count <= total
    assert count >= total * float(f"{percent:.3f}") / 100 - 1e-6


def test_the_table_has_its_columns_and_survives_hard_captions(tmp_path):
    scores = np.array([[0.9, 0.1, 0.5]], np.float32)
    found = majority_vote(scores, ["a", "b", "c"], ["q"], top=2)
    caption = 'a "quoted", caption\nin two lines 🎾'
    facts = {
        name: {"source": f"/v/{name}.mp4", "start": "1.5", "end": "", "caption": caption,
               "label": "spin"}
        for name in "abc"
    }  # fmt: skip
    path = tmp_path / "selection.csv"
    path.write_text("an older selection")
    write_selection_csv(path, found, facts)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "rank", "clip_id", "source", "start", "end", "caption", "label", "votes", "mean_rank",
        "mean_score", "best_query", "best_score", "reason", "method", "per_query",
    ]  # fmt: skip
    assert json.loads(rows[1]["per_query"]) == {"q": [0.5, 2, True]}
    assert rows[0]["method"] == "motive"
    assert [row["clip_id"] for row in rows] == ["a", "c"]
    assert rows[0]["caption"] == caption
    assert float(rows[0]["best_score"]) == pytest.approx(0.9)
    assert [file.name for file in tmp_path.iterdir()] == ["selection.csv"]


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path):
    found = majority_vote(np.zeros((1, 1), np.float32), ["a"], ["q"], top=1)
    path = tmp_path / "selection.csv"
    path.write_text("an older selection")
    with pytest.raises(KeyError):
        write_selection_csv(path, found, {})
    assert path.read_text() == "an older selection"
    assert [file.name for file in tmp_path.iterdir()] == ["selection.csv"]


def test_the_list_for_trainers_reads_back_as_the_same_clips(tmp_path):
    clips = [Clip(str(tmp_path / "a b" / "é.mp4"), 'one "caption"'), Clip("/v/x.mp4", "🎾\ntwo")]
    write_diffsynth_jsonl(tmp_path / "selection.jsonl", clips)
    again = read_dataset(tmp_path / "selection.jsonl")
    assert [(c.source, c.caption) for c in again] == [(c.source, c.caption) for c in clips]

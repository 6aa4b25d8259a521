"""The retrieval table against literal definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motive.bench.problem import BenchClip, Problem
from motive.bench.retrieval import check_scores, measure_retrieval, paired_difference
from motive.clips import Clip
from motive.errors import UsageError


def bench_clip(n, motion, decoy=None, **factors):
    return BenchClip(
        Clip(f"{n}.mp4", digest=bytes([n % 256, n // 256])), f"c{n}", motion, decoy, factors
    )


def make_problem(clips=40, queries=6, seed=0):
    rng = np.random.default_rng(seed)
    motions, colours = ("spin", "roll", "float"), ("red", "blue")

    def made(n, decoy=None):
        motion = motions[n % 3] if decoy is None else "none"
        return bench_clip(n, motion, decoy, colour=str(rng.choice(colours)))

    decoys = {3: "static", 7: "camera"}
    candidates = tuple(made(n, decoys.get(n)) for n in range(clips))
    return Problem(candidates, tuple(made(1000 + n) for n in range(queries)))


def literal_average_precision(scores, relevant):
    order = sorted(range(len(scores)), key=lambda n: (-scores[n], n))
    found, total = 0, 0.0
    for place, n in enumerate(order, start=1):
        if relevant[n]:
            found += 1
            total += found / place
    return total / found


@given(st.integers(0, 1000))
def test_every_label_is_measured_as_defined(seed):
    problem = make_problem(seed=seed)
    shape = len(problem.queries), len(problem.candidates)
    scores = np.random.default_rng(seed).choice([0.0, 0.1, 0.2, 0.7], shape)
    found = measure_retrieval(scores, problem)
    for q, query in enumerate(problem.queries):
        for row, value in ((found.motion, query.motion), (found.factors["colour"], None)):
            relevant = [
                clip.motion == value if value else clip.factors["colour"] == query.factors["colour"]
                for clip in problem.candidates
            ]
            expected = literal_average_precision(scores[q].tolist(), relevant)
            assert row.per_query[q] == pytest.approx(expected)
    assert found.motion.average_precision == pytest.approx(np.mean(found.motion.per_query))
    assert found.motion.queries == len(problem.queries)


def test_a_perfect_order_finds_everything_and_no_decoy():
    problem = make_problem()
    scores = np.array(
        [[float(c.motion == q.motion) for c in problem.candidates] for q in problem.queries]
    )
    found = measure_retrieval(scores, problem)
    assert found.motion.average_precision == 1.0
    assert found.motion.precision_at_1_percent == 1.0
    assert found.motion.precision_at_10_percent == 1.0
    assert found.motion.lift == pytest.approx(1 - found.motion.chance)
    assert found.decoys.share == 0.0
    assert found.decoys.kinds == {"camera": (0.0, 1 / 40), "static": (0.0, 1 / 40)}


def test_chance_is_what_random_orders_reach():
    problem = make_problem()
    rng = np.random.default_rng(0)
    rows = [measure_retrieval(rng.random((6, 40)), problem) for _ in range(300)]
    average = np.mean([row.motion.average_precision for row in rows])
    assert average == pytest.approx(rows[0].motion.chance, abs=0.006)
    assert rows[0].motion.share < rows[0].motion.chance  # the share alone would be too low
    precision = np.mean([row.motion.precision_at_10_percent for row in rows])
    assert precision == pytest.approx(rows[0].motion.share, abs=0.02)


def test_a_decoy_never_counts_as_showing_the_motion():
    clips = [
        bench_clip(0, "spin", "static"),
        bench_clip(1, "spin", "corner"),
        bench_clip(2, "roll"),
    ]
    problem = Problem(tuple(clips), (bench_clip(9, "spin"),))
    found = measure_retrieval(np.array([[3.0, 2.0, 1.0]]), problem)
    assert found.motion.average_precision == 0.5  # the corner clip spins, the static one does not
    assert found.decoys.kinds["static"] == (1.0, 1 / 3)


def test_factors_that_tell_nothing_are_left_out_and_missing_ones_skipped():
    clips = [bench_clip(n, "spin", shade="dark", camera="pan" if n else "zoom") for n in range(4)]
    queries = (
        bench_clip(10, "spin", shade="dark", camera="pan"),
        bench_clip(11, "spin", shade="dark", camera="orbit"),
    )
    clips.append(bench_clip(4, "roll", shade="dark"))
    found = measure_retrieval(np.eye(2, 5), Problem(tuple(clips), queries))
    assert set(found.factors) == {"camera"}  # every clip is dark
    assert found.factors["camera"].queries == 1  # no candidate orbits
    assert found.factors["camera"].per_query[1] is None


def test_paired_differences_are_over_the_same_queries():
    problem = make_problem()
    rng = np.random.default_rng(1)
    first, second = (measure_retrieval(rng.random((6, 40)), problem) for _ in range(2))
    found = paired_difference(first.motion, second.motion)
    expected = np.subtract(first.motion.per_query, second.motion.per_query)
    assert found.mean == pytest.approx(expected.mean())
    assert found.interval[0] <= found.mean <= found.interval[1]
    assert paired_difference(first.motion, first.motion).interval == (0.0, 0.0)
    with pytest.raises(UsageError, match="not of the same label"):
        paired_difference(first.motion, second.factors["colour"])


def test_scores_that_do_not_fit_are_refused_in_one_line():
    problem = make_problem()
    with pytest.raises(UsageError, match="transpose them"):
        check_scores(np.zeros((40, 6)), problem, "mine")
    with pytest.raises(UsageError, match=r"mine: shape \(2, 2\)"):
        check_scores(np.zeros((2, 2)), problem, "mine")
    scores = np.zeros((6, 40))
    scores[2, 5] = np.nan
    with pytest.raises(UsageError, match="1 scores are not finite, first for query c1002 and"):
        measure_retrieval(scores, problem)
    nothing = Problem(problem.candidates, (bench_clip(99, "fly"),))
    with pytest.raises(UsageError, match="nothing can be measured"):
        measure_retrieval(np.zeros((1, 40)), nothing)

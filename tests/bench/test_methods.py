"""Every method on the board answers for the whole problem, and means what it says."""

from __future__ import annotations

import numpy as np
import pytest

from motive.bench.clipwork import FeatureSpec
from motive.bench.context import Bench
from motive.bench.methods import METHODS, FromFile, find_method
from motive.bench.methods.gradients import gradient_scores
from motive.errors import ClipError, UsageError
from motive.index import FeatureTable
from motive.runs import RunConfig


@pytest.fixture(scope="module")
def bench(problem, bench_model, tmp_path_factory):
    config = RunConfig(model=str(bench_model), block=4096, device="cpu")
    return Bench(problem, config=config, cache=tmp_path_factory.mktemp("cache"))


def test_keys_and_names_are_unique_and_explained():
    assert len({method.key for method in METHODS}) == len(METHODS)
    assert len({method.name for method in METHODS}) == len(METHODS)
    assert all(method.about.endswith(".") for method in METHODS)
    assert find_method("motive").name == "MOTIVE"
    with pytest.raises(UsageError, match="must be one of random"):
        find_method("magic")


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.key)
def test_a_method_scores_every_pair_and_repeats_itself(method, bench):
    scores = method.scores(bench)
    assert scores.shape == (len(bench.problem.queries), len(bench.problem.candidates))
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores, method.scores(bench))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.key)
def test_only_methods_that_see_pixels_differ_between_views(method, bench):
    same = np.array_equal(method.scores(bench), method.scores(bench.view("frozen")))
    assert same is not method.uses_pixels


def test_motive_is_the_cosine_of_masked_features(bench):
    query, train = (bench.features(role, FeatureSpec()) for role in ("queries", "candidates"))
    moving = train.projected_norms > 0  # min-max leaves nothing of a perfectly still clip
    cosines = (query.vectors @ train.vectors.T)[:, moving]
    found = find_method("motive").scores(bench)[:, moving]
    np.testing.assert_allclose(found, cosines, atol=1e-6)
    norms = np.outer(query.projected_norms, train.projected_norms)[:, moving]
    found = find_method("dot-product").scores(bench)[:, moving]
    np.testing.assert_allclose(found, cosines * norms, rtol=1e-3, atol=1e-9)


def table_bench(bench, monkeypatch, query_norms, train_norms):
    """A bench whose features have these norms; zero stands for a clip without motion."""

    def features(role, spec):
        norms = np.array(query_norms if role == "queries" else train_norms)
        vectors = np.random.default_rng(len(norms)).standard_normal((len(norms), 8))
        vectors = np.where(norms[:, None] > 0, vectors, 0.0)
        return FeatureTable([], vectors, norms, norms, norms)

    monkeypatch.setattr(bench, "features", features)
    return bench


def test_a_clip_without_motion_ranks_last(bench, monkeypatch):
    changed = table_bench(bench, monkeypatch, [1.0, 1.0], [1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    for key in ("motive", "dot-product", "ridge-kernel"):
        scores = find_method(key).scores(changed)
        still, rest = scores[:, [1, 4]], scores[:, [0, 2, 3, 5]]
        assert (still.max(axis=1) < rest.min(axis=1)).all()
        spread = np.ptp(rest, axis=1)
        assert (rest.min(axis=1) - still.min(axis=1) < 0.02 * spread + 1e-5).all()


def test_scores_stay_finite_if_nothing_moves_in_any_candidate(bench, monkeypatch):
    changed = table_bench(bench, monkeypatch, [1.0, 1.0], [0.0] * 6)
    assert np.isfinite(find_method("motive").scores(changed)).all()


def test_a_query_without_motion_is_an_error_with_its_name(bench, monkeypatch):
    changed = table_bench(bench, monkeypatch, [1.0, 0.0], [1.0] * 6)
    with pytest.raises(ClipError, match=r"queries-01\.mp4: nothing moves in this query"):
        gradient_scores(changed, FeatureSpec(), lambda q, t: q.vectors @ t.vectors.T)


def test_scores_from_a_file_are_a_method_like_any_other(bench, tmp_path):
    scores = np.random.default_rng(0).standard_normal((2, 6))
    np.save(tmp_path / "peer.npy", scores)
    method = FromFile("peer", tmp_path / "peer.npy")
    np.testing.assert_array_equal(method.scores(bench), scores)
    assert (method.key, method.uses_pixels) == ("peer", False)
    assert "peer.npy" in method.about

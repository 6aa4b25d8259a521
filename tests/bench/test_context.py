"""A bench computes each thing once, the same in any process, and shows control views."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from motive.bench.clipwork import ClipWork, FeatureSpec
from motive.bench.context import Bench
from motive.bench.problem import Problem
from motive.bench.views import view_pixels
from motive.errors import MotiveError, UsageError
from motive.gradients import Featurizer
from motive.projection import BlockedFastfood
from motive.runs import RunConfig

SPEC = FeatureSpec(dim=64)


@pytest.fixture(scope="module")
def config(bench_model):
    return RunConfig(model=str(bench_model), block=4096, device="cpu")


@pytest.fixture(scope="module")
def bench(problem, config, tmp_path_factory):
    return Bench(problem, config=config, cache=tmp_path_factory.mktemp("cache"))


def direct_features(bench, role, spec):
    """The same features, straight from the gradient room."""
    featurizer = Featurizer(
        bench.backbone,
        BlockedFastfood(spec.dim, spec.projection_seed, bench.config.block),
        spec.objective(),
    )
    with featurizer.ready():
        return [
            featurizer.feature(clip.latents, clip.text, clip.weights, 5)
            for clip in bench.prepared(role)
        ]


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        dataclasses.replace(SPEC, mask=False),
        dataclasses.replace(SPEC, residual="temporal difference"),
        dataclasses.replace(SPEC, timesteps=(751.0, 300.0), noise_seed=3),
    ],
)
def test_features_are_those_of_the_gradient_room(bench, spec):
    table = bench.features("queries", spec)
    expected = direct_features(bench, "queries", spec)
    assert table.ids == bench.problem.query_ids
    for n, feature in enumerate(expected):
        np.testing.assert_allclose(table.vectors[n], feature.vector, atol=1e-5)
        assert table.projected_norms[n] == pytest.approx(feature.projected_norm, rel=1e-4)
        assert table.gradient_norms[n] == pytest.approx(feature.gradient_norm, rel=1e-5)
        assert table.losses[n] == pytest.approx(feature.loss, rel=1e-5)


def test_nothing_is_computed_twice(bench, monkeypatch):
    first = bench.features("candidates", SPEC)
    monkeypatch.setattr(ClipWork, "features", None)
    again = Bench(bench.problem, config=bench.config, cache=bench.cache)
    np.testing.assert_array_equal(again.features("candidates", SPEC).vectors, first.vectors)


def test_a_smaller_problem_shares_the_features_of_a_larger_one(bench, monkeypatch):
    whole = bench.features("candidates", SPEC)
    monkeypatch.setattr(ClipWork, "features", None)
    few = Problem(bench.problem.candidates[2:4], bench.problem.queries)
    part = Bench(few, config=bench.config, cache=bench.cache).features("candidates", SPEC)
    np.testing.assert_array_equal(part.vectors, whole.vectors[2:4])


def test_an_interrupted_run_continues(problem, config, tmp_path, monkeypatch):
    whole, calls = ClipWork.features, []

    def interrupted(self, clips, spec):
        calls.append([clip.id for clip in clips])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(self, clips, spec)

    bench = Bench(problem, config=config.updated(batch=2), cache=tmp_path)
    monkeypatch.setattr(ClipWork, "features", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.features("candidates", SPEC)
    bench.features("candidates", SPEC)
    ids = [clip.id for clip in problem.candidates]
    batches = [ids[start : start + 2] for start in range(0, len(ids), 2)]
    assert calls == [*batches[:2], *batches[1:]]  # the second was begun twice


def test_worker_processes_compute_the_same_features_and_pass_errors_on(
    bench, problem, config, tmp_path
):
    expected = bench.view("frozen").features("candidates", SPEC)
    broken = dataclasses.replace(SPEC, parameters="no such parameter")
    with Bench(problem, config=config, cache=tmp_path, workers=2) as other:
        found = other.view("frozen").features("candidates", SPEC)
        with pytest.raises(UsageError, match="matches no parameter"):
            other.features("candidates", broken)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_views_change_pixels_and_never_weights(bench):
    moving = list(bench.pixels("candidates"))
    frozen = list(bench.view("frozen").pixels("candidates"))
    shuffled = list(bench.view("shuffled").pixels("candidates"))
    for clip, still, mixed in zip(moving, frozen, shuffled, strict=True):
        assert all((frame == clip[0]).all() for frame in still)
        order = [frame.tobytes() for frame in clip]
        assert sorted(frame.tobytes() for frame in mixed) == sorted(order)
    for name in ("frozen", "shuffled"):
        np.testing.assert_array_equal(
            bench.view(name).weights("candidates"), bench.weights("candidates")
        )
        assert not np.array_equal(
            bench.view(name).latents("candidates"), bench.latents("candidates")
        )
        assert not np.allclose(
            bench.view(name).features("queries", SPEC).vectors,
            bench.features("queries", SPEC).vectors,
        )


def test_other_motion_weights_change_masked_features_and_nothing_else(bench):
    other = bench.weighted(motion_options=("noise_floor=2.5",))
    assert not np.array_equal(other.weights("queries"), bench.weights("queries"))
    np.testing.assert_array_equal(other.latents("queries"), bench.latents("queries"))
    plain = dataclasses.replace(SPEC, mask=False)
    for spec, same in ((SPEC, False), (plain, True)):
        mine, theirs = (each.features("queries", spec).vectors for each in (other, bench))
        assert np.array_equal(mine, theirs) is same
    assert other.view("frozen").work.setting.config == other.config


def test_a_shuffled_clip_has_one_order_of_its_own():
    pixels = torch.arange(12, dtype=torch.uint8).reshape(12, 1, 1, 1).expand(12, 2, 2, 3)
    one = view_pixels(pixels, "shuffled", "ab" * 16)
    assert torch.equal(one, view_pixels(pixels, "shuffled", "ab" * 16))
    assert not torch.equal(one, view_pixels(pixels, "shuffled", "cd" * 16))
    with pytest.raises(UsageError, match="view 'backwards'"):
        view_pixels(pixels, "backwards", "ab" * 16)


def test_a_static_clip_has_a_zero_row_if_its_weights_are_zero(bench, monkeypatch):
    prepare = ClipWork.prepare

    def without_motion(self, clip):
        found = prepare(self, clip)
        return dataclasses.replace(found, weights=torch.zeros_like(found.weights))

    monkeypatch.setattr(ClipWork, "prepare", without_motion)
    clip = bench.problem.candidates[0].clip
    row = bench.work.feature(clip, SPEC)
    assert not row.vector.any()
    assert (row.projected_norm, row.error) == (0.0, None)


def test_gradients_that_are_not_finite_stop_with_the_clips_name(bench, monkeypatch):
    prepare = ClipWork.prepare

    def broken(self, clip):
        found = prepare(self, clip)
        return dataclasses.replace(found, latents=found.latents * float("nan"))

    monkeypatch.setattr(ClipWork, "prepare", broken)
    clip = bench.problem.candidates[0].clip
    with pytest.raises(MotiveError, match=r"candidates-\d+\.mp4: gradient of \S+ .*is not finite"):
        bench.work.feature(clip, SPEC)


def test_an_untrained_network_is_another_one_and_always_the_same(bench):
    first, second = bench.untrained(), bench.untrained()
    trained = bench.backbone.transformer.state_dict()
    a, b = (other.backbone.transformer.state_dict() for other in (first, second))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["proj_out.weight"], trained["proj_out.weight"])
    assert torch.equal(
        bench.backbone.transformer.state_dict()["proj_out.weight"], trained["proj_out.weight"]
    )
    assert first.work.fingerprint(SPEC).digest != bench.work.fingerprint(SPEC).digest


def test_each_choice_has_its_own_fingerprint(bench):
    specs = [
        SPEC,
        dataclasses.replace(SPEC, mask=False),
        dataclasses.replace(SPEC, residual="temporal difference"),
        dataclasses.replace(SPEC, caption=False),
        dataclasses.replace(SPEC, noise_seed=1),
        dataclasses.replace(SPEC, projection_seed=1),
        dataclasses.replace(SPEC, dim=128),
        dataclasses.replace(SPEC, timesteps=(300.0,)),
        dataclasses.replace(SPEC, parameters="attn"),
    ]
    views = [bench, bench.view("frozen"), bench.view("shuffled"), bench.untrained()]
    digests = {view.work.fingerprint(spec).digest for view in views for spec in specs}
    assert len(digests) == len(specs) * len(views)


def test_at_least_one_worker(problem, tmp_path):
    with pytest.raises(UsageError, match="workers 0"):
        Bench(problem, cache=tmp_path, workers=0)

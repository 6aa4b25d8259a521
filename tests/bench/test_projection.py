"""What the projection costs, against gradients by plain autograd."""

import numpy as np
import pytest
import torch

from motive.backbones import TensorCache, TextEmbedding, load_backbone
from motive.bench.problem import BenchClip, Problem
from motive.bench.projection import (
    GradientRows,
    ProjectedScores,
    ProjectionProbe,
    Stacked,
    projection_ceiling,
    rank_correlation,
    top_overlap,
)
from motive.clips import Clip
from motive.errors import UsageError
from motive.gradients import Objective, fixed_noise
from motive.projection import BlockedFastfood
from motive.runs.prepare import PreparedClip

FRAMES = 9


@pytest.fixture(scope="module")
def backbone(tiny_wan):
    return load_backbone(tiny_wan, device="cpu")


def make_clip(seed, moving=True):
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(16, 3, 8, 8, generator=generator)
    weights = torch.rand(3, 8, 8, generator=generator) * moving
    text = TextEmbedding(torch.randn(7, 32, generator=generator), 512)
    return PreparedClip(latents, weights, text, {})


def sources(clips, counter=None):
    def give(name):
        if counter is not None:
            counter.append(name)
        return clips[name]

    return {name: (lambda name=name: give(name)) for name in clips}


def full_gradient(backbone, clip):
    """The whole gradient of the motion-weighted loss at t = 751, by autograd."""
    sigma, h = 0.751, clip.latents[None]
    noise = fixed_noise(tuple(h.shape), 0)
    prediction = backbone.predict((1 - sigma) * h + sigma * noise, sigma, clip.text.padded()[None])
    error = ((prediction - (noise - h)) ** 2).mean(dim=1)
    loss = (clip.weights[None] * error).mean() / FRAMES
    parameters = list(backbone.transformer.parameters())
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    pieces = [
        (torch.zeros_like(p) if g is None else g).flatten()
        for p, g in zip(parameters, found, strict=True)
    ]
    return torch.cat(pieces).double().numpy()


def probe(backbone, cache, **options):
    return ProjectionProbe(
        backbone, Objective(), FRAMES, dims=(16, 64), cache=TensorCache(cache), **options
    )


def labelled_problem(candidates, queries):
    """Clips that exist by name only, of five motions in turn."""

    def clips(count, prefix):
        return tuple(
            BenchClip(Clip(f"{prefix}{i}.mp4", digest=f"{prefix}{i}".encode()), str(i), str(i % 5))
            for i in range(count)
        )

    return Problem(clips(candidates, "c"), clips(queries, "q"))


CANDIDATES = {f"c{i}": make_clip(i) for i in range(5)} | {"still": make_clip(9, moving=False)}
QUERIES = {f"q{i}": make_clip(20 + i) for i in range(2)}


def test_exact_scores_are_the_cosines_of_full_gradients(backbone, tmp_path):
    found = probe(backbone, tmp_path).measure(sources(CANDIDATES), sources(QUERIES))
    left = np.stack([full_gradient(backbone, clip) for clip in QUERIES.values()])
    right = np.stack([full_gradient(backbone, clip) for clip in CANDIDATES.values()])
    lengths = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)
    expected = left @ right.T / np.where(lengths > 0, lengths, 1)
    assert np.allclose(found.exact, expected, atol=2e-5)
    assert (found.exact[:, -1] == 0).all()  # nothing moves: no direction, no influence
    assert found.parameters == left.shape[1]


def test_projected_scores_are_those_of_the_projection_alone(backbone, tmp_path):
    from motive.gradients import Featurizer

    found = probe(backbone, tmp_path).measure(sources(CANDIDATES), sources(QUERIES))
    assert set(found.projected) == {(16, 0), (16, 1), (64, 0), (64, 1)}
    featurizer = Featurizer(backbone, BlockedFastfood(64, 1), Objective())
    with featurizer.ready():
        vectors = {
            name: featurizer.feature(c.latents, c.text, c.weights, FRAMES).vector
            for name, c in (CANDIDATES | QUERIES).items()
            if name != "still"
        }
    expected = float(vectors["q1"] @ vectors["c3"])
    assert found.projected[64, 1][1, 3] == pytest.approx(expected, abs=1e-5)


def test_an_interrupted_probe_continues_with_the_missing_clips(backbone, tmp_path):
    asked, calls = [], 0

    def stop(done, total):
        nonlocal calls
        calls = done
        if done == 4:  # two queries and two candidates
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        probe(backbone, tmp_path).measure(sources(CANDIDATES), sources(QUERIES), stop)
    again = probe(backbone, tmp_path).measure(sources(CANDIDATES, asked), sources(QUERIES))
    assert asked == ["c2", "c3", "c4", "still"]
    whole = probe(backbone, tmp_path / "other").measure(sources(CANDIDATES), sources(QUERIES))
    assert np.array_equal(again.exact, whole.exact)
    asked.clear()
    probe(backbone, tmp_path).measure(sources(CANDIDATES, asked), sources(QUERIES, asked))
    assert asked == []


def test_a_damaged_cache_file_is_made_again_with_whole_rows(backbone, tmp_path):
    first = probe(backbone, tmp_path).measure(sources(CANDIDATES), sources(QUERIES))
    file = sorted(tmp_path.rglob("*.safetensors"))[0]
    file.write_bytes(b"half")
    again = probe(backbone, tmp_path).measure(sources(CANDIDATES), sources(QUERIES))
    assert np.array_equal(first.exact, again.exact)


def test_stacking_changes_no_part():
    parts = [BlockedFastfood(8, 0, 16), BlockedFastfood(16, 1, 16)]
    stacked, gradient = Stacked(parts), torch.randn(40)
    together = stacked.split(stacked.finish(stacked.partial("w", gradient)))
    for part, piece in zip(parts, together, strict=True):
        assert torch.equal(piece, part.finish(part.partial("w", gradient)))


def test_gradient_rows_ignore_parameters_that_no_query_reaches():
    rows = GradientRows(2)
    rows.recorder(0).partial("a", torch.tensor([1.0, 2.0]))
    rows.recorder(1).partial("a", torch.tensor([3.0, -1.0]))
    assert rows.partial("a", torch.tensor([1.0, 1.0])).tolist() == [3.0, 2.0]
    assert rows.partial("b", torch.ones(3)).tolist() == [0.0, 0.0]


def test_two_seeds_and_one_timestep_are_required(backbone, tmp_path):
    with pytest.raises(UsageError, match="two different ones"):
        probe(backbone, tmp_path, seeds=(3, 3))
    with pytest.raises(UsageError, match="one timestep"):
        ProjectionProbe(backbone, Objective((300.0, 751.0)), 9, cache=TensorCache(tmp_path))


def test_agreement_is_perfect_without_noise_and_falls_with_it():
    generator = np.random.default_rng(0)
    exact = generator.standard_normal((20, 60))
    problem = labelled_problem(60, 20)

    def noisy(scale):
        return exact + scale * generator.standard_normal(exact.shape)

    scores = ProjectedScores(
        exact, {(d, s): noisy(20 / d) for d in (16, 256) for s in (0, 1)} | {
            (4096, 0): exact, (4096, 1): exact
        }, 10_000,
    )  # fmt: skip
    ceiling = projection_ceiling(scores, problem)
    low, middle, perfect = ceiling.rows
    assert (low.dim, middle.dim, perfect.dim) == (16, 256, 4096)
    assert perfect.exact_spearman.value == perfect.seeds_overlap.value == pytest.approx(1)
    assert low.exact_spearman.high < middle.exact_spearman.low
    assert low.exact_overlap.value < middle.exact_overlap.value < 1
    assert perfect.average_precision == ceiling.exact_average_precision
    assert (ceiling.top, ceiling.queries, ceiling.seeds) == (6, 20, (0, 1))


def test_rank_correlation_of_a_constant_row_is_zero():
    left = np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
    assert rank_correlation(left, left[::-1] * 0 + left[0]).tolist() == [1.0, 0.0]


def test_overlap_counts_common_top_clips():
    left, right = np.array([[4.0, 3, 2, 1]]), np.array([[4.0, 1, 2, 3]])
    assert top_overlap(left, right, list("abcd"), 2).tolist() == [0.5]

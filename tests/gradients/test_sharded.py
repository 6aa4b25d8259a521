"""A model spread over two processes gives the features of the whole model."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import sharded_worlds as worlds
from motive.backbones import load_backbone
from motive.gradients import Featurizer, Objective
from motive.gradients.sharded import gradient_slice
from motive.projection import BlockedFastfood

SIZE = 2
pytestmark = pytest.mark.skipif(
    not dist.is_available() or not dist.is_gloo_available(), reason="no torch.distributed with gloo"
)


@pytest.fixture(scope="module")
def world(tiny_wan, tmp_path_factory):
    """The folder where two processes left what they found."""
    folder = tmp_path_factory.mktemp("sharded")
    model = worlds.several_files(str(tiny_wan), str(folder / "model"))
    mp.spawn(worlds.run, (SIZE, str(folder), model), SIZE)
    return folder


@pytest.fixture(scope="module")
def sharded(world):
    """(features, count of parameters held) of each process."""
    return [torch.load(world / f"features{rank}.pt", weights_only=True) for rank in range(SIZE)]


@pytest.mark.parametrize(
    # Sharding regroups the sums of gradients of inputs; in bfloat16 their rounding shows.
    ("dtype", "tolerance"),
    [("float32", 1e-5), ("bfloat16", 1e-3)],
)
def test_features_of_a_sharded_model_are_those_of_one_process(sharded, tiny_wan, dtype, tolerance):
    backbone = load_backbone(tiny_wan, device="cpu", dtype=dtype)
    projection = BlockedFastfood(worlds.DIM, worlds.SEED, worlds.BLOCK)
    featurizer = Featurizer(backbone, projection, Objective(), groups=worlds.GROUPS)
    found, _ = sharded[0]
    with featurizer.ready():
        for seed, (vector, projected, gradient, loss, groups) in enumerate(found[dtype]):
            latents, text, weights = worlds.make_clip(seed)
            expected = featurizer.feature(latents, text, weights, worlds.FRAMES)
            assert float((vector - expected.vector).norm()) < tolerance
            assert projected == pytest.approx(expected.projected_norm, rel=tolerance)
            assert gradient == pytest.approx(expected.gradient_norm, rel=tolerance)
            assert loss == pytest.approx(expected.loss, rel=1e-5)
            assert groups.keys() == expected.groups.keys() == {"attn1", "attn2", "ffn", "rest"}
            for name, (part, _, norm) in groups.items():
                assert float((part - expected.groups[name].vector).norm()) < tolerance
                assert norm == pytest.approx(expected.groups[name].gradient_norm, rel=tolerance)


def test_a_clip_without_motion_is_the_same_error_and_does_not_stop_the_others(sharded):
    assert "nothing moves" in sharded[0][0]["error"]
    assert len(sharded[0][0]["float32"]) == 2


def test_each_process_holds_its_part_of_the_weights(sharded, tiny_wan):
    whole = sum(p.numel() for p in load_backbone(tiny_wan, device="cpu").transformer.parameters())
    kept = [held for _, held in sharded]
    assert sum(kept) == whole
    assert max(kept) < 0.52 * whole


def test_folders_that_cannot_be_read_in_parts_say_why(world):
    for rank in range(SIZE):
        said = torch.load(world / f"errors{rank}.pt", weights_only=True)
        assert "no tensor blocks.1.ffn.net.2.bias in it" in said["missing"]
        assert "the configuration says [64, 24]" in said["other shape"]
        assert "malformed; download the model again" in said["malformed"]
        assert "sharded loading reads safetensors files only" in said["no file"]


@pytest.fixture(scope="module")
def layouts(world):
    """Sums and projections of every layout, of each process."""
    return [torch.load(world / f"layouts{rank}.pt", weights_only=True) for rank in range(SIZE)]


@pytest.mark.parametrize(
    "layout",
    ["S(0)", "S(1)", "S(2)", "R", "Partial", "plain", "scalar", "one row"],
)
def test_every_coordinate_counts_once_in_every_layout(layouts, layout):
    for found in layouts:
        sums, projected, whole = found[layout]
        assert sums[-1] == whole.numel()
        assert float(sums[-2]) == pytest.approx(float(whole.square().sum()), rel=1e-5)
        torch.testing.assert_close(sums[: worlds.DIM], projected, rtol=1e-5, atol=1e-5)


def test_plain_gradients_are_divided_without_gaps():
    flat = torch.arange(10.0)
    slices = [gradient_slice("w", flat, rank, 4) for rank in range(4)]
    assert [piece.start for piece in slices] == [0, 2, 5, 7]
    assert torch.equal(torch.cat([piece.values for piece in slices]), flat)

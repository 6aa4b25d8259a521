"""The same features on a GPU as on the CPU."""

import pytest
import torch

from motive.backbones import load_backbone
from motive.gradients import Featurizer, Objective
from motive.gradients.execution import offloaded_activations
from motive.projection import BlockedFastfood
from motive.projection.randomness import block_randomness
from tiny_clips import make_clip

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def test_random_bits_are_identical_on_cpu_and_gpu():
    here, there = (block_randomness(3, "w", 5, 4, 1 << 15, device) for device in ("cpu", "cuda"))
    for cpu, gpu in zip(here, there, strict=True):
        assert torch.equal(cpu, gpu.cpu())


def test_features_agree_between_cpu_and_gpu(tiny_wan):
    found = []
    for device in ("cpu", "cuda"):
        backbone = load_backbone(tiny_wan, device=device)
        featurizer = Featurizer(backbone, BlockedFastfood(512), Objective())
        with featurizer.ready():
            found.append(featurizer.feature(*make_clip(0)))
    assert float(found[0].vector @ found[1].vector) > 0.9999
    assert found[0].gradient_norm == pytest.approx(found[1].gradient_norm, rel=1e-3)


@pytest.mark.parametrize("option", [{"offload_activations": True}, {"batch": 2}], ids=str)
def test_features_on_a_gpu_do_not_depend_on_how_they_are_computed(tiny_wan, option):
    backbone = load_backbone(tiny_wan, device="cuda")
    clips = [make_clip(1), make_clip(2)]
    found = []
    for options in ({}, option):
        featurizer = Featurizer(backbone, BlockedFastfood(512), Objective(), **options)
        with featurizer.ready():
            found.append(featurizer.features(clips))
    for one, other in zip(*found, strict=True):
        assert float((one.vector - other.vector).norm()) < 1e-4
        assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=1e-4)


def test_offloaded_activations_leave_the_gpu_and_weights_do_not():
    layer = torch.nn.Linear(1024, 1024, bias=False, device="cuda")
    x = torch.randn(4096, 1024, device="cuda", requires_grad=True)
    with offloaded_activations(layer):
        before = torch.cuda.memory_allocated()
        out = layer(x).tanh().tanh()
        held = torch.cuda.memory_allocated() - before
    out.sum().backward()
    assert held < 2 * out.numel() * 4
    assert x.grad.isfinite().all()

"""The same features on a GPU as on the CPU."""

import pytest
import torch

from motive.backbones import TextEmbedding, load_backbone
from motive.gradients import Featurizer, Objective
from motive.projection import BlockedFastfood
from motive.projection.randomness import block_randomness

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def test_random_bits_are_identical_on_cpu_and_gpu():
    here, there = (block_randomness(3, "w", 5, 4, 1 << 15, device) for device in ("cpu", "cuda"))
    for cpu, gpu in zip(here, there, strict=True):
        assert torch.equal(cpu, gpu.cpu())


def test_features_agree_between_cpu_and_gpu(tiny_wan):
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(16, 3, 8, 8, generator=generator)
    text = TextEmbedding(torch.randn(7, 32, generator=generator), 512)
    weights = torch.rand(3, 8, 8, generator=generator)
    found = []
    for device in ("cpu", "cuda"):
        backbone = load_backbone(tiny_wan, device=device)
        featurizer = Featurizer(backbone, BlockedFastfood(512), Objective())
        with featurizer.ready():
            found.append(featurizer.feature(latents, text, weights, frames=9))
    assert float(found[0].vector @ found[1].vector) > 0.9999
    assert found[0].gradient_norm == pytest.approx(found[1].gradient_norm, rel=1e-3)

"""Where weights live does not change what is computed with them."""

import gc
import weakref

import pytest
import torch

from motive.backbones import TextEmbedding, load_backbone
from motive.backbones.placement import offload_layers, offloaded
from motive.gradients import Featurizer, Objective
from motive.projection import BlockedFastfood


def make_clip():
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(16, 3, 8, 8, generator=generator)
    text = TextEmbedding(torch.randn(7, 32, generator=generator), 512)
    return latents, text, torch.rand(3, 8, 8, generator=generator)


def feature(backbone, checkpointing):
    featurizer = Featurizer(
        backbone, BlockedFastfood(64, 5, 256), Objective(), checkpointing=checkpointing
    )
    with featurizer.ready():
        return featurizer.feature(*make_clip(), frames=9)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("checkpointing", [True, False])
def test_offloaded_weights_give_the_same_features(tiny_wan, dtype, checkpointing):
    whole = load_backbone(tiny_wan, device="cpu", dtype=dtype)
    moved = load_backbone(tiny_wan, device="cpu", dtype=dtype, placement=offloaded)
    expected = feature(whole, checkpointing)
    for _ in range(2):
        found = feature(moved, checkpointing)
        assert torch.equal(found.vector, expected.vector)
        assert found.gradient_norm == expected.gradient_norm


class Watched:
    """Counts the copies of layer weights that are alive."""

    def __init__(self, model):
        self.copies, self.most = weakref.WeakSet(), 0
        for layer in model.blocks:
            layer.register_forward_pre_hook(self.note)

    def note(self, layer, _args):
        gc.collect()
        self.copies.add(layer.ffn.net[2].weight.data.untyped_storage())
        self.most = max(self.most, len(self.copies))


def test_with_checkpointing_one_layer_at_a_time_is_on_the_device(tiny_wan):
    most = {}
    for checkpointing in (True, False):
        backbone = load_backbone(tiny_wan, device="cpu", placement=offloaded)
        watched = Watched(backbone.transformer)
        feature(backbone, checkpointing)
        most[checkpointing] = watched.most
    assert most == {True: 1, False: 2}


def test_an_interrupted_layer_gives_its_weights_back(tiny_wan):
    model = load_backbone(tiny_wan, device="cpu").transformer
    before = {name: tensor.data_ptr() for name, tensor in model.named_parameters()}
    offload_layers(model, torch.device("cpu"))
    with pytest.raises(AttributeError):
        model.blocks[0](torch.zeros(1, 4, 24), None, None, None)
    assert {name: tensor.data_ptr() for name, tensor in model.named_parameters()} == before

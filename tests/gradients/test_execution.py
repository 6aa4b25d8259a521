"""Ways to save memory or time change no feature, and running out of memory ends no run."""

import logging

import pytest
import torch

from motive.backbones import load_backbone
from motive.errors import UsageError
from motive.gradients import Feature, Featurizer, Objective, TooLargeError
from motive.gradients.execution import (
    checkpointed,
    compiled_blocks,
    is_out_of_memory,
)
from motive.projection import BlockedFastfood
from tiny_clips import make_clip


@pytest.fixture(scope="module")
def backbone(tiny_wan):
    return load_backbone(tiny_wan, device="cpu")


def make_featurizer(backbone, **options):
    return Featurizer(backbone, BlockedFastfood(64, block=256), Objective(), **options)


def features(backbone, clips, **options):
    featurizer = make_featurizer(backbone, **options)
    with featurizer.ready():
        return featurizer.features(clips)


@pytest.mark.parametrize(
    "options",
    [
        {"checkpointing": True},
        {"offload_activations": True},
        {"checkpointing": True, "offload_activations": True},
    ],
    ids=str,
)
def test_saving_memory_does_not_change_features(backbone, options):
    clips = [make_clip(1), make_clip(2)]
    for one, other in zip(
        features(backbone, clips, **options), features(backbone, clips), strict=True
    ):
        assert torch.allclose(one.vector, other.vector, atol=1e-6)
    assert not backbone.transformer.is_gradient_checkpointing


def test_compiling_does_not_change_features(backbone):
    """With autograd's graph only, which needs no compiler of another language."""
    clips = [make_clip(1), make_clip(2)]
    found = features(backbone, clips, compile_backend="aot_eager")
    for one, other in zip(found, features(backbone, clips), strict=True):
        assert torch.allclose(one.vector, other.vector, atol=1e-5)
        assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=1e-5)
    assert all(block._compiled_call_impl is None for block in backbone.transformer.blocks)


def test_a_compiler_that_fails_is_one_line(backbone):
    def broken(graph, inputs):
        raise RuntimeError("no C++ compiler found")

    featurizer = make_featurizer(backbone, compile_backend=broken)
    torch.compiler.reset()
    message = r"compiling failed .* leave --compile-blocks out"
    with pytest.raises(UsageError, match=message), featurizer.ready():
        featurizer.feature(*make_clip(1))


def test_what_a_model_cannot_do_is_said_at_once():
    model = torch.nn.Linear(2, 2)
    with pytest.raises(UsageError, match="Linear has no gradient checkpoint"), checkpointed(model):
        pass
    with pytest.raises(UsageError, match="Linear has no repeated blocks"), compiled_blocks(model):
        pass


def test_a_model_that_checkpoints_already_goes_on_doing_so(backbone):
    model = backbone.transformer
    model.enable_gradient_checkpointing()
    try:
        features(backbone, [make_clip(1)], checkpointing=True)
        assert model.is_gradient_checkpointing
    finally:
        model.disable_gradient_checkpointing()


# -- out of memory ---------------------------------------------------------------------------------


class SmallMemory:
    """Makes a backbone's predictions fail the way a GPU does, above some size.

    Args:
        most: Largest batch that fits without checkpointing.
        with_checkpointing: Whether checkpointing makes one clip fit.
    """

    def __init__(self, backbone, monkeypatch, most=0, with_checkpointing=False):
        self.sizes, whole = [], backbone.predict

        def predict(noisy, sigma, text):
            self.sizes.append(len(noisy))
            saving = with_checkpointing and backbone.transformer.is_gradient_checkpointing
            if len(noisy) > most and not (saving and len(noisy) == 1):
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
            return whole(noisy, sigma, text)

        monkeypatch.setattr(backbone, "predict", predict)


@pytest.mark.parametrize(
    ("most", "sizes"),
    [(2, [4, 2, 1, 2]), (1, [4, 2, 1, 1, 1, 1])],  # in a batch, one clip is also tried alone
)
def test_a_batch_that_does_not_fit_is_split(backbone, monkeypatch, caplog, most, sizes):
    clips = [make_clip(seed) for seed in range(4)]
    expected = features(backbone, clips)
    memory = SmallMemory(backbone, monkeypatch, most)
    with caplog.at_level(logging.WARNING):
        found = features(backbone, clips, batch=4)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one.vector, other.vector, atol=1e-5)
    assert memory.sizes == sizes
    assert f"batches of {most}" in caplog.text


def test_a_clip_that_does_not_fit_is_tried_with_checkpointing_and_so_are_all_later_ones(
    backbone, monkeypatch, caplog
):
    clips = [make_clip(seed) for seed in range(2)]
    expected = features(backbone, clips)
    memory = SmallMemory(backbone, monkeypatch, with_checkpointing=True)
    with caplog.at_level(logging.WARNING):
        found = features(backbone, clips)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one.vector, other.vector, atol=1e-6)
    assert len(memory.sizes) == 3  # one failure, not one per clip
    assert "--checkpointing" in caplog.text
    assert not backbone.transformer.is_gradient_checkpointing


def test_a_clip_that_fits_in_no_way_is_an_error_of_its_own(backbone, monkeypatch):
    small, large = make_clip(1, (2, 8, 8)), make_clip(2)
    whole = backbone.predict

    def predict(noisy, sigma, text):
        if noisy.shape[2] > 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return whole(noisy, sigma, text)

    monkeypatch.setattr(backbone, "predict", predict)
    found = features(backbone, [large, small, large])
    assert isinstance(found[1], Feature)
    for error in (found[0], found[2]):
        assert isinstance(error, TooLargeError)
        assert "out of memory" in str(error)


def test_other_errors_are_not_taken_for_lack_of_memory(backbone, monkeypatch):
    monkeypatch.setattr(backbone, "predict", lambda *_: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="size"):
        features(backbone, [make_clip(1)])
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes differ"))

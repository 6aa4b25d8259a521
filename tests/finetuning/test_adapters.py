"""Training adapters (LoRA): what is written loads in diffusers, and merges into the same model."""

import pytest
import torch
from safetensors.torch import load_file

from interrupting import Interrupt

pytest.importorskip("peft")


def test_adapters_load_in_diffusers_and_merge_into_the_same_model(world, tmp_path):
    from diffusers import WanPipeline

    tuned = world.train(tmp_path, lora=2, merge=True, steps=3, learning_rate=0.05)
    plain = WanPipeline.from_pretrained(world.model)
    plain.load_lora_weights(tuned.lora)
    merged = WanPipeline.from_pretrained(tuned.pipeline)
    inputs = {
        "hidden_states": torch.randn(1, 16, 2, 4, 4),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 32, 32),
        "return_dict": False,
    }
    base = WanPipeline.from_pretrained(world.model)
    with torch.no_grad():
        one, other, before = (p.transformer(**inputs)[0] for p in (plain, merged, base))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(one, before, atol=1e-3)
    names = set(load_file(tuned.lora / "pytorch_lora_weights.safetensors"))
    assert all(name.startswith("transformer.blocks.") for name in names)
    assert len(names) == 2 * 2 * (2 * 4 + 2)  # A and B, two blocks, two attentions, two layers


def test_an_interrupted_lora_training_equals_an_uninterrupted_one(world, tmp_path):
    options = {"lora": 2, "ema": 0.5, "steps": 3, "checkpoint_every": 1}
    with pytest.raises(KeyboardInterrupt):
        world.train(tmp_path / "a", on_progress=Interrupt(2, "training"), **options)
    ours = world.train(tmp_path / "a", **options)
    whole = world.train(tmp_path / "b", **options)
    one, other = (load_file(t.lora / "pytorch_lora_weights.safetensors") for t in (ours, whole))
    assert ours.resumed_at == 1
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_adapters_of_a_half_precision_model_are_trained_sampled_and_merged(world, tmp_path):
    options = {"lora": 2, "steps": 2, "precision": "bfloat16", "merge": True, "sample_steps": 1}
    tuned = world.train(
        tmp_path, samples=["square number 3", "square number 4"], held_out=world.held_out, **options
    )
    adapters = load_file(tuned.lora / "pytorch_lora_weights.safetensors")
    assert {tensor.dtype for tensor in adapters.values()} == {torch.float32}
    merged = load_file(tuned.pipeline / "transformer/diffusion_pytorch_model.safetensors")
    base = load_file(world.model / "transformer/diffusion_pytorch_model.safetensors")
    assert merged.keys() == base.keys()
    assert merged["blocks.0.attn1.to_q.weight"].dtype == torch.bfloat16
    assert tuned.record["settings"]["precision"] == "bfloat16"

"""The script for GPUs runs at its smallest size, and knows the published models' shapes."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    if not FOLDER.is_dir():
        pytest.skip("benchmarks are not installed")
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location("wan_scale_gpu", FOLDER / "wan_scale_gpu.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


@pytest.mark.parametrize("extra", [[], ["--offload"], ["--no-checkpointing", "--dtype", "float32"]])
def test_the_smallest_size_runs_on_a_cpu(script, capsys, extra):
    options = ["--size", "tiny", "--device", "cpu", "--rounds", "1", "--no-save"]
    assert script.main([*options, *extra]) is None
    line = capsys.readouterr().out
    assert "Wan tiny" in line
    assert "ratio" in line


@pytest.mark.parametrize(
    ("size", "latents", "tokens"),
    [
        ("1.3B", (16, 21, 60, 104), 32_760),
        ("5B", (48, 21, 30, 52), 8_190),
        ("14B", (16, 21, 60, 104), 32_760),
    ],
)
def test_published_sizes_have_their_published_shapes(script, size, latents, tokens):
    assert script.latent_shape(size) == latents
    assert script.tokens_of(latents[1:]) == tokens
    model = script.empty_model(script.WanTransformer3DModel, script.CONFIGS[size], torch.bfloat16)
    assert sum(p.numel() for p in model.parameters()) == script.PARAMETERS[size]
    assert model.blocks[0].scale_shift_table.dtype == torch.float32
    assert model.blocks[0].ffn.net[2].weight.dtype == torch.bfloat16


def test_timesteps_of_the_5b_model_are_one_per_token(script):
    config = script.CONFIGS["tiny"]
    backbones = [
        script.RandomWan(config, torch.device("cpu"), torch.float32, tokenwise=tokenwise)
        for tokenwise in (False, True)
    ]
    backbones[1].transformer.load_state_dict(backbones[0].transformer.state_dict())
    clip = script.clip_of((16, 3, 8, 8), 32)
    with torch.no_grad():
        outputs = [b.predict(clip[0][None], 0.751, clip[1].padded()[None]) for b in backbones]
    torch.testing.assert_close(*outputs)

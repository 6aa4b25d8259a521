"""`motive doctor`: of every tracker whether it can run, of a model what was recognised."""

import importlib.util

import pytest
import torch
from safetensors.torch import save_file

from motive.backbones import load_backbone
from motive.motion import TRACKERS
from motive.motion.alltracker import loading
from tiny_families import save_tiny


def trackers(motive):
    checks = motive("doctor", "--json").json["checks"]
    prefix = "tracker "
    return {c["name"].removeprefix(prefix): c for c in checks if c["name"].startswith(prefix)}


def test_every_tracker_has_a_line(motive):
    assert list(trackers(motive)) == list(TRACKERS)
    text = motive("doctor").out
    for name in TRACKERS:
        assert f" tracker {name}: " in text


def test_trackers_without_weights_can_always_run(motive):
    found = trackers(motive)
    assert all(found[name]["ok"] for name in ("dis", "farneback", "codec"))
    assert all("weights" not in found[name]["text"] for name in ("dis", "farneback", "codec"))


def test_the_licence_of_weights_is_named_whether_they_are_here_or_not(motive):
    found = trackers(motive)
    assert "MIT" in found["alltracker"]["text"]
    assert "BSD-3-Clause" in found["raft"]["text"]
    assert "CC-BY-NC-4.0 (no commercial use)" in found["cotracker3"]["text"]


@pytest.mark.parametrize("here", [False, True])
def test_what_is_missing_is_said_with_how_to_get_it(motive, monkeypatch, here):
    monkeypatch.setattr(loading, "fetched", lambda: here)
    original = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec",
        lambda name, *rest: (here or None) if name == "torchvision" else original(name, *rest),
    )  # fmt: skip
    found = trackers(motive)
    assert (found["alltracker"]["ok"], found["raft"]["ok"]) == (here, here)
    if not here:
        assert "weights=PATH of alltracker.pth" in found["alltracker"]["text"]
        assert "torchvision missing: install" in found["raft"]["text"]


# -- models -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wan-t2v", ("Wan 2.1 T2V,", "latent grid 21x60x104,", "target velocity (noise - latents),",
                     "t_fix 751 (sigma 0.751; the model's own timestep 751)")),
        ("wan-i2v-a14b", ("expert transformer_2 (low noise, boundary 0.9)",)),
        ("mochi", ("Mochi 1,", "target reversed velocity", "(sigma 0.751; the model's own timestep "
                   "249)")),
        ("cogvideox-2b", ("target v (", "the model's own timestep 494)")),
    ],
)  # fmt: skip
def test_a_model_is_described(motive, tmp_path, name, words):
    folder = save_tiny(name, tmp_path / name)
    outcome = motive("doctor", "--model", folder)
    assert outcome.code == 0
    line = next(line for line in outcome.out.splitlines() if f"model {folder}" in line)
    assert line.startswith("ok ")
    for word in words:
        assert word in line
    count = int(line.split(" parameters")[0].split()[-1].replace(",", ""))
    backbone = load_backbone(folder)
    assert count == sum(p.numel() for p in backbone.transformer.parameters())
    assert f"{backbone.standard.frames} frames of {backbone.standard.width}x" in line


def test_a_model_is_described_without_loading_it(motive, tmp_path, monkeypatch):
    from diffusers import LTXVideoTransformer3DModel

    folder = save_tiny("ltx", tmp_path / "ltx")
    monkeypatch.setattr(LTXVideoTransformer3DModel, "from_pretrained", None)
    assert "LTX-Video, " in motive("doctor", "--model", folder).out
    for file in (folder / "transformer").glob("*.safetensors"):
        file.unlink()
    outcome = motive("doctor", "--model", folder)
    assert outcome.code == 1
    assert "transformer: no .safetensors file in it" in outcome.err


def test_a_model_that_cannot_be_opened_fails_with_the_reason(motive, tmp_path):
    outcome = motive("doctor", "--model", tmp_path)
    assert outcome.code == 1
    assert "no model_index.json" in outcome.err


def test_whether_a_lora_fits_is_said(motive, tmp_path):
    folder = save_tiny("wan-t2v", tmp_path / "model")
    name, path = "transformer.blocks.0.attn1.to_q.lora_", tmp_path / "lora.safetensors"
    factors = {f"{name}A.weight": torch.ones(1, 24), f"{name}B.weight": torch.ones(24, 1)}
    save_file(factors, path)
    assert motive("doctor", "--model", folder, "--lora", path).code == 0
    save_file({key.replace("blocks.0", "blocks.7"): v for key, v in factors.items()}, path)
    outcome = motive("doctor", "--model", folder, "--lora", path)
    assert outcome.code == 1
    assert "blocks.7.attn1.to_q.lora_A.weight has no place" in outcome.err


def test_a_checkpoint_without_a_model_is_wrong_use(motive, tmp_path):
    outcome = motive("doctor", "--lora", tmp_path)
    assert outcome.code == 2
    assert "give --model too" in outcome.err

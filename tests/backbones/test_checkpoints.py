"""Fine-tuned weights and LoRAs on top of a folder give what the trainers' own tools give."""

import dataclasses
import json
import re

import pytest
import torch
from safetensors.torch import save_file

from motive.backbones import load_backbone
from motive.backbones.placement import FOLDER_ONLY, offloaded
from motive.errors import ModelError, UsageError
from motive.runs import Run, RunConfig, open_backbone
from tiny_families import save_tiny

peft = pytest.importorskip("peft")

# What a layer is called in the models' first code, which DiffSynth, musubi and others train.
ORIGINAL = {
    "wan-t2v": [
        (r"^scale_shift_table", "head.modulation"), (r"^proj_out\.", "head.head."),
        (r"scale_shift_table", "modulation"), (r"attn1\.", "self_attn."),
        (r"attn2\.", "cross_attn."), (r"\.to_([qkv])\.", r".\1."), (r"\.to_out\.0\.", ".o."),
        (r"ffn\.net\.0\.proj", "ffn.0"), (r"ffn\.net\.2", "ffn.2"),
        (r"blocks\.(\d+)\.norm2", r"blocks.\1.norm3"),
        (r"condition_embedder\.time_embedder\.linear_1", "time_embedding.0"),
        (r"condition_embedder\.time_embedder\.linear_2", "time_embedding.2"),
        (r"condition_embedder\.text_embedder\.linear_1", "text_embedding.0"),
        (r"condition_embedder\.text_embedder\.linear_2", "text_embedding.2"),
        (r"condition_embedder\.time_proj", "time_projection.1"),
    ],
    "ltx": [
        (r"^proj_in", "patchify_proj"), (r"^time_embed", "adaln_single"),
        (r"norm_([qk])", r"\1_norm"),
    ],
}  # fmt: skip
LAYERS = {
    "wan-t2v": ("blocks.0.attn1.to_q", "blocks.1.ffn.net.2"),
    "ltx": ("transformer_blocks.0.attn1.to_q", "transformer_blocks.1.ff.net.2"),
}
SCALE = 4.0 / 2.0  # alpha over rank


def original(name, key):
    for pattern, replacement in ORIGINAL[name]:
        key = re.sub(pattern, replacement, key)
    return key


@pytest.fixture(scope="module", params=list(ORIGINAL))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def folder(name, tmp_path_factory):
    return save_tiny(name, tmp_path_factory.mktemp("base") / name)


@pytest.fixture(scope="module")
def base(folder):
    return load_backbone(folder, device="cpu")


@pytest.fixture(scope="module")
def tuned(folder, base):
    """The base's tensors, each moved a little."""
    torch.manual_seed(0)
    state = base.transformer.state_dict()
    return {key: value + 0.1 * torch.randn_like(value) for key, value in state.items()}


@pytest.fixture(scope="module")
def factors(name, base):
    """A LoRA of two layers as (A, B) by layer."""
    torch.manual_seed(1)
    weights = {layer: base.transformer.get_submodule(layer).weight for layer in LAYERS[name]}
    return {
        layer: (torch.randn(2, weight.shape[1]), torch.randn(weight.shape[0], 2))
        for layer, weight in weights.items()
    }


@pytest.fixture(scope="module")
def merged(base, factors):
    """The base's tensors with the LoRA added by hand."""
    state = {key: value.clone() for key, value in base.transformer.state_dict().items()}
    for layer, (first, second) in factors.items():
        state[f"{layer}.weight"] += SCALE * second @ first
    return state


def lora_file(path, factors, prefix="transformer.", middle="", rename=None, **header):
    tensors = {}
    for layer, pair in factors.items():
        layer = rename(layer + ".")[:-1] if rename else layer
        for letter, factor in zip("AB", pair, strict=True):
            tensors[f"{prefix}{layer}.lora_{letter}{middle}.weight"] = factor.contiguous()
        if header.get("alpha"):
            tensors[f"{prefix}{layer}.alpha"] = torch.tensor(4.0)
    settings = {"transformer.r": 2, "transformer.lora_alpha": 4,
                "transformer.target_modules": list(factors)}  # fmt: skip
    metadata = {"lora_adapter_metadata": json.dumps(settings)} if header.get("settings") else None
    save_file(tensors, path, metadata)
    return path


def same(backbone, expected):
    found = backbone.transformer.state_dict()
    assert set(found) == set(expected)
    return all(torch.allclose(found[key], expected[key], atol=1e-5) for key in expected)


@pytest.mark.parametrize("wrapper", ["", "diffusion_model.", "pipe.dit.", "model.diffusion_model."])
def test_a_checkpoint_replaces_the_weights_whatever_its_names(
    name, folder, base, tuned, tmp_path, wrapper
):
    state = {wrapper + original(name, key): value for key, value in tuned.items()}
    assert any(key.removeprefix(wrapper) not in tuned for key in state)
    save_file(state, tmp_path / "tuned.safetensors")
    backbone = load_backbone(folder, device="cpu", weights=tmp_path / "tuned.safetensors")
    assert same(backbone, tuned)
    assert not same(base, tuned)


def test_a_folder_of_weights_with_the_librarys_own_names_is_read(folder, tuned, tmp_path):
    parts = sorted(tuned)
    save_file({key: tuned[key] for key in parts[:5]}, tmp_path / "a.safetensors")
    save_file({key: tuned[key] for key in parts[5:]}, tmp_path / "b.safetensors")
    assert same(load_backbone(folder, device="cpu", weights=tmp_path), tuned)


def test_other_components_of_a_checkpoint_are_named(folder, tuned, tmp_path, caplog):
    state = {f"model.diffusion_model.{key}": value for key, value in tuned.items()}
    save_file({**state, "vae.encoder.x": torch.zeros(1)}, tmp_path / "all.safetensors")
    backbone = load_backbone(folder, device="cpu", weights=tmp_path / "all.safetensors")
    assert same(backbone, tuned)
    assert "['vae'] are not read" in caplog.text


def test_a_checkpoint_of_some_tensors_says_so(folder, base, tuned, tmp_path, caplog):
    save_file({"proj_out.bias": tuned["proj_out.bias"]}, tmp_path / "some.safetensors")
    backbone = load_backbone(folder, device="cpu", weights=tmp_path / "some.safetensors")
    expected = {**base.transformer.state_dict(), "proj_out.bias": tuned["proj_out.bias"]}
    assert same(backbone, expected)
    assert f"1 of the transformer's {len(tuned)} tensors" in caplog.text


def test_tensors_that_the_class_itself_ignores_are_no_misfit(tmp_path):
    """The files of Wan 2.1 I2V have a norm in every layer that its network does not use."""
    folder = save_tiny("wan-i2v", tmp_path / "model")
    weights = load_backbone(folder, device="cpu").transformer.state_dict()
    unused = {"blocks.0.attn2.norm_added_q.weight": torch.ones(24)}
    save_file({**weights, **unused}, tmp_path / "tuned.safetensors")
    backbone = load_backbone(folder, device="cpu", weights=tmp_path / "tuned.safetensors")
    assert same(backbone, weights)


def test_a_lora_is_added_whatever_its_names(name, folder, factors, merged, tmp_path):
    def rename(layer):
        return original(name, layer)

    files = [lora_file(tmp_path / "diffusers.safetensors", factors, settings=True)]
    if name == "wan-t2v":
        files.append(
            lora_file(tmp_path / "first.safetensors", factors, "diffusion_model.", rename=rename,
                      alpha=True)
        )  # fmt: skip
    config = {"r": 2, "lora_alpha": 4, "target_modules": list(factors), "peft_type": "LORA"}
    (tmp_path / "peft").mkdir()
    (tmp_path / "peft" / "adapter_config.json").write_text(json.dumps(config))
    lora_file(tmp_path / "peft" / "adapter_model.safetensors", factors, "base_model.model.")
    for path in (*files, tmp_path / "peft"):
        assert same(load_backbone(folder, device="cpu", lora=path), merged), path


def test_a_lora_is_what_diffusers_makes_of_the_trainers_file(name, folder, factors, tmp_path):
    from diffusers import DiffusionPipeline

    # Names of DiffSynth: the first code's, with peft's adapter name, and no alpha.
    path = lora_file(
        tmp_path / "epoch-0.safetensors", factors, "", ".default",
        rename=lambda layer: original(name, layer),
    )  # fmt: skip
    pipeline = DiffusionPipeline.from_pretrained(folder)
    known = lora_file(
        tmp_path / "known.safetensors", factors, "diffusion_model.",
        rename=lambda layer: original(name, layer),
    )  # fmt: skip
    pipeline.load_lora_weights(known)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    expected = pipeline.transformer.state_dict()
    assert same(load_backbone(folder, device="cpu", lora=path), expected)


def test_weights_and_lora_go_together_in_every_precision_and_place(
    folder, tuned, factors, tmp_path
):
    save_file(tuned, tmp_path / "tuned.safetensors")
    lora = lora_file(tmp_path / "lora.safetensors", factors, settings=True)
    found = load_backbone(
        folder, device="cpu", dtype="bfloat16", placement=offloaded, lora=lora,
        weights=tmp_path / "tuned.safetensors",
    )  # fmt: skip
    state = found.transformer.state_dict()
    for layer, (first, second) in factors.items():
        expected = tuned[f"{layer}.weight"] + SCALE * second @ first
        assert state[f"{layer}.weight"].dtype == torch.bfloat16
        torch.testing.assert_close(state[f"{layer}.weight"].float(), expected, rtol=0.02, atol=0.02)


def test_a_lora_kept_apart_leaves_its_factors_as_parameters(folder, base, factors, tmp_path):
    lora = lora_file(tmp_path / "lora.safetensors", factors, settings=True)
    apart = load_backbone(folder, device="cpu", lora=lora, merge_lora=False)
    added = [key for key, _ in apart.transformer.named_parameters() if "lora" in key]
    assert len(added) == 2 * len(factors)
    together = load_backbone(folder, device="cpu", lora=lora)
    names = [key for key, _ in base.transformer.named_parameters()]
    assert [key for key, _ in together.transformer.named_parameters()] == names
    assert apart.fingerprint() != together.fingerprint() != base.fingerprint()


def test_of_two_experts_the_attributed_one_gets_its_own_lora(tmp_path):
    folder = save_tiny("wan-t2v-a14b", tmp_path / "model")
    tensors = {}
    for part, size in (("transformer", 1.0), ("transformer_2", 2.0)):
        tensors[f"{part}.blocks.0.attn1.to_q.lora_A.weight"] = torch.full((1, 24), size)
        tensors[f"{part}.blocks.0.attn1.to_q.lora_B.weight"] = torch.ones(24, 1)
    save_file(tensors, tmp_path / "lora.safetensors")
    for sigma, size in ((0.9, 1.0), (0.7, 2.0)):
        base = load_backbone(folder, device="cpu", sigma=sigma)
        changed = load_backbone(
            folder, device="cpu", sigma=sigma, lora=tmp_path / "lora.safetensors"
        )
        before, after = (m.transformer.blocks[0].attn1.to_q.weight for m in (base, changed))
        torch.testing.assert_close(after - before, torch.full((24, 24), size))


# -- identity -----------------------------------------------------------------------------------


def test_fingerprints_depend_on_the_bytes_and_not_on_the_name(folder, base, tuned, tmp_path):
    first, second, third = (tmp_path / f"{i}.safetensors" for i in range(3))
    save_file(tuned, first)
    second.write_bytes(first.read_bytes())
    save_file({key: value + 1 for key, value in tuned.items()}, third)
    digests = [
        load_backbone(folder, weights=p, device="cpu").fingerprint() for p in (first, second, third)
    ]
    assert digests[0] == digests[1] != digests[2]
    assert {k: v for k, v in digests[0].items() if k != "fine_tuned"} == base.fingerprint()


def test_a_run_keeps_its_checkpoints(folder, factors, tmp_path, monkeypatch):
    lora_file(tmp_path / "lora.safetensors", factors)
    monkeypatch.chdir(tmp_path)
    config = RunConfig(model=str(folder), lora="lora.safetensors", device="cpu")
    run = Run("run", config)
    run.folder.mkdir()
    run._write_config()
    monkeypatch.chdir("/")
    again = Run(tmp_path / "run")
    assert again.config.lora == str(tmp_path / "lora.safetensors")
    assert again.fingerprint == run.fingerprint
    without = dataclasses.replace(again.config, lora=None)
    assert again.fingerprint != Run(tmp_path / "other", without).fingerprint


# -- bad input ----------------------------------------------------------------------------------


def refused(words, folder, **options):
    """When the model is opened, before any clip is encoded."""
    with pytest.raises(ModelError, match=words) as caught:
        load_backbone(folder, device="cpu", **options)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_or_no_safetensors_are_refused_at_once(folder, tmp_path):
    (tmp_path / "x.bin").write_bytes(b"\x80\x04")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 40)
    for option in ("weights", "lora"):
        for path, words in (("gone.safetensors", "no such file"), ("x.bin", r"only \.safetensors"),
                            ("empty", r"no \.safetensors file"),
                            ("broken.safetensors", "cannot be read")):  # fmt: skip
            refused(words, folder, **{option: tmp_path / path})


def test_checkpoints_of_another_model_are_refused(folder, base, tuned, factors, tmp_path):
    foreign = {"double_blocks.0.img_attn_qkv.weight": torch.zeros(6, 2)}
    save_file(foreign, tmp_path / "foreign.safetensors")
    refused("no place in a|not a checkpoint of a", folder, weights=tmp_path / "foreign.safetensors")
    larger = {key: torch.zeros(*(2 * n for n in value.shape)) for key, value in tuned.items()}
    save_file(larger, tmp_path / "larger.safetensors")
    refused("of another size", folder, weights=tmp_path / "larger.safetensors")
    lora_file(tmp_path / "lora.safetensors", factors)
    refused(
        "no place in a.*goes to --lora|not a checkpoint",
        folder,
        weights=tmp_path / "lora.safetensors",
    )


def test_loras_of_another_model_are_refused(folder, tuned, factors, tmp_path):
    other = {f"single_{layer}": pair for layer, pair in factors.items()}
    refused("no place in a", folder, lora=lora_file(tmp_path / "other.safetensors", other))
    larger = {layer: (a.repeat(1, 2), b.repeat(2, 1)) for layer, (a, b) in factors.items()}
    refused("of another size", folder, lora=lora_file(tmp_path / "larger.safetensors", larger))
    save_file({"transformer.proj_out.dora_scale": torch.zeros(1)}, tmp_path / "dora.safetensors")
    refused("DoRA", folder, lora=tmp_path / "dora.safetensors")
    save_file(tuned, tmp_path / "tuned.safetensors")
    refused("go to --weights", folder, lora=tmp_path / "tuned.safetensors")


def test_sharding_reads_folders_only(folder, factors, tmp_path):
    lora = lora_file(tmp_path / "lora.safetensors", factors)
    config = RunConfig(model=str(folder), lora=str(lora), device="cpu")
    with pytest.raises(UsageError, match=FOLDER_ONLY[:40]):
        open_backbone(config, object())


@pytest.mark.parametrize(
    ("factors", "header", "words"),
    [
        ({"A": torch.ones(24), "B": torch.ones(24, 1)}, {}, "of another size"),
        ({"A": torch.ones(1, 24)}, {}, "no lora_B of its rank"),
        ({"A": torch.ones(2, 24), "B": torch.ones(24, 3)}, {}, "no lora_B of its rank"),
        (
            {"A": torch.ones(1, 24), "B": torch.ones(24, 1)}, {"lora_adapter_metadata": "{"},
            "lora_adapter_metadata is no JSON object",
        ),
    ],
)  # fmt: skip
def test_a_damaged_lora_is_refused_in_one_line(factors, header, words, tmp_path):
    folder, path = save_tiny("wan-t2v", tmp_path / "model"), tmp_path / "lora.safetensors"
    name = "transformer.blocks.0.attn1.to_q.lora_"
    save_file({f"{name}{key}.weight": value for key, value in factors.items()}, path, header)
    refused(words, folder, lora=path)


@pytest.mark.parametrize("config", ["{", "[1]"])
def test_a_damaged_peft_configuration_is_refused_in_one_line(config, tmp_path):
    folder, peft = save_tiny("wan-t2v", tmp_path / "model"), tmp_path / "peft"
    peft.mkdir()
    name = "base_model.model.blocks.0.attn1.to_q.lora_"
    factors = {f"{name}A.weight": torch.ones(1, 24), f"{name}B.weight": torch.ones(24, 1)}
    save_file(factors, peft / "adapter_model.safetensors")
    (peft / "adapter_config.json").write_text(config)
    refused("adapter_config.json", folder, lora=peft)

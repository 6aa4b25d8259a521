"""The script for GPUs runs at its smallest sizes, and knows the published models' shapes."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks"
PUBLISHED = [
    ("Wan2.1-T2V-1.3B", "Wan 2.1 T2V", (16, 21, 60, 104), 32_760),
    ("Wan2.1-T2V-14B", "Wan 2.1 T2V", (16, 21, 60, 104), 32_760),
    ("Wan2.2-TI2V-5B", "Wan 2.2 TI2V-5B", (48, 21, 30, 52), 8_190),
    ("LTX-Video-2B", "LTX-Video", (128, 21, 16, 22), 7_392),
    ("LTX-Video-13B", "LTX-Video", (128, 21, 16, 22), 7_392),
]
# Published as the size of files: (bytes per parameter, 10^9 bytes). LTX 13B's VAE is in bfloat16.
VAE_FILES = {
    "Wan2.1-T2V-1.3B": (4, "0.508"),
    "Wan2.2-TI2V-5B": (4, "2.82"),
    "LTX-Video-2B": (4, "1.68"),
    "LTX-Video-13B": (2, "2.49"),
}
TEXT_FILES = {"Wan2.1-T2V-1.3B": (2, "11.36"), "LTX-Video-2B": (2, "9.52")}


@pytest.fixture(scope="module")
def script():
    if not FOLDER.is_dir():
        pytest.skip("benchmarks are not installed")
    sys.path.insert(0, str(FOLDER))
    try:
        place = FOLDER / "model_scale_gpu.py"
        spec = importlib.util.spec_from_file_location("model_scale_gpu", place)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


@pytest.fixture
def run(script, monkeypatch):
    """Runs the script on a CPU; what it would have saved."""

    def call(model, *extra):
        saved = {}
        monkeypatch.setattr(script, "save", saved.__setitem__)
        script.main(["--model", model, "--device", "cpu", "--rounds", "1", *extra])
        return saved[f"model_scale_{model}"]

    return call


@pytest.fixture
def opened(script, tmp_path_factory):
    """Opens a model of the script, in bfloat16."""

    def call(model, **options):
        folder, cpu = tmp_path_factory.mktemp("model"), torch.device("cpu")
        return script.opened(script.MODELS[model], folder, cpu, torch.bfloat16, **options)

    return call


@pytest.mark.parametrize("model", ["tiny", "tiny-ltx"])
@pytest.mark.parametrize("extra", [[], ["--offload"], ["--no-checkpointing", "--dtype", "float32"]])
def test_the_smallest_sizes_run_on_a_cpu(run, capsys, model, extra):
    results = run(model, *extra)
    assert results["family"] == {"tiny": "Wan 2.1 T2V", "tiny-ltx": "LTX-Video"}[model]
    assert results["checkpointing"] == ("--no-checkpointing" not in extra)
    seconds = results["seconds"]
    assert results["ratio"] == seconds["feature"]["median"] / seconds["plain"]["median"]
    assert "end_to_end" not in results
    line = capsys.readouterr().out
    assert f"{model}: {results['parameters']:,} parameters" in line
    assert "ratio" in line


@pytest.mark.parametrize("model", ["tiny", "tiny-ltx"])
def test_end_to_end_is_video_caption_and_feature(run, capsys, model):
    results = run(model, "--encoders")
    stages = [*results["encoders"].values(), {"seconds": results["seconds"]["feature"]}]
    assert list(results["encoders"]) == ["video", "caption"]
    assert results["end_to_end"]["seconds_per_clip"] == pytest.approx(
        sum(stage["seconds"]["median"] for stage in stages)
    )
    assert "without decoding of the video file, tokenizing, motion weights" in (
        capsys.readouterr().out
    )


def test_nothing_is_saved_on_request(script, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["measuring"], "RESULTS", tmp_path / "results")
    script.main(["--model", "tiny", "--device", "cpu", "--rounds", "1", "--no-save"])
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("model", ["tiny", "tiny-ltx"])
def test_encoders_are_gone_before_the_transformer_is_made(script, opened, model):
    backbone = opened(model, encoders=True)
    latents, _, rows = script.encoded(backbone, rounds=1)
    assert not {"vae", "_text", "text_pipeline", "transformer"} & set(vars(backbone))
    assert tuple(latents.shape) == script.latent_shape(backbone)
    assert latents.isfinite().all()
    assert latents.std() > 0
    assert all(row["parameters"] > 0 for row in rows.values())


@pytest.mark.parametrize("model", ["tiny", "tiny-ltx"])
def test_a_caption_has_the_same_layout_without_a_real_encoder(opened, model):
    real, cheap = (
        opened(model, encoders=encoders).encode_text("any") for encoders in (True, False)
    )
    assert cheap.tokens.shape == real.tokens.shape
    assert cheap.length == real.length
    assert not torch.equal(cheap.tokens, real.tokens)


def test_another_number_of_parameters_than_published_ends_the_run(script, run, monkeypatch):
    wrong = replace(script.MODELS["tiny"], parameters=28_329)
    monkeypatch.setitem(script.MODELS, "tiny", wrong)
    with pytest.raises(SystemExit, match="tiny: 28,328 parameters, not 28,329"):
        run("tiny")


@pytest.mark.parametrize(("model", "family", "latents", "tokens"), PUBLISHED)
def test_published_sizes_have_their_published_shapes(
    script, opened, model, family, latents, tokens
):
    backbone = opened(model)
    assert backbone.family == family
    assert script.latent_shape(backbone) == latents
    assert script.tokens_of(backbone) == tokens
    assert backbone.parameter_count() == script.MODELS[model].parameters
    row = f"| {model.replace('LTX-Video-', 'LTX-Video ')} | {script.MODELS[model].parameters:,} |"
    assert row in (ROOT / "docs" / "models.md").read_text("utf-8")


def test_wan_keeps_modulation_in_float32(opened):
    transformer = opened("tiny").transformer
    assert transformer.blocks[0].scale_shift_table.dtype == torch.float32
    assert transformer.blocks[0].ffn.net[2].weight.dtype == torch.bfloat16


def test_timesteps_of_the_5b_model_are_one_per_token(opened):
    assert opened("Wan2.2-TI2V-5B").per_token


def in_files(parameters, published):
    width, text = published
    return f"{width * parameters / 1e9:.{len(text.partition('.')[2])}f}"


@pytest.mark.parametrize("model", VAE_FILES)
def test_vaes_have_the_size_of_their_published_files(opened, model):
    backbone = opened(model)
    with torch.device("meta"):
        vae = backbone.class_of("vae").from_config(backbone.vae_config)
    parameters = sum(p.numel() for p in vae.parameters())
    assert in_files(parameters, VAE_FILES[model]) == VAE_FILES[model][1]


@pytest.mark.parametrize("model", TEXT_FILES)
def test_text_encoders_have_the_size_of_their_published_files(opened, model):
    from transformers import AutoConfig, AutoModelForTextEncoding

    backbone = opened(model, encoders=True)
    with torch.device("meta"):
        encoder = AutoModelForTextEncoding.from_config(
            AutoConfig.from_pretrained(backbone.folder / "text_encoder")
        )
    assert isinstance(encoder, backbone.class_of("text_encoder"))
    parameters = sum(p.numel() for p in encoder.parameters())
    assert in_files(parameters, TEXT_FILES[model]) == TEXT_FILES[model][1]

"""Families other than the one that videos are made with: trained where that is right, else refused
before any work is done."""

import pytest
from safetensors import safe_open

from motive.backbones import load_backbone
from motive.errors import ModelError, UsageError
from motive.finetuning import FinetuneConfig, finetune
from motive.generation import GenerateConfig, generate
from motive.generation.sampling import VideoSampler
from moving_squares import square_videos
from tiny_families import TINY, save_tiny


def small(family, folder, **options):
    standard = TINY[family].standard
    shape = {"frames": standard.frames, "height": standard.height, "width": standard.width}
    options = {"steps": 2, "device": "cpu", **shape, **options}
    return FinetuneConfig(model=str(save_tiny(family, folder / "model")), **options)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return square_videos(tmp_path_factory.mktemp("clips"), (0, 1))


@pytest.mark.parametrize("family", ["mochi", "ltx-i2v", "wan-ti2v"])
def test_all_weights_are_trained_into_a_folder_of_the_same_family(family, clips, tmp_path):
    config = small(family, tmp_path)
    tuned = finetune(config, clips, tmp_path / "out")
    before, after = (load_backbone(m, device="cpu") for m in (config.model, tuned.pipeline))
    assert after.family == before.family
    pairs = zip(before.transformer.parameters(), after.transformer.parameters(), strict=True)
    assert any(not one.equal(other) for one, other in pairs)


def test_adapters_are_written_for_a_family_that_makes_no_videos_here(clips, tmp_path):
    config = small("mochi", tmp_path, lora=2)
    tuned = finetune(config, clips, tmp_path / "out")
    with safe_open(tuned.lora / "pytorch_lora_weights.safetensors", "pt") as file:
        assert any("lora_B" in key for key in file.keys())  # noqa: SIM118 - no dict
    tuned = load_backbone(config.model, device="cpu", lora=tuned.lora)
    assert tuned.transformer is not None


def test_adapters_without_a_file_format_are_refused_before_training(clips, tmp_path):
    config = small("hunyuan-video-1.5", tmp_path, lora=2)
    with pytest.raises(ModelError, match=r"no adapter files for HunyuanVideo15Pipeline"):
        finetune(config, clips, tmp_path / "out")


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("wan-t2v-a14b", "of two experts"),
        ("wan-i2v", "that sees an image"),
        ("hunyuan-video-1.5-i2v", "that sees an image"),
    ],
)
def test_what_cannot_be_trained_here_is_refused_before_clips_are_read(family, words, tmp_path):
    config = small(family, tmp_path)
    with pytest.raises(UsageError, match=f"fine-tuning a model {words} is not part"):
        finetune(config, tmp_path / "no clips", tmp_path / "out")
    assert not (tmp_path / "out" / "finetune.json").exists()


def test_videos_of_another_family_are_refused_before_anything_is_written(tmp_path):
    model = save_tiny("ltx", tmp_path / "model")
    with pytest.raises(ModelError, match="making videos with LTX-Video"):
        generate(GenerateConfig(model=str(model), device="cpu"), ["a ball"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    backbone = load_backbone(model, device="cpu")
    with pytest.raises(ModelError, match="the family's own pipeline"):
        VideoSampler(backbone, backbone.standard)

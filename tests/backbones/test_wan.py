"""The Wan 2.1 backbone says exactly what diffusers' own pipeline would."""

import json
import shutil

import pytest
import torch

from motive.backbones import TextEmbedding, load_backbone
from motive.clips import ClipStandard
from motive.errors import ModelError, UsageError

STANDARD = ClipStandard(frames=9, fps=16, height=64, width=64)
CAPTIONS = ["a red ball", "", "a blue cube slides to the left  &amp; it spins", "ünïcode \u2603"]


@pytest.fixture(scope="module")
def backbone(tiny_wan):
    return load_backbone(tiny_wan, device="cpu")


@pytest.fixture(scope="module")
def pipeline(tiny_wan):
    from diffusers import WanPipeline

    return WanPipeline.from_pretrained(tiny_wan)


def pixels(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (9, 64, 64, 3), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("caption", CAPTIONS)
def test_captions_are_embedded_as_the_pipeline_does(backbone, pipeline, caption):
    expected, _ = pipeline.encode_prompt(
        caption, do_classifier_free_guidance=False, max_sequence_length=512
    )
    found = backbone.encode_text(caption)
    assert found.length == 512
    torch.testing.assert_close(found.padded()[None], expected, rtol=1e-5, atol=1e-6)


def test_embeddings_are_zero_past_the_caption(backbone):
    found = backbone.encode_text("a red ball").padded()
    used = len(backbone.encode_text("a red ball").tokens)
    assert 0 < used < 20
    assert found[used:].abs().max() == 0


def test_a_tokenizer_with_a_shorter_limit_is_respected(tiny_wan, tmp_path):
    folder = shutil.copytree(tiny_wan, tmp_path / "short")
    path = folder / "tokenizer" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": 16}))
    assert load_backbone(folder, device="cpu").encode_text("a red ball").length == 16


def test_a_long_caption_is_cut_and_said_so(backbone, caplog):
    found = backbone.encode_text("ball " * 600)
    assert len(found.tokens) == 512
    assert "cut" in caplog.text


def test_latents_are_the_normalised_mode_of_the_posterior(backbone, pipeline):
    video = pixels().permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    with torch.no_grad():
        mode = pipeline.vae.encode(video).latent_dist.mode()
    config = pipeline.vae.config
    mean = torch.tensor(config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(config.latents_std).view(1, -1, 1, 1, 1)
    found = backbone.encode_video(pixels())
    torch.testing.assert_close(found[None], (mode - mean) / std, rtol=1e-5, atol=1e-5)
    assert tuple(found.shape[1:]) == backbone.latent_grid(STANDARD) == (3, 8, 8)


def test_decoding_undoes_the_normalisation_of_the_pipeline(backbone, pipeline):
    latents = backbone.encode_video(pixels())
    config = pipeline.vae.config
    mean = torch.tensor(config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(config.latents_std).view(1, -1, 1, 1, 1)
    with torch.no_grad():
        video = pipeline.vae.decode(latents[None] * std + mean).sample[0]
    expected = ((video.clamp(-1, 1).permute(1, 2, 3, 0) + 1) * 127.5).round().to(torch.uint8)
    found = backbone.decode_latents(latents)
    # Small clips are decoded in one pass; the pipeline goes chunk by chunk and rounds otherwise.
    assert (found.int() - expected.int()).abs().max() <= 1
    assert (found == expected).double().mean() > 0.999


@pytest.mark.parametrize("frame", range(9))
def test_temporal_groups_say_which_latent_frame_is_the_first_to_change(backbone, frame):
    groups = backbone.temporal_groups(9)
    assert groups == [[0], [1, 2, 3, 4], [5, 6, 7, 8]]
    changed = pixels().clone()
    changed[frame] = 255 - changed[frame]
    difference = (backbone.encode_video(changed) - backbone.encode_video(pixels())).abs()
    first = int((difference.amax(dim=(0, 2, 3)) > 1e-6).nonzero()[0])
    assert frame in groups[first]


def test_prediction_is_the_transformers_velocity_at_1000_sigma(backbone, pipeline):
    noisy, text = torch.randn(1, 16, 3, 8, 8), torch.randn(1, 512, 32)
    with torch.no_grad():
        expected = pipeline.transformer(noisy, torch.tensor([751.0]), text).sample
        found = backbone.predict(noisy, 0.751, text)
    torch.testing.assert_close(found, expected)


def test_each_clip_of_a_batch_may_have_its_own_sigma(backbone):
    latents, noise = torch.randn(2, 3, 16, 3, 8, 8)
    text, sigmas = torch.randn(3, 512, 32), [0.1, 0.751, 0.95]
    level = torch.tensor(sigmas)
    noisy = backbone.add_noise(latents, noise, level)
    with torch.no_grad():
        found = backbone.predict(noisy, level, text)
        for i, sigma in enumerate(sigmas):
            alone = backbone.add_noise(latents[i : i + 1], noise[i : i + 1], sigma)
            torch.testing.assert_close(noisy[i : i + 1], alone)
            expected = backbone.predict(alone, sigma, text[i : i + 1])
            torch.testing.assert_close(found[i : i + 1], expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(backbone.target(latents, noise, level), noise - latents)


def test_a_model_first_used_without_gradients_can_still_be_trained(tiny_wan):
    fresh = load_backbone(tiny_wan, device="cpu")
    with torch.inference_mode():
        fresh.predict(torch.randn(1, 16, 2, 4, 4), 0.5, torch.randn(1, 8, 32))
    fresh.predict(torch.randn(1, 16, 2, 4, 4), 0.5, torch.randn(1, 8, 32)).sum().backward()
    assert all(not parameter.is_inference() for parameter in fresh.transformer.parameters())


def test_noising_and_target_are_those_of_rectified_flow(backbone):
    latents, noise = torch.randn(2, 1, 16, 3, 8, 8)
    # At σ = 0 the clip, at σ = 1 the noise; the target is the constant velocity between them.
    assert torch.equal(backbone.add_noise(latents, noise, 0.0), latents)
    assert torch.equal(backbone.add_noise(latents, noise, 1.0), noise)
    step = backbone.add_noise(latents, noise, 0.6) - backbone.add_noise(latents, noise, 0.5)
    torch.testing.assert_close(
        step / 0.1, backbone.target(latents, noise, 0.5), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize(
    ("standard", "words"),
    [
        (ClipStandard(8, 16, 64, 64), "nearest is 9 frames of 64x64"),
        (ClipStandard(9, 16, 60, 64), "nearest is 9 frames of 64x64"),
        (ClipStandard(81, 16, 480, 830), "nearest is 81 frames of 832x480"),
        (ClipStandard(2, 16, 3, 3), "nearest is 5 frames of 16x16"),
    ],
)
def test_a_shape_the_model_cannot_take_names_the_nearest(backbone, standard, words):
    with pytest.raises(UsageError, match=words):
        backbone.check_standard(standard)


def test_wan_480p_is_the_default_shape_and_a_file_can_say_otherwise(tiny_wan, tmp_path):
    assert load_backbone(tiny_wan, device="cpu").standard == ClipStandard(81, 16, 480, 832)
    folder = shutil.copytree(tiny_wan, tmp_path / "own")
    (folder / "motive.json").write_text('{"frames": 9, "fps": 8, "height": 64, "width": 32}')
    assert load_backbone(folder, device="cpu").standard == ClipStandard(9, 8, 64, 32)
    (folder / "motive.json").write_text('{"frames": 9, "colour": 1}')
    with pytest.raises(ModelError, match="expected frames, fps, height, width"):
        load_backbone(folder, device="cpu")


def test_the_fingerprint_changes_with_any_weight_and_not_with_the_place(tiny_wan, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_wan, tmp_path / "copy")
    before = load_backbone(folder, device="cpu").fingerprint()
    assert before == load_backbone(tiny_wan, device="cpu").fingerprint()
    path = next((folder / "transformer").glob("*.safetensors"))
    weights = load_file(path)
    weights["proj_out.bias"][0] += 1e-3
    save_file(weights, path)
    after = load_backbone(folder, device="cpu").fingerprint()
    assert [name for name in before if before[name] != after[name]] == ["transformer"]


def _without(name):
    return lambda folder: shutil.rmtree(folder / name)


def _with_index(**changes):
    def edit(folder):
        path = folder / "model_index.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


def _truncated(folder):
    path = next((folder / "transformer").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "model_index.json").unlink(), "no model_index.json"),
        (lambda folder: (folder / "model_index.json").write_text("{"), "cannot be read as JSON"),
        (_with_index(_class_name="FluxPipeline"), "FluxPipeline is not supported"),
        (
            _with_index(transformer_2=["diffusers", "WanTransformer3DModel"]),
            "no transformer_2/ folder",
        ),
        (_without("vae"), "no vae/ folder"),
        (_without("tokenizer"), "no tokenizer/ folder"),
    ],
)
def test_a_folder_that_is_no_whole_wan_pipeline_is_refused_in_one_line(
    tiny_wan, tmp_path, damage, words
):
    folder = shutil.copytree(tiny_wan, tmp_path / "model")
    damage(folder)
    with pytest.raises(ModelError, match=words) as caught:
        load_backbone(folder, device="cpu")
    assert "\n" not in str(caught.value)


def test_truncated_weights_are_one_line(tiny_wan, tmp_path):
    folder = shutil.copytree(tiny_wan, tmp_path / "model")
    _truncated(folder)
    with pytest.raises(ModelError, match="safetensors: cannot be read") as caught:
        load_backbone(folder, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        ({"model": "no such folder"}, ModelError, "no such folder"),
        ({"model": __file__}, ModelError, "a file"),
        ({"model": "wan-nano", "dtype": "int8"}, UsageError, "int8"),
    ],
)
def test_a_wrong_call_says_what_to_do(call, kind, words):
    with pytest.raises(kind, match=words):
        load_backbone(**call)


def test_an_unknown_device_says_what_to_use(tiny_wan):
    with pytest.raises(UsageError, match="auto, cpu, cuda"):
        load_backbone(tiny_wan, device="gpu")


def test_padding_a_text_embedding_adds_zeros_only():
    text = TextEmbedding(torch.ones(3, 4), 5)
    assert text.padded().tolist() == [[1.0] * 4] * 3 + [[0.0] * 4] * 2


def test_several_clips_are_decoded_as_each_by_itself(backbone):
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn(3, *backbone.encode_video(pixels()).shape, generator=generator)
    together = backbone.decode_latents(latents)
    alone = torch.stack([backbone.decode_latents(clip) for clip in latents])
    assert together.shape == alone.shape
    assert (together.int() - alone.int()).abs().max() <= 1
    assert (together == alone).double().mean() > 0.999

"""Every family, on a tiny pipeline of its own classes: what its trainers compute, we compute."""

import json
import logging
import math

import pytest
import torch

from motive.backbones import load_backbone
from motive.backbones.families import FAMILIES, PIPELINES
from motive.backbones.placement import _layers, offloaded
from motive.clips import ClipStandard
from motive.errors import ModelError, UsageError
from motive.gradients import ClipInputs, Featurizer, Objective, fixed_noise
from motive.projection import BlockedFastfood
from tiny_families import TINY, save_tiny
from training_steps import STEPS

SIGMA, NOISE_SEED = 0.75, 3  # 750 of 1000: trainers that count in whole steps count the same
CAPTION = 'a red ball bounces, "FAST"'
PROJECTION = BlockedFastfood(64, 5, 1 << 12)
IN_ONE_PASS = {  # every parameter has a rule; the others are taken clip by clip
    "wan-t2v", "wan-i2v", "wan-t2v-a14b", "wan-i2v-a14b", "cogvideox-2b", "cogvideox-5b",
    "cogvideox-1.5", "cogvideox-i2v",
}  # fmt: skip


@pytest.fixture(scope="module", params=list(TINY))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def folder(name, tmp_path_factory):
    return save_tiny(name, tmp_path_factory.mktemp("families") / name)


@pytest.fixture(scope="module")
def backbone(folder):
    return load_backbone(folder, device="cpu")


@pytest.fixture(scope="module")
def standard(name):
    return TINY[name].standard


def pixels(standard, seed=0):
    shape = (standard.frames, standard.height, standard.width, 3)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def inputs(backbone, standard, caption=CAPTION):
    video = pixels(standard)
    text = backbone.encode_text(caption).after(backbone.encode_image(video))
    return backbone.encode_video(video), text


def features(backbone, clips, checkpointing=False, **options):
    options = {"mask": False, "frame_normalize": False, **options}
    objective = Objective((1000 * SIGMA,), NOISE_SEED, **options)
    featurizer = Featurizer(backbone, PROJECTION, objective, checkpointing=checkpointing)
    with featurizer.ready():
        return [featurizer.feature(*clip) for clip in clips]


@pytest.fixture(scope="module")
def published(name, folder, standard, backbone):
    """Loss and gradients of the published step."""
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(folder)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False).eval()
    model = getattr(pipeline, backbone.expert).requires_grad_(True)
    latents = backbone.encode_video(pixels(standard))
    noise = fixed_noise((1, *latents.shape), NOISE_SEED)[:, : backbone.channels]
    loss = STEPS[name](pipeline, pixels(standard), CAPTION, noise, SIGMA)
    named = dict(model.named_parameters())
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    gradients = {key: g for key, g in zip(named, found, strict=True) if g is not None}
    return loss.item(), gradients


def test_the_unweighted_loss_is_that_of_the_published_training_step(backbone, standard, published):
    latents, text = inputs(backbone, standard)
    found = features(backbone, [(latents, text, None, standard.frames)])[0]
    assert found.loss == pytest.approx(published[0], rel=1e-5)


def test_features_are_the_projected_gradient_of_the_published_step(backbone, standard, published):
    latents, text = inputs(backbone, standard)
    found = features(backbone, [(latents, text, None, standard.frames)])[0]
    total = sum(PROJECTION.partial(name, g).double() for name, g in published[1].items())
    projected = PROJECTION.finish(total.float())
    norm = math.sqrt(sum(float(g.double().square().sum()) for g in published[1].values()))
    assert found.gradient_norm == pytest.approx(norm, rel=1e-4)
    assert float((found.vector - projected / projected.norm()).norm()) < 1e-3


def test_the_family_the_grid_and_the_groups_are_recognised(name, backbone, standard):
    assert backbone.family == TINY[name].family
    backbone.check_standard(standard)
    latents = backbone.encode_video(pixels(standard))
    assert tuple(latents.shape[1:]) == backbone.latent_grid(standard) == TINY[name].grid
    groups = backbone.temporal_groups(standard.frames)
    assert [frame for group in groups for frame in group] == list(range(standard.frames))
    assert len(groups) == latents.shape[1]


def test_a_frame_changes_its_own_latent_frame_first(backbone, standard, monkeypatch):
    # Group normalisation over the whole clip lets every frame touch all; the grouping is that of
    # the convolutions.
    monkeypatch.setattr(torch.nn.functional, "group_norm", lambda x, *_, **__: x)
    video = pixels(standard)
    before = backbone.encode_video(video)[: backbone.channels]
    groups = backbone.temporal_groups(standard.frames)
    for index, group in enumerate(groups):
        for frame in {group[0], group[-1]}:
            changed = video.clone()
            changed[frame] = 255 - changed[frame]
            after = backbone.encode_video(changed)[: backbone.channels]
            moved = (after - before).abs().amax(dim=(0, 2, 3)) > 1e-5 * before.abs().max()
            assert int(moved.nonzero()[0]) == index, (frame, moved)


def test_the_mask_weights_the_predicted_frames(backbone, standard):
    latents, text = inputs(backbone, standard)
    ones = torch.ones(latents.shape[1:])
    plain, masked = (
        features(backbone, [(latents, text, weights, 1)], mask=mask)[0]
        for weights, mask in ((None, False), (ones, True))
    )
    assert masked.loss == pytest.approx(plain.loss, rel=1e-5)
    late = ones.clone()
    late[:-1] = 0
    assert 0 < features(backbone, [(latents, text, late, 1)], mask=True)[0].loss < plain.loss


def test_clips_together_are_predicted_as_alone(backbone, standard):
    latents, first = inputs(backbone, standard)
    second = backbone.encode_text("it spins").after(backbone.encode_image(pixels(standard, 1)))
    clean = torch.stack([latents, backbone.encode_video(pixels(standard, 1))])
    noise = fixed_noise((1, *latents.shape), 0)
    level = torch.tensor([0.75, 0.6])
    text = torch.stack([first.padded(), second.padded()])
    noisy, target = (
        f(clean, noise.expand_as(clean), level) for f in (backbone.add_noise, backbone.target)
    )
    with torch.no_grad():
        together = backbone.predict(noisy, level, text)
        for i, sigma in enumerate((0.75, 0.6)):
            row = slice(i, i + 1)
            alone = backbone.add_noise(clean[row], noise, sigma)
            torch.testing.assert_close(noisy[row], alone)
            torch.testing.assert_close(target[row], backbone.target(clean[row], noise, sigma))
            expected = backbone.predict(alone, sigma, text[row])
            torch.testing.assert_close(together[row], expected, rtol=1e-3, atol=1e-4)
    assert together.shape == target.shape


def test_features_of_clips_together_are_those_of_each_alone(backbone, standard, name):
    clips = []
    for seed, caption in enumerate((CAPTION, "it spins")):
        video = pixels(standard, seed)
        text = backbone.encode_text(caption).after(backbone.encode_image(video))
        latents = backbone.encode_video(video)
        weights = torch.rand(latents.shape[1:], generator=torch.Generator().manual_seed(seed))
        clips.append(ClipInputs(latents, text, weights, standard.frames))
    objective = Objective((1000 * SIGMA,), NOISE_SEED)
    featurizer = Featurizer(backbone, PROJECTION, objective, batch=2)
    with featurizer.ready():
        together = featurizer.features(clips)
    alone = features(backbone, clips, mask=True, frame_normalize=True)
    assert featurizer.batch == (2 if name in IN_ONE_PASS else 1)
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one.vector, other.vector, rtol=1e-3, atol=1e-4)


def test_layers_that_come_and_go_give_the_same_features(backbone, folder, standard):
    clip = (*inputs(backbone, standard), None, standard.frames)
    whole = features(backbone, [clip])[0]
    sparing = load_backbone(folder, device="cpu", placement=offloaded)
    assert len(list(_layers(sparing.transformer))) >= 2
    again = features(sparing, [clip], checkpointing=True)[0]
    assert again.loss == pytest.approx(whole.loss, rel=1e-5)
    torch.testing.assert_close(again.vector, whole.vector, rtol=1e-3, atol=1e-4)


def test_decoding_gives_the_clip_shape_back(backbone, standard, name):
    if name.startswith("cogvideox-1.5"):
        standard = ClipStandard(9, standard.fps, standard.height, standard.width)
    latents = backbone.encode_video(pixels(standard))
    assert backbone.decode_latents(latents).shape == pixels(standard).shape


def test_a_caption_that_is_too_long_is_cut_and_said_so(backbone, caplog):
    with caplog.at_level(logging.WARNING, "motive"):
        text = backbone.encode_text("ball " * 1200 + "vanishes")
    assert "cut: " in caplog.text
    assert len(text.tokens) <= text.length


def test_another_caption_gives_another_matrix(backbone):
    first, second = (backbone.encode_text(c).padded() for c in ("a red ball", "a blue cube"))
    assert first.shape == second.shape
    assert not torch.equal(first, second)


def test_a_shape_that_the_vae_cannot_take_names_the_nearest(backbone, standard):
    wrong = ClipStandard(standard.frames + 1, 16, standard.height + 1, standard.width)
    words = f"nearest is {standard.frames} frames of {standard.width}x{standard.height}"
    with pytest.raises(UsageError, match=words):
        backbone.check_standard(wrong)


def test_a_folder_missing_a_component_is_refused_in_one_line(backbone, folder, tmp_path):
    for part in backbone.components:
        copy = tmp_path / part
        copy.mkdir()
        for entry in folder.iterdir():
            if entry.name != part:
                (copy / entry.name).symlink_to(entry)
        with pytest.raises(ModelError, match=f"no {part}/ folder") as caught:
            load_backbone(copy, device="cpu")
        assert "\n" not in str(caught.value)


def test_a_configuration_of_another_family_is_refused_in_one_line(folder, backbone, tmp_path):
    for entry in folder.iterdir():
        if entry.name != "vae":
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="not that of a") as caught:
        load_backbone(tmp_path, device="cpu")
    assert "\n" not in str(caught.value)


def test_the_fingerprint_digests_every_component(backbone):
    found = backbone.fingerprint()
    assert set(backbone.components) <= set(found)
    assert found["family"] == backbone.family
    assert json.dumps(found)


def test_every_pipeline_class_belongs_to_one_family():
    assert sum(len(family.pipelines) for family in FAMILIES) == len(PIPELINES)
    import diffusers

    assert all(hasattr(diffusers, pipeline) for pipeline in PIPELINES)


def test_an_unknown_pipeline_class_says_what_is_supported_and_how_to_add_one(tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(ModelError, match=r"FluxPipeline.*LTXPipeline.*Adding a family"):
        load_backbone(tmp_path)


# -- one family's own -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    return save_tiny("wan-t2v-a14b", tmp_path_factory.mktemp("experts"))


def test_the_timestep_decides_which_expert_is_attributed(experts):
    low, high = (load_backbone(experts, device="cpu", sigma=sigma) for sigma in (0.8749, 0.875))
    assert (low.expert, high.expert) == ("transformer_2", "transformer")
    assert load_backbone(experts, device="cpu").expert == "transformer_2"
    assert low.fingerprint()["expert"] == "transformer_2 (low noise, boundary 0.875)"
    assert high.fingerprint()["expert"] == "transformer (high noise, boundary 0.875)"
    assert "transformer" not in low.fingerprint()


def test_a_timestep_of_the_other_expert_is_refused(experts):
    backbone = load_backbone(experts, device="cpu", sigma=0.5)
    with pytest.raises(UsageError, match=r"timestep 900: belongs to the other expert.*875"):
        backbone.predict(torch.randn(1, 16, 2, 4, 4), 0.9, torch.randn(1, 8, 32))


IMAGE = [name for name in TINY if "-i2v" in name]


@pytest.mark.parametrize("image", IMAGE)
def test_an_image_model_says_once_that_it_uses_the_first_frame(image, tmp_path, caplog):
    backbone = load_backbone(save_tiny(image, tmp_path), device="cpu")
    for seed in (0, 1):
        backbone.encode_video(pixels(TINY[image].standard, seed))
    assert caplog.text.count("own first frame") == 1
    assert "I2V" in backbone.family


def test_learned_positions_take_their_own_shape_only(tmp_path):
    backbone = load_backbone(save_tiny("cogvideox-i2v", tmp_path), device="cpu")
    backbone.check_standard(TINY["cogvideox-i2v"].standard)
    with pytest.raises(UsageError, match=r"64x48.*positions and takes 9 frames of 48x32"):
        backbone.check_standard(ClipStandard(9, 16, 48, 64))
    with pytest.raises(UsageError, match=r"5 frames.*positions and takes 9 frames of 48x32"):
        backbone.check_standard(ClipStandard(5, 16, 32, 48))


def test_cosmos_says_that_it_needs_torchvision(tmp_path, monkeypatch):
    from diffusers.models.transformers import transformer_cosmos

    folder = save_tiny("cosmos-2.5", tmp_path)
    monkeypatch.delattr(transformer_cosmos, "transforms")
    with pytest.raises(ModelError, match="pip install torchvision"):
        load_backbone(folder, device="cpu")


def test_an_odd_number_of_latent_frames_is_taken_by_cogvideox_15(tmp_path):
    backbone = load_backbone(save_tiny("cogvideox-1.5", tmp_path), device="cpu")
    latents, text = inputs(backbone, ClipStandard(9, 16, 32, 48))
    assert features(backbone, [(latents, text, None, 9)])[0].loss > 0

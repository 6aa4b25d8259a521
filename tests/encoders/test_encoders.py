"""Tiny networks with random weights: right calls, right errors, no torchvision."""

import json
import sys

import pytest
import torch
import transformers

from motive.encoders import open_image_encoder, open_video_encoder
from motive.errors import ModelError
from tiny_encoders import tiny_clip, tiny_dino, tiny_vjepa

FRAMES = torch.randint(0, 256, (5, 40, 56, 3), dtype=torch.uint8, generator=torch.manual_seed(0))


@pytest.fixture(scope="session")
def dino(tmp_path_factory):
    return tiny_dino(tmp_path_factory.mktemp("dino"))


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="session")
def vjepa(tmp_path_factory):
    return tiny_vjepa(tmp_path_factory.mktemp("vjepa"))


def test_dino_gives_the_class_token_of_the_whole_frame(dino):
    encoder = open_image_encoder(str(dino), "cpu")
    found = encoder(FRAMES)
    assert found.shape == (5, 16)
    model = transformers.ViTModel.from_pretrained(dino, add_pooling_layer=False).eval()
    images = encoder.preprocessing(FRAMES)
    assert images.shape == (5, 3, 224, 313)  # not cropped
    # DINO's own rule: 7 x 9 patches of 32, interpolated to 7.1 x 9.1 of 7 x 7 positions.
    positions = model.embeddings.position_embeddings.detach()
    grid = positions[:, 1:].reshape(1, 7, 7, 16).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(
        grid, scale_factor=((224 // 32 + 0.1) / 7, (313 // 32 + 0.1) / 7), mode="bicubic"
    )
    assert grid.shape == (1, 16, 7, 9)
    grid = grid.permute(0, 2, 3, 1).reshape(1, 63, 16)
    model.embeddings.interpolate_pos_encoding = lambda *_: torch.cat([positions[:, :1], grid], 1)
    with torch.inference_mode():
        known = model(images, interpolate_pos_encoding=True).last_hidden_state[:, 0]
    assert torch.allclose(found, known, atol=1e-5)


def test_dinos_positions_are_near_those_of_transformers_and_equal_on_squares(dino):
    encoder = open_image_encoder(str(dino), "cpu")
    model = transformers.ViTModel.from_pretrained(dino, add_pooling_layer=False).eval()
    for frames, most in ((FRAMES, 0.1), (FRAMES[:, :40, :40], 1e-5)):
        images = encoder.preprocessing(frames)
        with torch.inference_mode():
            known = model(images, interpolate_pos_encoding=True).last_hidden_state[:, 0]
        assert (encoder(frames) - known).abs().max() < most


def test_clip_gives_the_projected_embedding_of_the_central_square(clip):
    encoder = open_image_encoder(str(clip), "cpu")
    assert encoder(FRAMES).shape == (5, 8)
    assert encoder.preprocessing(FRAMES).shape == (5, 3, 224, 224)


def test_features_do_not_depend_on_how_frames_are_batched(clip):
    encoder = open_image_encoder(str(clip), "cpu")
    one_by_one = torch.cat([encoder(FRAMES[i : i + 1]) for i in range(5)])
    assert torch.allclose(encoder(FRAMES), one_by_one, atol=1e-5)


def test_a_vjepa_vector_is_the_mean_of_the_encoders_tokens(vjepa):
    encoder = open_video_encoder(str(vjepa), "cpu")
    found = encoder(FRAMES)
    assert found.shape == (16,)
    model = transformers.VJEPA2Model.from_pretrained(vjepa).eval()
    from motive.encoders import Preprocessing

    video = Preprocessing(36, 32, antialias=True)(FRAMES[[0, 1, 2, 3, 4, 4]])[None]
    with torch.inference_mode():
        known = model(video, skip_predictor=True).last_hidden_state[0].mean(0)
    assert torch.allclose(found, known, atol=1e-5)


def test_vjepa_sees_time_and_the_mean_of_frames_does_not(vjepa, clip):
    backwards = FRAMES.flip(0)
    temporal, blind = (open_video_encoder(str(folder), "cpu") for folder in (vjepa, clip))
    assert not torch.allclose(temporal(FRAMES), temporal(backwards), atol=1e-4)
    assert torch.allclose(blind(FRAMES), blind(backwards), atol=1e-5)


def test_settings_name_the_weights(dino, clip):
    first, second = (open_image_encoder(str(f)).settings for f in (dino, clip))
    assert first != second
    assert json.loads(json.dumps(first))["weights"] == first["weights"]


@pytest.mark.parametrize("name", ["no such folder", "a/b/c"])
def test_a_name_that_is_neither_folder_nor_hub_id_is_one_line(name):
    with pytest.raises(ModelError, match="no such folder") as caught:
        open_image_encoder(name)
    assert "\n" not in str(caught.value)


def test_weights_of_another_architecture_are_refused_not_drawn_at_random(vjepa, dino, tmp_path):
    with pytest.raises(ModelError, match="vjepa2"):
        open_image_encoder(str(vjepa))
    config = json.loads((dino / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    (tmp_path / "model.safetensors").write_bytes((dino / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="missing"):
        open_image_encoder(str(tmp_path), "cpu")(FRAMES)


def test_nothing_here_imports_torchvision(dino):
    open_image_encoder(str(dino), "cpu")(FRAMES)
    assert "torchvision" not in sys.modules

"""Model folders that are broken in one place: one line says which, before any work is done."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from motive.backbones import load_backbone
from motive.errors import ModelError
from tiny_families import TINY, save_tiny

INDEX, SCHEDULER = "model_index.json", "scheduler/scheduler_config.json"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def of(name):
        if name not in made:
            made[name] = save_tiny(name, tmp_path_factory.mktemp("whole") / name)
        return made[name]

    return of


@pytest.fixture
def copy(folders, tmp_path):
    return lambda name: shutil.copytree(folders(name), tmp_path / "model")


def json_with(path, **changes):
    def damage(folder):
        stored = {**json.loads((folder / path).read_text()), **changes}
        kept = {key: value for key, value in stored.items() if value is not ...}
        (folder / path).write_text(json.dumps(kept))

    return damage


def written(path, data):
    return lambda folder: (folder / path).write_bytes(data)


def cut(part):
    def damage(folder):
        path = next((folder / part).glob("*.safetensors"))
        path.write_bytes(path.read_bytes()[:-100])

    return damage


def in_parts_of_which_one_is_missing(folder):
    path = next((folder / "transformer").glob("*.safetensors"))
    path.unlink()
    parts = {"weight_map": {"proj_in.weight": "part-2.safetensors"}}
    path.with_suffix(".safetensors.index.json").write_text(json.dumps(parts))


CONFIG, VAE = "transformer/config.json", "vae/config.json"
BROKEN = {
    "class-of-a-list": ("ltx", json_with(INDEX, _class_name=["LTXPipeline"]), "names no pipeline"),
    "class-missing": ("ltx", json_with(INDEX, _class_name=...), "names no pipeline class"),
    "index-binary": ("ltx", written(INDEX, b"\xff\xfe"), "cannot be read as JSON"),
    "index-deep": ("ltx", written(INDEX, b"[" * 100_000), "cannot be read as JSON"),
    "index-list": ("ltx", written(INDEX, b"[]"), "expected a JSON object"),
    "component-missing": ("ltx", json_with(INDEX, vae=...), "no vae in model_index.json"),
    "component-null": ("ltx", json_with(INDEX, vae=[None, None]), "no vae in model_index.json"),
    "component-text": ("ltx", json_with(INDEX, vae="AutoencoderKL"), "as vae and not the library"),
    "expert-number": ("wan-t2v-a14b", json_with(INDEX, transformer_2=3), "3 as transformer_2"),
    "boundary-text": ("wan-t2v-a14b", json_with(INDEX, boundary_ratio="high"), "boundary_ratio"),
    "boundary-large": ("wan-t2v-a14b", json_with(INDEX, boundary_ratio=875), "boundary_ratio"),
    "weights-cut": ("ltx", cut("transformer"), "transformer.*cannot be read"),
    "weights-empty": (
        "ltx", written("vae/diffusion_pytorch_model.safetensors", b""), "vae.*cannot be read"
    ),
    "text-encoder-cut": ("ltx", cut("text_encoder"), "text_encoder.*cannot be read"),
    "part-missing": ("ltx", in_parts_of_which_one_is_missing, "part-2.*cannot be read"),
    "patch-zero": ("ltx", json_with(CONFIG, patch_size=0), "not that of a LTX-Video model"),
    "patch-short": ("wan-t2v", json_with(CONFIG, patch_size=[2, 2]), "not that of a Wan 2.1"),
    "channels": ("ltx", json_with(CONFIG, in_channels=12), "takes 12 channels and not the 8"),
    "image-model-as-text-model": (
        "wan-i2v", json_with(INDEX, _class_name="WanPipeline"), "36 channels and not the 16.*class"
    ),
    "text-model-as-image-model": (
        "cogvideox-2b", json_with(INDEX, _class_name="CogVideoXImageToVideoPipeline"),
        "4 channels and not the 8",
    ),
    "means-of-another-vae": ("wan-t2v", json_with(VAE, latents_mean=[0.0] * 3), "not that of a"),
    "prediction": (
        "cogvideox-2b", json_with(SCHEDULER, prediction_type="epsilon"), "prediction_type epsilon"
    ),
    "first-and-last-frame": ("wan-i2v", json_with(CONFIG, pos_embed_seq_len=34), "FLF2V"),
    "standard-text": ("ltx", written("motive.json", b'{"frames": "x"}'), "motive.json"),
    "standard-negative": (
        "ltx", written("motive.json", b'{"frames": -3, "fps": 1, "height": 32, "width": 32}'),
        "motive.json: frames=-3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_refused_in_one_line(case, copy):
    name, damage, words = BROKEN[case]
    folder = copy(name)
    damage(folder)
    with pytest.raises(ModelError, match=words) as caught:
        load_backbone(folder, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("library", ["diffusers", "os"])
def test_a_class_that_is_not_installed_is_refused(library, copy):
    folder = copy("ltx")
    json_with(INDEX, transformer=[library, "system"])(folder)
    with pytest.raises(ModelError, match=f"transformer is {library}.system, which the installed"):
        load_backbone(folder, device="cpu").parameter_count()


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_a_tensor_that_is_missing_is_never_drawn_at_random(part, copy):
    folder = copy("ltx")
    path = next((folder / part).glob("*.safetensors"))
    tensors = load_file(path)
    lost = min(tensors)
    del tensors[lost]
    save_file(tensors, path, {"format": "pt"})
    backbone = load_backbone(folder, device="cpu")
    with pytest.raises(ModelError, match=f"{part}: no tensor {lost} in it"):
        backbone.transformer if part == "transformer" else backbone.component(part, torch.float32)


def test_a_skyreels_model_that_wants_the_frame_rate_is_told_it(tmp_path):
    import diffusers

    folder = save_tiny("skyreels-v2", tmp_path / "model")
    json_with(CONFIG, inject_sample_info=True)(folder)
    config = json.loads((folder / CONFIG).read_text())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = diffusers.SkyReelsV2Transformer3DModel.from_config(config).eval()
    torch.nn.init.normal_(model.proj_out.weight, std=0.1)
    model.save_pretrained(folder / "transformer")
    backbone = load_backbone(folder, device="cpu")
    noisy, text = torch.randn(2, 16, *TINY["skyreels-v2"].grid), torch.randn(2, 512, 32)
    with torch.no_grad():
        found = backbone.predict(noisy, 0.5, text)
        # As the diffusion forcing pipeline calls it, with every frame at the same level.
        expected = [
            model(
                noisy[i : i + 1], torch.full((1, noisy.shape[2]), 500.0), text[i : i + 1], fps=[1],
                enable_diffusion_forcing=True, return_dict=False,
            )[0]
            for i in range(2)
        ]  # fmt: skip
    torch.testing.assert_close(found, torch.cat(expected))

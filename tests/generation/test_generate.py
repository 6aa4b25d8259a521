"""Videos from prompts: the pipeline's own, each from its own noise, none of them made twice."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from motive.backbones import load_backbone
from motive.clips import ClipStandard, decode_clip, probe, read_dataset
from motive.errors import FingerprintError, ModelError, MotiveError, UsageError
from motive.generation import (
    GenerateConfig,
    Prompt,
    VideoSampler,
    file_names,
    generate,
    noise_seed,
)
from motive.processes import one_thread
from moving_squares import small_model

PROMPTS = ["a red ball rolls", "a blue cube spins", "it falls"]
SHAPE = ClipStandard(frames=5, fps=8, height=32, width=32)


@pytest.fixture(scope="module")
def model(tiny_wan, tmp_path_factory):
    return small_model(tiny_wan, tmp_path_factory.mktemp("generation") / "model")


@pytest.fixture
def make(model, tmp_path):
    def run(prompts=PROMPTS, out=None, on_progress=None, **options):
        config = GenerateConfig(
            **{"model": str(model), "steps": 2, "guidance": 2.0, "device": "cpu", **options}
        )
        with one_thread():
            return generate(config, prompts, out or tmp_path / "out", on_progress=on_progress)

    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.mp4")}


def test_each_prompt_and_seed_is_a_video_with_its_row(make, tmp_path):
    found = make([Prompt("a red ball rolls", 1, {"motion": "roll"}), PROMPTS[1]], seeds=(0, 5))
    assert (found.made, found.reused, len(found.videos)) == (4, 0, 4)
    clips = read_dataset(tmp_path / "out")
    assert [clip.caption for clip in clips] == [PROMPTS[0]] * 2 + [PROMPTS[1]] * 2
    assert [clip.label for clip in clips] == ["roll", "roll", None, None]
    assert [clip.extra["seed"] for clip in clips] == [0, 5, 0, 5]
    assert len({clip.extra["noise_seed"] for clip in clips}) == 4
    facts = probe(clips[0].source)
    assert (facts.codec, facts.fps, facts.frames) == ("h264", 8.0, 5)
    assert (facts.height, facts.width) == (32, 32)
    settings = json.loads((tmp_path / "out" / "generation.json").read_text())["settings"]
    assert settings["steps"] == 2
    assert settings["guidance"] == 2.0
    assert len(settings["weights"]["transformer"]) == 16


def test_a_video_is_what_plain_diffusers_makes_of_the_recorded_seed(model):
    """Anyone can make a video again from its row, without this package."""
    from diffusers import WanPipeline

    backbone = load_backbone(model, device="cpu")
    sampler = VideoSampler(backbone, SHAPE, steps=3, guidance=4.0, negative="it spins")
    seeds = [noise_seed(prompt, 0) for prompt in PROMPTS[:2]]
    ours = torch.stack(sampler.videos(PROMPTS[:2], seeds))
    pipeline = WanPipeline.from_pretrained(model)
    pipeline.set_progress_bar_config(disable=True)
    frames = pipeline(
        PROMPTS[:2], negative_prompt=["it spins"] * 2, height=32, width=32, num_frames=5,
        num_inference_steps=3, guidance_scale=4.0, max_sequence_length=32, output_type="np",
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
    ).frames  # fmt: skip
    assert np.abs(ours.numpy() - frames * 255).max() <= 0.51  # ours is rounded to 8 bits


def test_a_video_does_not_depend_on_what_is_made_with_it(model):
    backbone = load_backbone(model, device="cpu")
    sampler = VideoSampler(backbone, SHAPE, steps=2, guidance=3.0)
    together = sampler.videos(PROMPTS, [11, 12, 13])
    for number, prompt in enumerate(PROMPTS):
        (alone,) = sampler.videos([prompt], [11 + number])
        assert (alone.int() - together[number].int()).abs().max() <= 1
    (other,) = sampler.videos(PROMPTS[:1], [99])
    assert (other.int() - together[0].int()).abs().max() > 5


def test_defaults_are_the_pipelines_own(model):
    backbone = load_backbone(model, device="cpu")
    sampler = VideoSampler(backbone, backbone.standard)
    assert (sampler.steps, sampler.guidance) == (50, 5.0)
    assert sampler.settings()["pipeline"] == "WanPipeline"


def test_noise_differs_between_prompts_and_seeds_and_is_pinned():
    found = {noise_seed(prompt, seed) for prompt in PROMPTS for seed in range(5)}
    assert len(found) == 15
    assert all(0 <= seed < 2**63 for seed in found)
    assert noise_seed("a ball rolls", 0) == 3946466378785848009  # BLAKE2b of "0/a ball rolls"


def test_finished_videos_are_kept_and_new_ones_added(make, tmp_path):
    first = make(seeds=(0,))
    before = {name: os.stat(tmp_path / "out" / name).st_mtime_ns for name in contents(first.folder)}
    more = make([*PROMPTS, "one more"], seeds=(0, 1))
    assert (more.made, more.reused) == (5, 3)
    for name, time in before.items():
        assert os.stat(tmp_path / "out" / name).st_mtime_ns == time
    fewer = make(PROMPTS[:1])
    assert (fewer.made, fewer.reused, len(fewer.videos)) == (0, 1, 1)
    assert len(read_dataset(tmp_path / "out")) == 8


def test_an_interrupted_generation_equals_an_uninterrupted_one(make, tmp_path):
    def stop(stage, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(batch=1, on_progress=stop)
    with (tmp_path / "out" / "metadata.jsonl").open("ab") as file:
        file.write(b'{"prompt": "a blue cube sp')  # killed while it wrote a row
    found = make(batch=1)
    assert (found.made, found.reused) == (2, 1)
    whole = make(batch=1, out=tmp_path / "whole")
    assert contents(found.folder) == contents(whole.folder)
    rows = (tmp_path / "out" / "metadata.jsonl").read_bytes()
    assert rows == (tmp_path / "whole" / "metadata.jsonl").read_bytes()


_KILLED = """
import os, signal, sys
from motive.generation import GenerateConfig, generate

def progress(stage, done, total):
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

config = GenerateConfig(model=sys.argv[1], steps=2, guidance=2.0, device="cpu", batch=1)
generate(config, sys.argv[3:], sys.argv[2], on_progress=progress)
"""


def test_a_killed_generation_continues_where_it_was(make, model, tmp_path):
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(model), str(tmp_path / "out"), *PROMPTS],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    found = make(batch=1)
    assert (found.made, found.reused) == (1, 2)


def test_a_video_that_is_gone_is_made_again(make, tmp_path):
    found = make()
    name = found.videos[1]["file_name"]
    before = (tmp_path / "out" / name).read_bytes()
    (tmp_path / "out" / name).unlink()
    again = make(batch=3)
    assert (again.made, again.reused) == (1, 2)
    assert len(before) > 100


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"steps": 3}, "steps was 2 and is 3"),
        ({"guidance": 1.0}, "guidance was 2.0 and is 1.0"),
        ({"negative": "blur"}, 'negative was "" and is "blur"'),
        ({"frames": 9}, "standard.frames was 5 and is 9"),
        ({"naming": "vbench"}, "naming was"),
        ({"dtype": "bfloat16"}, "weights.dtype was"),
    ],
)
def test_videos_of_other_settings_are_not_mixed(make, options, field):
    make(PROMPTS[:1])
    with pytest.raises(FingerprintError, match=field):
        make(PROMPTS[:1], **options)


def test_file_names_are_safe_unique_and_stable():
    prompts = [
        Prompt(text, row) for row, text in enumerate(["A/B: c?", "a b c", "滑る", "x" * 999], 1)
    ]
    names = list(file_names(prompts, (0, 7), "prompt").values())
    assert len(set(names)) == 8
    assert all(len(name) < 100 and name.isascii() and "/" not in name for name in names)
    assert names[:2] == list(file_names(prompts[:1], (0, 7), "prompt").values())


def test_vbench_names_are_the_prompt_and_the_index(make, tmp_path):
    make(PROMPTS[:1], naming="vbench", seeds=(3, 4))
    assert set(contents(tmp_path / "out")) == {"a red ball rolls-0.mp4", "a red ball rolls-1.mp4"}
    with pytest.raises(UsageError, match="was made with seed 3 and is now to be made with seed 9"):
        make(PROMPTS[:1], naming="vbench", seeds=(9,))
    for prompt, reason in (("a/b", "character '/'"), ("x" * 300, "its 306 bytes")):
        with pytest.raises(UsageError, match=reason):
            make([prompt], naming="vbench", out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_adapters_change_the_videos_and_are_named_in_the_settings(make, model, tmp_path):
    pytest.importorskip("peft")
    from motive.backbones.lora import add_lora, save_lora

    backbone = load_backbone(model, device="cpu")
    with torch.no_grad():
        for parameter in add_lora(backbone, 2, seed=0).values():
            parameter.add_(0.3)
    save_lora(backbone, tmp_path / "lora")
    plain = make(out=tmp_path / "plain")
    tuned = make(out=tmp_path / "tuned", lora=str(tmp_path / "lora"))
    assert contents(plain.folder) != contents(tuned.folder)
    settings = json.loads((tuned.folder / "generation.json").read_text())["settings"]
    assert len(settings["lora"]) == 16
    with pytest.raises(FingerprintError, match="lora was"):
        make(out=tmp_path / "tuned")


@pytest.mark.parametrize("kind", ["missing", "empty folder", "no adapters", "other model", "torn"])
def test_adapters_that_do_not_fit_are_one_line(make, tmp_path, kind):
    pytest.importorskip("peft")
    from safetensors.torch import save_file

    path, match = tmp_path / "lora.safetensors", "cannot be read as adapters|holds no adapters"
    if kind == "missing":
        match = "no such file"
    elif kind == "empty folder":
        path, match = tmp_path / "empty", "no pytorch_lora_weights.safetensors"
        path.mkdir()
    elif kind == "no adapters":
        save_file({"transformer.blocks.0.weight": torch.ones(2, 2)}, path)
    elif kind == "other model":
        key = "transformer.blocks.0.attn1.to_q"
        tensors = {
            f"{key}.lora_A.weight": torch.ones(2, 99),
            f"{key}.lora_B.weight": torch.ones(24, 2),
        }
        save_file(tensors, path)
        match = r"another architecture: .*attn1\.to_q"
    else:
        path.write_bytes(b"nothing")
    with pytest.raises(ModelError, match=match) as caught:
        make(lora=str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"seeds": ()}, "--seeds none"),
        ({"seeds": (1, 1)}, "--seeds 1,1"),
        ({"seeds": (-1,)}, "--seeds -1"),
        ({"batch": 0}, "--batch 0"),
        ({"steps": 0}, "--steps 0"),
        ({"guidance": 0.5}, "--guidance 0.5"),
        ({"naming": "mine"}, "--naming mine"),
        ({"frames": 6}, "the nearest is 5"),
        ({"dtype": "int8"}, "choose one of float32"),
    ],
)
def test_impossible_options_are_refused(make, options, match):
    with pytest.raises(UsageError, match=match):
        make(**options)


def test_a_folder_with_something_else_is_left_alone(make, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metadata.jsonl").write_text('{"video": "a.mp4"}\n')
    with pytest.raises(UsageError, match="holds something else"):
        make()
    (tmp_path / "out" / "generation.json").write_text("{}")
    with pytest.raises(MotiveError, match="cannot be read"):
        make()


def test_generated_videos_are_decoded_as_they_were_made(make, model):
    found = make(PROMPTS[:1])
    backbone = load_backbone(model, device="cpu")
    sampler = VideoSampler(backbone, SHAPE, steps=2, guidance=2.0)
    (made,) = sampler.videos(PROMPTS[:1], [found.videos[0]["noise_seed"]])
    (clip,) = read_dataset(found.folder)
    stored = decode_clip(clip, SHAPE).pixels
    assert (stored.float() - made.float()).abs().mean() < 12  # H.264 with halved colour

"""A whole fine-tuning: resumed bit for bit, saved so that it loads anywhere, honest about clips."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from interrupting import Interrupt
from motive.clips import Clip, read_dataset
from motive.errors import DatasetError, FingerprintError, ModelError, MotiveError, UsageError
from motive.finetuning import finetune
from motive.finetuning.checkpoints import read_checkpoint
from moving_squares import small_model, square_video
from tiny_wan import save_tiny_wan

PROMPTS = ["square number 3", "square number 4"]


def watched(world, out, **options):
    return world.train(
        out,
        held_out=world.held_out,
        samples=PROMPTS,
        sample_steps=2,
        sample_every=2,
        held_out_every=1,
        ema=0.9,
        **options,
    )


@pytest.fixture(scope="module")
def whole(world):
    """Four updates without interruption."""
    return watched(world, world.root / "whole")


def test_an_interrupted_training_equals_an_uninterrupted_one(world, whole, tmp_path, tuned_bytes):
    for step in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            watched(world, tmp_path, checkpoint_every=1, on_progress=Interrupt(step, "training"))
    assert read_checkpoint(tmp_path / "checkpoints", whole.record["settings"]).step == 2
    tuned = watched(world, tmp_path, checkpoint_every=1)
    assert (tuned.resumed_at, tuned.steps) == (2, 4)
    assert tuned_bytes(tuned) == tuned_bytes(whole)
    ours, theirs = (dict(one.record["curves"]) for one in (tuned, whole))
    assert ours.pop("seconds") > 0
    assert theirs.pop("seconds") > 0
    assert ours == theirs
    for step, folder in ours["samples"]:
        assert len(list((tmp_path / folder).glob("*.mp4"))) == len(PROMPTS), step


_KILLED = """
import os, signal, sys
from pathlib import Path
from motive.clips import read_dataset
from motive.finetuning import FinetuneConfig, finetune
import torch
torch.set_num_threads(1)

def progress(stage, done, total):
    if stage == "training" and done == 3:
        os.kill(os.getpid(), signal.SIGKILL)

model, videos, cache, out = map(Path, sys.argv[1:])
config = FinetuneConfig(
    model=str(model), learning_rate=1e-3, batch=2, steps=4, device="cpu", checkpoint_every=1
)
finetune(config, read_dataset(videos), out, cache=cache, on_progress=progress)
"""


def test_a_killed_training_continues_to_the_same_bits(world, tmp_path, tuned_bytes):
    arguments = [world.model, world.videos, world.cache, tmp_path / "out"]
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    tuned = world.train(tmp_path / "out", checkpoint_every=1)
    assert tuned.resumed_at == 2
    assert tuned_bytes(tuned) == tuned_bytes(world.train(tmp_path / "whole"))


def test_a_finished_training_is_found_done(world, whole):
    again = watched(world, whole.out, on_progress=(seen := Interrupt(99, "training")))
    assert again.resumed_at == again.steps == 4
    assert "training" not in seen.stages
    assert again.record == whole.record


def test_a_training_can_be_made_longer(world, tmp_path, tuned_bytes):
    first = world.train(tmp_path / "a", steps=2)
    longer = world.train(tmp_path / "a", steps=3)
    assert longer.resumed_at == 2
    assert tuned_bytes(longer) != tuned_bytes(first) or first.out == longer.out
    assert tuned_bytes(longer) == tuned_bytes(world.train(tmp_path / "b", steps=3))
    with pytest.raises(UsageError, match="at update 3 already"):
        world.train(tmp_path / "a", steps=1)
    gone = world.train(tmp_path / "c", steps=1, keep_checkpoint=False)
    assert not (gone.out / "checkpoints").exists()
    with pytest.raises(UsageError, match="checkpoint was not kept"):
        world.train(tmp_path / "c", steps=2)


def test_the_number_of_updates_and_the_result_depend_on_the_set_alone(world, tmp_path, tuned_bytes):
    clips = world.clips
    some = world.train(tmp_path / "a", data=clips[:2], steps=3)
    same = world.train(tmp_path / "b", data=clips[1::-1], steps=3)
    assert tuned_bytes(some) == tuned_bytes(same)
    assert len(some.record["curves"]["losses"]) == 3
    other = world.train(tmp_path / "c", data=clips[:3], steps=3)
    assert len(other.record["curves"]["losses"]) == 3
    assert tuned_bytes(some) != tuned_bytes(other)


def test_the_pipeline_folder_loads_in_diffusers_and_generates(world, whole):
    from diffusers import WanPipeline

    moved = shutil.copytree(whole.pipeline, world.root / "moved")
    pipeline = WanPipeline.from_pretrained(moved)
    pipeline.set_progress_bar_config(disable=True)
    frames = pipeline(
        "a red ball", height=32, width=32, num_frames=5, num_inference_steps=2, output_type="np",
        max_sequence_length=32,
    ).frames  # fmt: skip
    assert frames.shape == (1, 5, 32, 32, 3)
    base = load_file(world.model / "transformer/diffusion_pytorch_model.safetensors")
    tuned = pipeline.transformer.state_dict()
    assert base.keys() == tuned.keys()
    assert any(not torch.equal(base[name].float(), tuned[name]) for name in base)
    assert json.loads((moved / "motive.json").read_text())["frames"] == 5
    assert "Fine-tuned from" in (moved / "README.md").read_text()


def test_samples_of_an_interrupted_training_are_made_anew_in_another_way(world, tmp_path):
    options = {"samples": PROMPTS, "sample_every": 1, "steps": 2}
    with pytest.raises(KeyboardInterrupt):
        world.train(tmp_path, sample_steps=1, on_progress=Interrupt(1, "training"), **options)
    tuned = world.train(tmp_path, sample_steps=2, **options)
    for _, folder in tuned.record["curves"]["samples"]:
        settings = json.loads((tmp_path / folder / "generation.json").read_text())["settings"]
        assert settings["steps"] == 2


def test_nothing_is_encoded_twice(world, tmp_path, monkeypatch):
    world.train(tmp_path / "a", steps=1)

    def decoded(*_args, **_kwargs):
        raise AssertionError("decoded again")

    monkeypatch.setattr("motive.backbones.encoding.decode_unchanged", decoded)
    world.train(tmp_path / "b", steps=1)


def test_curves_and_samples_are_on_a_page(world, whole):
    curves = whole.record["curves"]
    assert len(curves["losses"]) == 4
    assert [step for step, _ in curves["held_out"]] == [0, 1, 2, 3, 4]
    assert [step for step, _ in curves["samples"]] == [0, 2, 4]
    html = whole.page.read_text("utf-8")
    assert html.count("<polyline") == 2 + 5
    for step, folder in curves["samples"]:
        rows = read_dataset(whole.out / folder)
        assert [row.caption for row in rows] == PROMPTS
        for row in rows:
            assert f"{folder}/{Path(row.source).name}" in html, step
    assert "http" not in html.replace("http-equiv", "")


def test_held_out_clips_show_what_the_model_learnt(world, tmp_path):
    tuned = world.train(
        tmp_path, steps=12, learning_rate=5e-3, batch=6, held_out=world.videos, held_out_every=12
    )
    points = tuned.record["curves"]["held_out"]
    before, after = (sum(losses) for _, losses in (points[0], points[-1]))
    assert after < 0.95 * before


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"learning_rate": 1e-4}, "learning_rate was 0.001 and is 0.0001"),
        ({"batch": 3}, "batch was 2 and is 3"),
        ({"seed": 7}, "seed was 0 and is 7"),
        ({"ema": 0.5}, "ema was absent and is 0.5"),
        ({"shift": 3.0, "weighting": "none"}, "weighting was"),
    ],
)
def test_another_setting_is_refused_by_name(world, tmp_path_factory, options, field):
    out = world.root / "settled"
    world.train(out, steps=2)
    with pytest.raises(FingerprintError, match=field):
        world.train(out, steps=3, **options)
    with pytest.raises(FingerprintError, match=field):
        world.train(out, steps=2, **options)


def test_other_clips_and_another_model_are_refused_by_name(world, tmp_path):
    out = world.root / "settled"
    world.train(out, steps=2)
    with pytest.raises(FingerprintError, match="data was"):
        world.train(out, steps=3, data=world.clips[:3])
    other = small_model(save_tiny_wan(tmp_path / "wan", seed=1), tmp_path / "model")
    config = replace(world.config(steps=3), model=str(other))
    with pytest.raises(FingerprintError, match=r"weights\.transformer was"):
        finetune(config, world.clips, out, cache=world.cache)


def test_a_checkpoint_of_another_architecture_is_refused(world, tmp_path):
    tuned = world.train(tmp_path / "a", steps=2)
    (checkpoint,) = (tuned.out / "checkpoints").iterdir()
    weights = load_file(checkpoint / "weights.safetensors")
    name = "proj_out.weight"
    weights[name] = weights[name][:, :-1].clone()
    save_file(weights, checkpoint / "weights.safetensors")
    with pytest.raises(ModelError, match=r"another architecture: proj_out\.weight is \(64, 24\)"):
        world.train(tmp_path / "a", steps=3)
    (checkpoint / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(MotiveError, match="damaged checkpoint"):
        world.train(tmp_path / "a", steps=3)


def test_leftovers_of_a_killed_checkpoint_do_no_harm(world, tmp_path):
    world.train(tmp_path / "a", steps=1)
    torn = tmp_path / "a" / "checkpoints" / ".step-000002.partial"
    torn.mkdir()
    (torn / "weights.safetensors").write_bytes(b"half")
    tuned = world.train(tmp_path / "a", steps=2)
    assert [path.name for path in (tuned.out / "checkpoints").iterdir()] == ["step-000002"]


def messy(world, folder):
    """Three good clips, one twin, and four that cannot be used."""
    good = world.clips[:3]
    short = square_video(folder / "short.mp4", 1, frames=3)
    (folder / "torn.mp4").write_bytes(b"nothing")
    shutil.copy(good[0].source, folder / "twin.mp4")
    return [
        *good,
        Clip(str(folder / "twin.mp4"), good[0].caption),
        Clip(str(folder / "missing.mp4"), "gone", row=5),
        Clip(str(short), "short", row=6),
        Clip(str(folder / "torn.mp4"), "torn", row=7),
        Clip("", "no path", row=8),
    ]


def test_unusable_clips_stop_the_training_and_are_named(world, tmp_path):
    with pytest.raises(DatasetError) as caught:
        world.train(tmp_path / "out", data=messy(world, tmp_path))
    text = str(caught.value)
    assert "4 of 7 clips cannot be trained on" in text
    assert "missing.mp4: file not found" in text
    assert "row 8" in text or "and 1 more" in text
    assert "--skip-unusable" in text
    assert "\n" not in text


def test_unusable_clips_are_listed_when_they_are_skipped(world, tmp_path, tuned_bytes):
    tuned = world.train(tmp_path / "out", data=messy(world, tmp_path), skip_unusable=True, steps=2)
    reasons = " ".join(entry["reason"] for entry in tuned.record["left_out"])
    assert len(tuned.record["left_out"]) == 4
    for word in ("missing.mp4", "short.mp4", "torn.mp4", "row 8"):
        assert word in reasons
    assert "too short" in reasons or "frames" in reasons
    assert [entry["source"] for entry in tuned.record["duplicates"]] == [str(tmp_path / "twin.mp4")]
    assert len(tuned.record["clips"]) == 3
    assert "missing.mp4" in tuned.page.read_text("utf-8")
    clean = world.train(tmp_path / "clean", data=world.clips[:3], steps=2)
    assert tuned_bytes(tuned) == tuned_bytes(clean)


@pytest.mark.parametrize(
    ("data", "match"),
    [([], "no clip to train on; choose at least one"), ([Clip("", row=1)], "no clip to train on")],
)
def test_an_empty_selection_is_refused(world, tmp_path, data, match):
    with pytest.raises(DatasetError, match=match):
        world.train(tmp_path / "out", data=data, skip_unusable=True)


def test_a_folder_with_something_else_is_left_alone(world, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match=r"holds something else \(thesis\.tex\)"):
        world.train(tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        world.train(tmp_path / "thesis.tex")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"steps": 0}, "--steps 0"),
        ({"batch": 0}, "--batch 0"),
        ({"learning_rate": 0.0}, "--lr 0"),
        ({"learning_rate": float("nan")}, "--lr nan"),
        ({"ema": 1.0}, "--ema 1"),
        ({"lora": 0}, "--lora 0"),
        ({"shift": 0.0}, "--shift 0"),
        ({"caption_dropout": 2.0}, "--caption-dropout"),
        ({"density": "cubic"}, "choose one of uniform"),
        ({"precision": "int4"}, "choose one of auto"),
        ({"clip_norm": -1.0}, "--clip-norm"),
        ({"frames": 6}, "nearest is 5"),
        ({"held_out_every": 0}, "--held-out-every 0"),
    ],
)
def test_impossible_options_are_refused(world, tmp_path, options, match):
    with pytest.raises(UsageError, match=match):
        world.train(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


_TOGETHER = """
import sys
from pathlib import Path
from motive.clips import Clip, read_dataset
from motive.finetuning import FinetuneConfig, finetune
import torch
torch.set_num_threads(1)

model, videos, cache, out = map(Path, sys.argv[1:])
config = FinetuneConfig(
    model=str(model), learning_rate=1e-3, batch=2, steps=3, device="cpu", skip_unusable=True
)
data = [*read_dataset(videos), Clip(str(model / "model_index.json"), "no video")]
tuned = finetune(config, data, out, cache=cache)
assert len(tuned.record["left_out"]) == 1, tuned.record["left_out"]
"""


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_passes(world, tmp_path):
    script = tmp_path / "together.py"
    script.write_text(_TOGETHER)
    places = [world.model, world.videos, tmp_path / "cache", tmp_path / "two"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2]
    done = subprocess.run(
        [*map(str, launch), str(script), *map(str, places)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    whole = world.train(tmp_path / "one", accumulate=2, steps=3)
    record = json.loads((tmp_path / "two" / "finetune.json").read_text())
    assert record["settings"]["processes"] == 2
    assert record["curves"]["losses"] == pytest.approx(whole.record["curves"]["losses"], rel=1e-5)
    one, two = (
        load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
        for folder in (whole.pipeline, tmp_path / "two" / "pipeline")
    )
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-5, rtol=1e-4)

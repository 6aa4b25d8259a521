"""Training wan-nano: resumable bit for bit, exported whole, bad input reported in one line."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from motive.clips import write_mp4
from motive.errors import DatasetError, ModelError, UsageError
from motive.zoo.nano_data import clip_shares, load_clips
from motive.zoo.nano_loop import StageOptions
from motive.zoo.nano_model import NanoConfig
from motive.zoo.nano_train import train_wan_nano

TINY = NanoConfig(
    vae_width=4, text_dim=8, text_layers=1, heads=2, head_dim=12, layers=1, ffn_dim=16
)
OPTIONS = {
    "vae_steps": 3,
    "text_steps": 3,
    "steps": 3,
    "batch_size": 2,
    "config": TINY,
    "checkpoint_seconds": 0.0,
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Three captioned clips of a square that moves, and their list."""
    folder = tmp_path_factory.mktemp("clips")
    rows = []
    for number, way in enumerate(["left", "right", "left"]):
        frames = np.full((17, 64, 64, 3), 40 * number + 60, np.uint8)
        for time in range(17):
            x = 8 + 2 * time if way == "right" else 40 - 2 * time
            frames[time, 24:40, x : x + 16] = (230, 60, 30)
        write_mp4(folder / f"{number}.mp4", frames, 16.0)
        rows.append(
            {
                "video": f"{number}.mp4",
                "prompt": f"a red square slides to the {way}",
                "motion": "slide" if number else "roll",
                "factors": {"colour": "red", "direction": way, "camera": "static"},
            }
        )
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def uninterrupted(clips, tmp_path_factory):
    seen = []
    out = tmp_path_factory.mktemp("whole") / "wan-nano"
    return train_wan_nano(clips, out, **OPTIONS, on_progress=seen.append), seen


def weights(folder):
    from diffusers import WanPipeline

    pipeline = WanPipeline.from_pretrained(folder, local_files_only=True)
    parts = (pipeline.transformer, pipeline.vae, pipeline.text_encoder)
    states = [part.state_dict() for part in parts]
    return pipeline, {f"{i}.{k}": v for i, state in enumerate(states) for k, v in state.items()}


def test_a_report_and_a_loadable_folder_come_out(uninterrupted):
    report, seen = uninterrupted
    pipeline, _ = weights(report.folder)
    assert (report.clips, report.vae_steps, report.decoder_steps, report.steps) == (3, 3, 3, 3)
    assert report.text_steps == 3
    assert report.frozen_text
    assert report.losses[-1][0] == 3
    assert all(math.isfinite(loss) for _, loss in report.losses + report.vae_losses)
    assert 0.1 < report.megabytes < 22
    assert {p.stage for p in seen} == {
        "clips",
        "vae",
        "decoder",
        "text",
        "latents",
        "transformer",
    }
    assert any(value != 0.0 for value in pipeline.vae.config.latents_mean)
    assert all(value > 0.0 for value in pipeline.vae.config.latents_std)
    card = (report.folder / "README.md").read_text()
    assert "license: apache-2.0" in card
    assert "3 captioned clips" in card
    assert not list(report.folder.parent.glob("*.new"))


def test_latent_statistics_make_the_latents_standard(uninterrupted, clips):
    pipeline, _ = weights(uninterrupted[0].folder)
    video = load_clips(clips).video(slice(None))
    both = torch.cat([video, video.flip(-1)])
    with torch.no_grad():
        mode = pipeline.vae.encode(both).latent_dist.mode()
    config = pipeline.vae.config
    shape = (1, -1, 1, 1, 1)
    latents = (mode - torch.tensor(config.latents_mean).view(shape)) / torch.tensor(
        config.latents_std
    ).view(shape)
    torch.testing.assert_close(latents.mean(dim=(0, 2, 3, 4)), torch.zeros(16), atol=1e-3, rtol=0)
    torch.testing.assert_close(latents.std(dim=(0, 2, 3, 4)), torch.ones(16), atol=1e-3, rtol=0)


@pytest.mark.parametrize("stage", ["vae", "decoder", "text", "transformer"])
def test_a_killed_run_continues_to_the_same_weights_bit_for_bit(
    clips, tmp_path, uninterrupted, stage
):
    def kill(progress):
        if progress.stage == stage and progress.step == 2:
            raise KeyboardInterrupt

    out = tmp_path / "wan-nano"
    with pytest.raises(KeyboardInterrupt):
        train_wan_nano(clips, out, **OPTIONS, on_progress=kill)
    assert (tmp_path / "wan-nano.work" / f"{stage}.pt").is_file()
    resumed = []
    torch.manual_seed(123)  # the caller's random state must not matter
    report = train_wan_nano(clips, out, **OPTIONS, on_progress=resumed.append)
    assert [p.step for p in resumed if p.stage == stage] == [2, 3]
    _, expected = weights(uninterrupted[0].folder)
    _, actual = weights(report.folder)
    assert expected.keys() == actual.keys()
    assert all(torch.equal(expected[key], actual[key]) for key in expected)
    assert report.losses == uninterrupted[0].losses


def test_the_folder_is_usable_from_the_first_checkpoint_on(clips, tmp_path):
    def kill(progress):
        if progress.stage == "transformer" and progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_wan_nano(clips, tmp_path / "wan-nano", **OPTIONS, on_progress=kill)
    pipeline, _ = weights(tmp_path / "wan-nano")
    assert pipeline.transformer.config.num_layers == 1


def test_checkpoints_of_other_clips_or_options_are_refused(clips, tmp_path):
    out = tmp_path / "wan-nano"
    train_wan_nano(clips, out, **OPTIONS)
    with pytest.raises(UsageError, match="other clips or options"):
        train_wan_nano(clips, out, **{**OPTIONS, "seed": 1})
    with pytest.raises(UsageError, match="other clips or options"):
        train_wan_nano(clips, out, **{**OPTIONS, "steps": 4})


def test_a_folder_is_continued_from_with_its_encoders_untouched(clips, tmp_path, uninterrupted):
    start = uninterrupted[0].folder
    options = {**OPTIONS, "config": None, "start": start, "mixture": {"roll": 0.0}}
    report = train_wan_nano(clips, tmp_path / "more", **options)
    _, before = weights(start)
    _, after = weights(report.folder)
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"0"}  # the transformer alone
    assert (report.start, report.mixture) == (start.name, {"roll": 0.0})
    assert (report.vae_steps, report.text_steps, report.steps) == (0, 0, 3)
    card = (report.folder / "README.md").read_text()
    assert f"Continued from `{start.name}`" in card
    assert "roll 0" in card
    with pytest.raises(UsageError, match="other clips or options"):
        train_wan_nano(clips, tmp_path / "more", **{**options, "mixture": {"roll": 0.5}})
    with pytest.raises(UsageError, match="leave config out"):
        train_wan_nano(clips, tmp_path / "else", **{**options, "config": TINY})
    with pytest.raises(ModelError, match="cannot be continued from"):
        train_wan_nano(clips, tmp_path / "else", **{**options, "start": tmp_path})


def test_clips_without_known_facts_train_the_text_encoder_with_the_transformer(clips, tmp_path):
    rows = [json.loads(line) for line in (clips / "metadata.jsonl").read_text().splitlines()]
    plain = [{"video": str(clips / row["video"]), "prompt": row["prompt"]} for row in rows]
    listed = tmp_path / "list.jsonl"
    listed.write_text("".join(json.dumps(row) + "\n" for row in plain))
    report = train_wan_nano(listed, tmp_path / "wan-nano", **OPTIONS)
    assert (report.text_steps, report.frozen_text) == (0, False)
    assert load_clips(listed).motions == (None, None, None)


def test_a_mixture_draws_motions_by_their_weight(clips):
    data = load_clips(clips)
    assert data.motions == ("roll", "slide", "slide")
    assert clip_shares(data, None).tolist() == [1.0, 1.0, 1.0]
    assert clip_shares(data, {"slide": 0.25}).tolist() == [1.0, 0.25, 0.25]
    for mixture, match in (
        ({"fly": 1.0}, "'fly'; it has roll, slide"),
        ({"roll": -1.0}, "-1.0 of 'roll'"),
        ({"roll": math.nan}, "nan of 'roll'"),
        ({"roll": 0.0, "slide": 0.0}, "every clip has weight 0"),
    ):
        with pytest.raises(UsageError, match=match):
            clip_shares(data, mixture)


def test_unreadable_clips_are_counted_and_named(clips, tmp_path):
    rows = (clips / "metadata.jsonl").read_text()
    rows += json.dumps({"video": "missing.mp4", "prompt": "nothing"}) + "\n"
    (tmp_path / "metadata.jsonl").write_text(rows.replace('"video": "', f'"video": "{clips}/'))
    data = load_clips(tmp_path, tmp_path / "cache.npz")
    assert len(data) == 3
    assert len(data.unreadable) == 1
    assert "missing.mp4" in data.unreadable[0]


def test_cached_pixels_are_those_of_the_clips(clips, tmp_path):
    cache = tmp_path / "cache.npz"
    first = load_clips(clips, cache)
    stamp = cache.stat().st_mtime_ns
    second = load_clips(clips, cache)
    assert cache.stat().st_mtime_ns == stamp
    assert torch.equal(first.pixels, second.pixels)
    assert first.key == second.key


def test_a_data_set_without_readable_clips_is_an_error_with_the_reason(tmp_path):
    (tmp_path / "metadata.jsonl").write_text('{"video": "gone.mp4", "prompt": "x"}\n')
    with pytest.raises(DatasetError, match=r"none of its 1 clips.*gone\.mp4"):
        load_clips(tmp_path)


@pytest.mark.parametrize("name", ["vae_steps", "text_steps", "steps", "batch_size"])
def test_counts_below_one_are_refused(clips, tmp_path, name):
    with pytest.raises(UsageError, match=name):
        train_wan_nano(clips, tmp_path / "x", **{**OPTIONS, name: 0})


def test_unknown_devices_are_refused(clips, tmp_path):
    with pytest.raises(UsageError, match="choose cpu or cuda"):
        train_wan_nano(clips, tmp_path / "x", **OPTIONS, device="abacus")


def test_a_folder_of_something_else_is_never_replaced(clips, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not a model folder"):
        train_wan_nano(clips, tmp_path, **OPTIONS)
    assert (tmp_path / "thesis.txt").exists()


def test_the_rate_warms_up_and_decays_to_its_final_share():
    options = StageOptions(1000, warmup=100, final_rate=0.1)
    scales = [options.scale(step) for step in range(1000)]
    assert scales[0] == pytest.approx(0.01)
    assert max(scales) == pytest.approx(0.98, abs=0.03)
    assert scales[-1] == pytest.approx(0.1, abs=1e-4)
    assert all(later <= sooner for sooner, later in pairwise(scales[100:]))
    assert replace(options, steps=2).scale(0) == 1.0

"""Options about memory leave a run's features as they are."""

import dataclasses

import numpy as np
import pytest

from motive.backbones import WanBackbone
from motive.bench.clipwork import ClipWork, Setting
from motive.errors import UsageError
from motive.gradients import Objective
from motive.index.manifest import TRAIN
from motive.runs import Run, RunConfig, make_featurizer, open_backbone
from tiny_families import save_tiny


class Leader:
    """A process that would lead others."""

    leads = True


@pytest.mark.parametrize("option", ["offload", "checkpointing"])
def test_options_that_save_memory_do_not_change_features(config, videos, indexed, tmp_path, option):
    run = Run(tmp_path / "run", dataclasses.replace(config, batch=1, **{option: True}))
    run.index(videos)
    expected = Run(indexed).features(TRAIN).load()
    found = run.features(TRAIN).load(expected.ids)
    assert run.fingerprint == Run(indexed).fingerprint
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"batch": 2}, {"compile_blocks": True}, {"offload_activations": True}]
)
def test_a_sharded_model_takes_clips_one_by_one_and_as_it_is(config, options):
    changed = dataclasses.replace(config, **({"batch": 1} | options))
    with pytest.raises(UsageError, match="--shard takes one clip at a time"):
        make_featurizer(changed, open_backbone(config), Leader())


def test_the_noise_level_is_the_models_own_unless_asked_for(config, tmp_path, monkeypatch):
    assert Run(tmp_path, config).objective == Objective((751.0,))
    monkeypatch.setattr(WanBackbone, "sigma_fix", 0.834)
    assert Run(tmp_path, config).objective.timesteps == (834.0,)
    asked = Run(tmp_path, config.updated(timesteps=(751.0,)))
    assert asked.objective.timesteps == (751.0,)
    assert asked.fingerprint.digest != Run(tmp_path, config).fingerprint.digest


def test_the_expert_of_the_noise_level_is_opened_in_runs_and_in_the_bench(tmp_path):
    model = str(save_tiny("wan-t2v-a14b", tmp_path / "model"))
    for timesteps, expert in ((None, "transformer_2"), ((900.0,), "transformer")):
        config = RunConfig(model=model, timesteps=timesteps, device="cpu")
        assert Run(tmp_path, config).backbone.expert == expert
        assert ClipWork(Setting(config, tmp_path / "cache")).backbone.expert == expert


def test_timesteps_of_two_experts_are_refused_before_any_clip_is_encoded(tmp_path):
    folder = save_tiny("wan-t2v-a14b", tmp_path / "model")
    config = RunConfig(model=str(folder), device="cpu", timesteps=(500.0, 900.0))
    with pytest.raises(UsageError, match=r"timestep 500, 900: belongs to the other expert"):
        open_backbone(config)
    one_side = dataclasses.replace(config, timesteps=(875.0, 900.0))
    assert open_backbone(one_side).expert_text.startswith("transformer (high noise")

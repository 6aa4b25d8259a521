"""Options about memory leave a run's features as they are."""

import dataclasses

import numpy as np
import pytest

from motive.errors import UsageError
from motive.index.manifest import TRAIN
from motive.runs import Run, make_featurizer, open_backbone


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

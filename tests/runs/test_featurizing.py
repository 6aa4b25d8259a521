"""The stage of gradients: batches, errors of single clips, and clips that do not fit."""

import dataclasses

import numpy as np
import pytest
import torch

from motive.clips import read_dataset
from motive.errors import DatasetError, FingerprintError, UsageError
from motive.index.manifest import ERROR, TRAIN
from motive.runs import Run, RunConfig


def vectors(run):
    table = run.features(TRAIN).load()
    return dict(zip(table.ids, table.vectors, strict=True))


@pytest.mark.parametrize("batch", [None, 1, 4])
def test_the_batch_changes_rounding_and_neither_features_nor_fingerprint(
    config, videos, indexed, tmp_path, batch
):
    run = Run(tmp_path / "run", dataclasses.replace(config, batch=batch))
    assert run.index(videos).computed == 6
    expected = Run(indexed)
    assert run.fingerprint.digest == expected.fingerprint.digest
    for name, vector in vectors(expected).items():
        np.testing.assert_allclose(vectors(run)[name], vector, atol=1e-5)


def test_without_captions_they_do_not_change_the_features(config, videos, indexed, tmp_path):
    clip = next(c for c in read_dataset(videos) if c.source.endswith("square3.mp4"))
    silent = dataclasses.replace(config, captions=False)
    found = {}
    for name, options in (("silent", silent), ("told", config)):
        run = Run(tmp_path / name, options)
        run.index([clip, dataclasses.replace(clip, caption="something else")])
        found[name] = list(vectors(run).values())
    np.testing.assert_allclose(*found["silent"], atol=1e-6)
    assert float(found["told"][0] @ found["told"][1]) < 0.9999
    # Features made before there was a choice stay valid.
    assert "captions" not in Run(indexed).fingerprint.values
    assert Run(tmp_path / "silent").fingerprint.values["captions"] is False
    with pytest.raises(FingerprintError, match="captions"):
        Run(tmp_path / "told", silent).index([clip])


def test_one_clip_that_is_not_finite_is_an_error_row_and_its_batch_goes_on(
    config, videos, indexed, tmp_path, monkeypatch
):
    from motive.runs.prepare import Preparer

    whole, seen = Preparer.prepare, []

    def broken(self, clip):
        found = whole(self, clip)
        seen.append(clip.source)
        if clip.source == seen[0]:
            found.latents[0, 0, 0, 0] = float("nan")
        return found

    monkeypatch.setattr(Preparer, "prepare", broken)
    run = Run(tmp_path / "run", config)
    result = run.index(videos)
    assert result.computed == 5
    ((source, reason),) = result.errors
    assert source == seen[0]
    assert reason.startswith(f"{source}: gradient of ")
    for name, vector in vectors(run).items():
        np.testing.assert_allclose(vector, vectors(Run(indexed))[name], atol=1e-5)
    assert run.index(videos).computed == 0  # it is a property of the clip: not tried again


def test_clips_that_do_not_fit_into_memory_are_recorded_and_tried_again(
    config, videos, indexed, tmp_path, monkeypatch
):
    def predict(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    with monkeypatch.context() as patch:
        patch.setattr("motive.backbones.wan.WanBackbone.predict", predict)
        with pytest.raises(DatasetError, match=r"none of 6 is usable; first: .*out of memory"):
            Run(tmp_path / "run", config).index(videos)
    run = Run(tmp_path / "run")
    assert {record.status for record in run.manifest.records()} == {ERROR}
    assert run.index(videos).computed == 6
    np.testing.assert_equal(sorted(vectors(run)), sorted(vectors(Run(indexed))))


def test_a_batch_and_options_that_exclude_it_are_refused_before_any_work():
    with pytest.raises(UsageError, match=r"batch 4: checkpointing, .* one clip at a time"):
        RunConfig(batch=4, checkpointing=True)
    with pytest.raises(UsageError, match="batch 0: must be at least 1"):
        RunConfig(batch=0)
    assert RunConfig(checkpointing=True).one_by_one

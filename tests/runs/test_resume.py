"""What is computed stays computed, and nothing depends on order, history or interruption."""

import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import motive.runs.model as model_module
from interrupting import Interrupt
from motive.clips import clip as clip_module
from motive.clips import read_dataset
from motive.index.manifest import TRAIN
from motive.runs import Run
from moving_squares import square_video, square_videos


def features(run):
    table = run.features(TRAIN).load()
    return dict(zip(table.ids, table.vectors, strict=True))


def assert_same_features(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def forbid_model_work(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("model work on a run that is complete")

    monkeypatch.setattr(model_module, "Featurizer", refuse)
    for part in ("encode_video", "encode_text", "predict"):
        monkeypatch.setattr(f"motive.backbones.wan.WanBackbone.{part}", refuse)
    monkeypatch.setattr("motive.clips.decode.decode_clip", refuse)


def test_features_do_not_depend_on_clip_order_or_on_earlier_clips(
    config, videos, indexed, tmp_path
):
    expected = features(Run(indexed))
    clips = read_dataset(videos)
    run = Run(tmp_path / "run", config)
    run.index(clips[4:5])
    run.index(clips[::-1])
    assert_same_features(features(run), expected)
    alone = Run(tmp_path / "alone", config)
    alone.index(clips[2:3])
    (name,) = features(alone)
    np.testing.assert_array_equal(features(alone)[name], expected[name])


@pytest.mark.parametrize(
    ("stage", "after", "left"),
    [("preparing train clips", 3, 6), ("computing gradients", 2, 4), ("computing gradients", 6, 0)],
)
def test_an_interrupted_run_continues_where_it_stopped(
    config, videos, indexed, tmp_path, stage, after, left
):
    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path / "run", config, on_progress=Interrupt(after, stage)).index(videos)
    result = Run(tmp_path / "run").index(videos)
    assert (result.computed, result.reused) == (left, 6 - left)
    assert_same_features(features(Run(tmp_path / "run")), features(Run(indexed)))
    assert len(Run(tmp_path / "run").manifest.history()) == 6


def test_a_killed_process_loses_at_most_the_clips_in_hand(config, videos, indexed, tmp_path):
    code = """if True:
        import os, signal, sys
        from motive.runs import Run, RunConfig
        def die(stage, done, total):
            if stage == "computing gradients" and done == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        config = RunConfig(model=sys.argv[2], dim=64, block=4096, device="cpu", batch=2)
        run = Run(sys.argv[1], config, on_progress=die)
        run.index(sys.argv[3])
    """
    arguments = [str(tmp_path / "run"), config.model, str(videos)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    result = Run(tmp_path / "run").index(videos)
    assert (result.computed, result.reused) == (4, 2)
    assert_same_features(features(Run(tmp_path / "run")), features(Run(indexed)))


def test_a_second_identical_run_does_no_model_work(ranked, videos, queries, tmp_path, monkeypatch):
    run = Run(shutil.copytree(ranked, tmp_path / "run"))
    before = run.ranking().scores
    rows = len(run.manifest.history())
    forbid_model_work(monkeypatch)
    monkeypatch.setattr("motive.runs.entries.file_digest", None)  # nor are files read again
    result = run.index(videos)
    assert (result.computed, result.reused) == (0, 6)
    np.testing.assert_array_equal(run.rank(queries).scores, before)
    assert len(run.manifest.history()) == rows


def test_new_clips_are_added_to_what_is_there(config, indexed, videos, tmp_path):
    run = Run(shutil.copytree(indexed, tmp_path / "run"))
    more = square_videos(shutil.copytree(videos, tmp_path / "more"), (7,))
    result = run.index(more)
    assert (result.computed, result.reused, len(result.clips)) == (1, 6, 7)
    assert_same_features(
        {n: v for n, v in features(run).items() if n in features(Run(indexed))},
        features(Run(indexed)),
    )


def test_the_cache_may_be_deleted_between_any_two_stages(
    indexed, ranked, videos, queries, tmp_path
):
    run = Run(shutil.copytree(indexed, tmp_path / "run"))
    shutil.rmtree(run.folder / "cache")
    scores = run.rank(queries).scores
    np.testing.assert_array_equal(scores, Run(ranked).ranking().scores)
    shutil.rmtree(run.folder / "cache")
    assert run.select("50%").choices == Run(ranked).select("50%").choices
    assert run.index(videos).computed == 0


def test_the_cache_may_vanish_during_preparation(config, videos, indexed, tmp_path):
    def delete(stage, done, total):
        if stage == "preparing train clips" and done == total:
            shutil.rmtree(tmp_path / "run" / "cache")

    run = Run(tmp_path / "run", config, on_progress=delete)
    assert run.index(videos).computed == 6
    assert_same_features(features(run), features(Run(indexed)))


def test_damaged_cache_files_are_made_again(config, videos, indexed, tmp_path):
    def damage(stage, done, total):
        if stage == "preparing train clips" and done == total:
            for number, file in enumerate(sorted((tmp_path / "run/cache").rglob("*.safetensors"))):
                file.write_bytes(file.read_bytes()[: 40 * (number % 3)])

    run = Run(tmp_path / "run", config, on_progress=damage)
    assert run.index(videos).errors == []
    assert_same_features(features(run), features(Run(indexed)))


def test_a_file_is_hashed_again_only_when_it_changed(config, tmp_path, monkeypatch):
    path = square_video(tmp_path / "a.mp4", 1)
    Run(tmp_path / "run", config).index(path)
    hashed = []
    original = clip_module.file_digest
    monkeypatch.setattr(
        "motive.runs.entries.file_digest", lambda p: hashed.append(p) or original(p)
    )
    run = Run(tmp_path / "run")
    assert run.index(path).computed == 0
    assert hashed == []
    os.utime(path, (1, 1))
    assert run.index(path).computed == 0
    assert run.index(path).computed == 0
    assert len(hashed) == 1
    square_video(path, 2)
    assert run.index(path).computed == 1


def test_a_moved_data_set_costs_no_new_work_and_is_found_at_its_new_place(
    config, videos, tmp_path, monkeypatch
):
    first = shutil.copytree(videos, tmp_path / "first")
    run = Run(tmp_path / "run", config)
    run.index(first)
    second = first.rename(tmp_path / "second")
    assert run.index(second).computed == 0
    assert {r.source.split("/")[-2] for r in run.records(TRAIN).values()} == {"second"}


def test_a_file_that_changes_between_hashing_and_decoding_is_not_used(config, tmp_path):
    path = square_video(tmp_path / "a.mp4", 1)
    run = Run(tmp_path / "run", config)
    run.index(path)
    shutil.rmtree(run.folder / "cache")
    record = next(iter(run.records(TRAIN).values()))
    square_video(path, 3)
    from motive.errors import ClipError
    from motive.runs.entries import clip_of

    with pytest.raises(ClipError, match="the file has changed"):
        run.preparer.prepare(clip_of(record))

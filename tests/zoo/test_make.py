"""Making MotionZoo: determinism, resuming, the table, and bad arguments."""

from __future__ import annotations

import builtins
import json

import av
import numpy as np
import pytest

from motive.errors import MissingExtraError, UsageError
from motive.zoo.make import MOTIONS, SPLITS, clip_generator, make_zoo

TINY = {"size": 16, "frames": 5}


def table(folder):
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def pixels(path):
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Twelve tiny clips made in one run."""
    pytest.importorskip("newton")
    folder = tmp_path_factory.mktemp("zoo")
    progress = []
    report = make_zoo(folder, 12, split="test", on_progress=lambda *p: progress.append(p), **TINY)
    assert report.made == 12
    assert progress == [(k, 12) for k in range(13)]
    return folder


def test_clips_are_labelled_videos_with_motions_interleaved(zoo):
    rows = table(zoo)
    assert [row["motion"] for row in rows] == [MOTIONS[k % 10] for k in range(12)]
    assert rows[5]["video"] == "clips/test-00005-free-fall.mp4"
    for row in rows:
        assert pixels(zoo / row["video"]).shape == (5, 16, 16, 3)
        assert {"prompt", "split", "seed", "factors"} <= row.keys()
        assert row["factors"]["colour"] in row["prompt"]
    assert len(list((zoo / "clips").iterdir())) == 12


def test_every_clip_moves(zoo):
    for row in table(zoo):
        frames = pixels(zoo / row["video"]).astype(float)
        assert np.abs(frames[-1] - frames[0]).max() > 20, row["motion"]


def test_a_clip_does_not_depend_on_other_clips_or_workers(zoo, tmp_path):
    make_zoo(tmp_path, 3, split="test", workers=2, **TINY)
    assert table(tmp_path) == table(zoo)[:3]
    for row in table(tmp_path):
        assert (tmp_path / row["video"]).read_bytes() == (zoo / row["video"]).read_bytes()


def test_an_interrupted_run_continues_with_what_is_missing(zoo):
    before = (zoo / "metadata.jsonl").read_text()
    lost = zoo / table(zoo)[4]["video"]
    content = lost.read_bytes()
    lost.unlink()
    with (zoo / "metadata.jsonl").open("a") as torn:
        torn.write('{"video": "clips/te')
    report = make_zoo(zoo, 12, split="test", **TINY)
    assert (report.made, report.skipped) == (1, 11)
    assert lost.read_bytes() == content
    assert (zoo / "metadata.jsonl").read_text() == before


def test_a_folder_of_other_settings_is_refused(zoo):
    with pytest.raises(UsageError, match="made with seed 0, not 1"):
        make_zoo(zoo, 12, split="test", seed=1, **TINY)


def test_splits_share_no_random_numbers():
    first = {s: clip_generator(0, s, 0).integers(1 << 62) for s in SPLITS}
    assert len(set(first.values())) == len(SPLITS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"clips": 0}, "clips is 0"),
        ({"split": "train"}, "unknown split 'train'"),
        ({"seed": -1}, "seed is -1"),
        ({"size": 33}, "size is 33"),
        ({"size": 8}, "size is 8"),
        ({"frames": 16}, "frames is 16"),
        ({"frames": 1}, "frames is 1"),
        ({"fps": 0}, "fps is 0"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"workers": 0}, "workers is 0"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(tmp_path, change, words):
    arguments = {"clips": 1, **change}
    with pytest.raises(UsageError, match=words) as caught:
        make_zoo(tmp_path / "zoo", **arguments)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "zoo").exists()


def test_a_missing_renderer_names_the_extra(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.split(".")[0] in {"newton", "warp"}:
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'motive-video\[zoo\]'"):
        make_zoo(tmp_path / "zoo", 1)
    assert not (tmp_path / "zoo").exists()

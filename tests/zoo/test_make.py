"""Making MotionZoo: determinism, resuming, the table, and bad arguments."""

from __future__ import annotations

import builtins
import json
from collections import Counter

import av
import numpy as np
import pytest

from motive.errors import MissingExtraError, UsageError
from motive.zoo.make import MOTIONS, SPLITS, VERSION, clip_generator, make_zoo
from motive.zoo.truth import load_truth, truth_path

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
        assert (row["decoy"], row["caption_kind"], row["zoo"]) == (None, "right", VERSION)
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


def test_a_folder_of_another_version_is_refused(zoo, tmp_path):
    row = {**table(zoo)[0]}
    del row["zoo"]
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UsageError, match="MotionZoo version 1, this makes version 2"):
        make_zoo(tmp_path, 1, split="test", **TINY)


def test_a_folder_of_another_mixture_or_other_captions_is_refused(zoo):
    with pytest.raises(UsageError, match="clip 0 was made with motion compress, not roll"):
        make_zoo(zoo, 12, split="test", mixture={"roll": 1.0}, **TINY)
    with pytest.raises(UsageError, match="caption_kind right, not missing"):
        make_zoo(zoo, 12, split="test", missing_captions=1.0, **TINY)


def test_truth_never_changes_a_clip_and_may_come_later(zoo, tmp_path):
    make_zoo(tmp_path, 2, split="test", truth=True, **TINY)
    report = make_zoo(tmp_path, 3, split="test", **TINY)
    assert (report.made, report.truths) == (1, 0)
    seen = []

    def watch(*_):
        seen.append(len(table(tmp_path)))

    report = make_zoo(tmp_path, 3, split="test", truth=True, on_progress=watch, **TINY)
    assert seen == [3, 3]  # a reader never meets a clip twice
    assert (report.made, report.skipped, report.truths) == (0, 3, 1)
    assert table(tmp_path) == table(zoo)[:3]
    for row in table(tmp_path):
        video = tmp_path / row["video"]
        assert video.read_bytes() == (zoo / row["video"]).read_bytes()
        truth = load_truth(truth_path(video))
        assert truth.step_flow.shape == (4, 16, 16, 2)
        assert truth.factors == row["factors"]


def test_decoys_stand_still_or_hide_in_a_corner(tmp_path):
    report = make_zoo(tmp_path, 6, split="test", decoys=0.5, truth=True, size=32, frames=5)
    assert report.per_motion["none"] == 2
    rows = {row["decoy"]: row for row in table(tmp_path)}
    assert rows.keys() == {None, "static", "camera", "corner"}
    flow = {
        kind: load_truth(truth_path(tmp_path / row["video"])).start_flow
        for kind, row in rows.items()
    }
    assert rows["static"]["motion"] == rows["camera"]["motion"] == "none"
    assert rows["static"]["factors"]["direction"] == "none"
    assert rows["corner"]["motion"] in MOTIONS
    assert rows["corner"]["factors"]["place"].startswith("corner ")
    assert np.abs(flow["static"]).max() < 1e-3
    assert np.abs(flow["camera"]).max() > 0.2
    still = pixels(tmp_path / rows["static"]["video"]).astype(float)
    assert np.abs(still - still[0]).mean() < 1.0


def test_wrong_and_missing_captions_change_nothing_but_the_prompt(zoo, tmp_path):
    make_zoo(tmp_path, 12, split="test", wrong_captions=0.4, missing_captions=0.3, **TINY)
    kinds = Counter(row["caption_kind"] for row in table(tmp_path))
    assert set(kinds) == {"right", "wrong", "missing"}
    for row, right in zip(table(tmp_path), table(zoo), strict=True):
        kind = row["caption_kind"]
        assert (row["prompt"] == right["prompt"]) == (kind == "right")
        assert (row["prompt"] == "") == (kind == "missing")
        assert {**row, "prompt": "", "caption_kind": ""} == {
            **right,
            "prompt": "",
            "caption_kind": "",
        }
        assert (tmp_path / row["video"]).read_bytes() == (zoo / right["video"]).read_bytes()


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
        ({"decoys": 1.5}, "decoys is 1.5"),
        ({"wrong_captions": -0.1}, "wrong_captions is -0.1"),
        ({"wrong_captions": 0.6, "missing_captions": 0.6}, "add up to more than 1"),
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

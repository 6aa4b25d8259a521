"""Bad input becomes one line, a row, or both; what was computed before stays."""

import errno
import json
import os
import shutil
from pathlib import Path

import lance
import numpy as np
import pytest

from motive.clips import Clip, write_mp4
from motive.errors import DatasetError, FingerprintError, ModelError, MotiveError, UsageError
from motive.index.manifest import DUPLICATE, ERROR, OK, QUERY, TRAIN
from motive.runs import Run
from moving_squares import square_video, square_videos, write_list
from numbered_videos import frame_with_number, write_video


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def broken_files(folder: Path) -> dict[str, str]:
    """Files that cannot be used -> what the reason must say."""
    good = square_video(folder / "good.mp4", 1).read_bytes()
    (folder / "corrupt.mp4").write_bytes(b"\x00\x01" * 900)
    (folder / "truncated.mp4").write_bytes(good[: len(good) // 2])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is not a video")
    (folder / "header.y4m").write_bytes(b"YUV4MPEG2 W64 H32 F16:1 Ip A1:1 C420\n")
    square_video(folder / "one_frame.mp4", 1, frames=1)
    square_video(folder / "short.mp4", 1, frames=3)
    (folder / "folder.mp4").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    return {
        "corrupt.mp4": "not a video",
        "truncated.mp4": "download or export it again",
        "empty.mp4": "empty file",
        "text.mp4": "not a video",
        "header.y4m": "no video frame",
        "one_frame.mp4": "too short",
        "short.mp4": "too short",
        "folder.mp4": "is a folder",
        "pipe.mp4": "not a regular file",
        "missing.mp4": "file not found",
    }


def test_every_entry_of_a_messy_data_set_is_accounted_for(config, tmp_path):
    expected = broken_files(tmp_path)
    square_video(tmp_path / "odd.mkv", 2, size=(37, 51))
    square_video(tmp_path / "portrait.mp4", 3, size=(64, 36))
    frames = [frame_with_number(i * i % 251) for i in range(12)]
    times = np.cumsum([0, 0.03, 0.2, 0.05, 0.1, 0.02, 0.3, 0.1, 0.04, 0.2, 0.1, 0.1])
    write_video(tmp_path / "variable.mkv", frames, times=list(times))
    usable = ["good.mp4", "odd.mkv", "portrait.mp4", "variable.mkv"]
    rows = [{"video": name, "prompt": "a square"} for name in (*expected, *usable)]
    rows += [{"video": "good.mp4", "prompt": "a square"}] * 2  # the same entry again, twice
    shutil.copy(tmp_path / "good.mp4", tmp_path / "copy.mp4")
    rows += [{"video": "copy.mp4", "prompt": "a square"}]  # the same bytes under another name
    rows += [{"video": "good.mp4", "prompt": "another caption"}]  # a clip of its own
    rows += [{"video": "good.mp4"}, {"video": ""}]
    data = write_list(tmp_path / "list.jsonl", rows)

    for _ in range(2):
        run = Run(tmp_path / "run", config)
        result = run.index(data)
        assert len(result.clips) == 6
        assert len(result.errors) == len(expected) + 1
        assert len(result.duplicates) == 3
        records = run.manifest.history()
        assert len(records) == len(rows)  # and not more the second time
        assert {r.status for r in records} == {OK, ERROR, DUPLICATE}
        reasons = {Path(r.source).name: r.error for r in records if r.status == ERROR}
        for name, reason in expected.items():
            assert reason in reasons[name]
            assert "\n" not in reasons[name]
        assert "no video path" in reasons[""]
        assert len(run.records(TRAIN)) == 6
    assert result.computed == 0


def test_captions_in_strange_encodings_are_read(config, tmp_path):
    for name, data in {
        "latin": "café".encode("cp1252"),
        "wide": "日本語".encode("utf-16"),
        "bytes": bytes(range(128, 256)),
        "nothing": b"",
        "nul": b"a\x00b",
        "long": b"word " * 5000,
    }.items():
        square_video(tmp_path / f"{name}.mp4", len(name))
        (tmp_path / f"{name}.txt").write_bytes(data)
    square_video(tmp_path / "no_caption.mp4", 9)
    run = Run(tmp_path / "run", config)
    result = run.index(tmp_path)
    assert (len(result.clips), result.errors) == (7, [])
    captions = {Path(r.source).stem: r.caption for r in run.records(TRAIN).values()}
    assert captions["latin"] == "café"
    assert captions["wide"] == "日本語"
    assert captions["no_caption"] == ""


def test_names_and_captions_that_are_not_unicode_are_refused_in_one_row(config, tmp_path):
    square_video(tmp_path / "good.mp4", 1)
    bad = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4")
    shutil.copy(tmp_path / "good.mp4", bad)
    clips = [
        Clip(str(tmp_path / "good.mp4"), "fine"),
        Clip(bad),
        Clip(str(tmp_path / "good.mp4"), "\udcff"),
    ]
    for _ in range(2):
        run = Run(tmp_path / "run", config)
        result = run.index(clips)
        assert len(result.clips) == 1
        (_, name), (_, caption) = result.errors
        assert "caf\\udce9.mp4: the file name is not valid UTF-8" in name
        assert "the caption is not valid UTF-8" in caption
        assert len(run.manifest.history()) == 3


def test_a_data_set_without_a_usable_clip_fails_but_keeps_its_rows(config, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    for _ in range(2):
        run = Run(tmp_path / "run", config)
        with pytest.raises(DatasetError) as error:
            run.index(tmp_path / "bad.mp4")
        assert "none of 1 is usable" in one_line(error)
        (record,) = run.manifest.history()
        assert record.status == ERROR
    with pytest.raises(DatasetError, match="no train clips"):
        run.index([])


def test_a_repaired_file_is_picked_up_and_its_error_is_history(config, tmp_path):
    square_video(tmp_path / "good.mp4", 1)
    (tmp_path / "bad.mp4").write_bytes(b"half a download")
    run = Run(tmp_path / "run", config)
    assert len(run.index(tmp_path).errors) == 1
    square_video(tmp_path / "bad.mp4", 2)
    result = run.index(tmp_path)
    assert (result.computed, result.reused, result.errors) == (1, 1, [])
    assert [r.status for r in run.manifest.records()] == [OK, OK]


def test_a_deleted_file_becomes_an_error_and_leaves_the_ranking(config, videos, queries, tmp_path):
    data = shutil.copytree(videos, tmp_path / "videos")
    rows = [{"video": f"square{k}.mp4", "prompt": f"square number {k}"} for k in range(6)]
    listed = write_list(data / "metadata.jsonl", rows)
    run = Run(tmp_path / "run", config)
    run.index(listed)
    (data / "square3.mp4").unlink()
    result = run.index(listed)
    assert len(result.errors) == 1
    assert len(run.rank(queries).clip_ids) == 5
    shutil.copy(videos / "square3.mp4", data)
    assert run.index(listed).computed == 0
    assert len(run.rank(queries).clip_ids) == 6


def test_clips_without_a_gradient_are_reported_every_time_and_never_ranked(
    config, queries, tmp_path
):
    data = square_videos(tmp_path / "videos", (1, 2))
    write_mp4(data / "still.mp4", np.full((6, 32, 32, 3), 90, np.uint8), 8)
    for computed in (2, 0):
        run = Run(tmp_path / "run", config)
        result = run.index(data)
        assert result.computed == computed
        assert len(result.clips) == 2
        ((source, reason),) = result.errors
        assert source.endswith("still.mp4")
        assert reason.startswith(f"{source}: gradient is zero")
    assert len(run.rank(queries).clip_ids) == 2


def test_a_file_that_vanishes_before_its_gradient_is_tried_again(config, videos, tmp_path):
    data = shutil.copytree(videos, tmp_path / "videos")

    def vanish(stage, done, total):
        if stage == "preparing train clips" and done == total:
            shutil.rmtree(tmp_path / "run" / "cache")
            (data / "square0.mp4").rename(tmp_path / "away.mp4")

    result = Run(tmp_path / "run", config, on_progress=vanish).index(data)
    assert (result.computed, len(result.errors)) == (5, 1)
    (tmp_path / "away.mp4").rename(data / "square0.mp4")
    result = Run(tmp_path / "run").index(data)
    assert (result.computed, result.reused, result.errors) == (1, 5, [])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"timesteps": (500.0,)}, "objective.timesteps is [500.0] here and [751.0] there"),
        ({"dim": 128}, "projection.dim is 128 here and 64 there"),
        ({"mask": False}, "objective.mask is false here and true there"),
        ({"frames": 9}, "standard.frames is 9 here and 5 there"),
        ({"parameters": "attn"}, 'parameters is "attn" here and ".*" there'),
        ({"projection_seed": 3}, "projection.seed is 3 here and 0 there"),
    ],
)
def test_other_options_on_an_indexed_run_name_the_field(
    config, indexed, videos, tmp_path, changes, field
):
    folder = shutil.copytree(indexed, tmp_path / "run")
    before = (folder / "config.yaml").read_bytes()
    run = Run(folder, config.updated(**changes))
    for stage, data in ((run.index, videos), (run.rank, videos)):
        with pytest.raises(FingerprintError) as error:
            stage(data)
        assert field in one_line(error)
    assert (folder / "config.yaml").read_bytes() == before
    assert not (folder / "queries.lance").exists()
    assert Run(folder).index(videos).reused == 6


def test_options_that_do_not_change_features_may_change(config, indexed, videos, tmp_path):
    folder = shutil.copytree(indexed, tmp_path / "run")
    assert Run(folder, config.updated(checkpointing=True, batch=1)).index(videos).reused == 6


def test_other_weights_under_the_same_name_are_noticed(model, config, videos, ranked, tmp_path):
    folder = shutil.copytree(ranked, tmp_path / "run")
    other = shutil.copytree(model, tmp_path / "model")
    weights = next((other / "transformer").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    run = Run(folder, config.updated(model=str(other)))
    for stage in (lambda: run.index(videos), lambda: run.rank(videos), run.select):
        with pytest.raises(FingerprintError) as error:
            stage()
        assert "model.transformer is" in one_line(error)
        assert "model.vae" not in one_line(error)


def test_a_killed_preparation_may_be_started_again_with_other_options(config, videos, tmp_path):
    def stop(stage, done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path / "run", config, on_progress=stop).index(videos)
    run = Run(tmp_path / "run", config.updated(fps=6.0))
    assert run.index(videos).computed == 6
    assert {r.frame_times[1] for r in run.records(TRAIN).values()} == {1 / 8}  # not as at 8 fps


def test_model_folders_that_are_no_video_pipeline_are_named(config, model, videos, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "image").mkdir()
    (tmp_path / "image/model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    (tmp_path / "file.safetensors").write_bytes(b"x")
    no_vae = shutil.copytree(model, tmp_path / "no_vae")
    shutil.rmtree(no_vae / "vae")
    cases = {
        "empty": "no model_index.json",
        "image": "pipeline class FluxPipeline is not supported",
        "file.safetensors": "a file; give the folder",
        "nowhere": "no such folder",
        "no_vae": "no vae/ folder",
    }
    for name, reason in cases.items():
        with pytest.raises(ModelError) as error:
            Run(tmp_path / "run", config.updated(model=str(tmp_path / name))).index(videos)
        assert reason in one_line(error)
        assert not (tmp_path / "run").exists()


def full_disk(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["features", "clips", "cache", "native cache", "config"])
def test_a_full_disk_is_one_line_and_loses_nothing(
    config, videos, indexed, tmp_path, monkeypatch, where
):
    """The disk fills up after two clips."""
    data = square_videos(tmp_path / "videos", (1, 2))
    run = Run(tmp_path / "run", config)
    run.index(data)
    rows = len(run.manifest.history())
    square_videos(data, (3, 4))
    original = lance.write_dataset
    with monkeypatch.context() as patch:
        if where in ("features", "clips"):
            name = "index.lance" if where == "features" else "clips.lance"
            patch.setattr(
                "motive.index.table.lance.write_dataset",
                lambda table, path, **rest: (
                    full_disk() if path.endswith(name) else original(table, path, **rest)
                ),
            )
        elif where == "cache":
            patch.setattr("motive.backbones.cache.save_file", full_disk)
        elif where == "native cache":
            from safetensors import SafetensorError

            def refuse(*_args, **_kwargs):
                raise SafetensorError("I/O error: No space left on device (os error 28)")

            patch.setattr("motive.backbones.cache.save_file", refuse)
        else:
            patch.setattr("motive.files.os.replace", full_disk)
        with pytest.raises(MotiveError) as error:
            Run(tmp_path / "run").index(data)
        assert "the disk is full; free some space" in one_line(error)
    run = Run(tmp_path / "run")
    assert len(run.manifest.history()) >= rows
    result = run.index(data)
    assert (result.computed, result.reused) == (2, 2)


def test_bad_queries_are_listed_and_the_good_ones_ranked(indexed, tmp_path):
    square_video(tmp_path / "q/good.mp4", 21)
    (tmp_path / "q/bad.mp4").write_bytes(b"no video")
    run = Run(shutil.copytree(indexed, tmp_path / "run"))
    ranking = run.rank(tmp_path / "q")
    assert ranking.scores.shape == (1, 6)
    ((source, _),) = ranking.errors
    assert source.endswith("bad.mp4")
    assert [r.status for r in run.manifest.records(QUERY)] == [ERROR, OK]
    (tmp_path / "q/good.mp4").unlink()
    with pytest.raises(DatasetError, match="none of 1 is usable"):
        run.rank(tmp_path / "q")


def test_stages_in_the_wrong_order_say_what_comes_first(config, indexed, queries, tmp_path):
    with pytest.raises(DatasetError, match="run `motive index` first"):
        Run(tmp_path / "new", config).rank(queries)
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match="run `motive rank` first"):
        Run(shutil.copytree(indexed, tmp_path / "run")).select()


def test_damaged_scores_are_named(ranked, tmp_path):
    run = Run(shutil.copytree(ranked, tmp_path / "run"))
    path = run.folder / "scores.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(MotiveError) as error:
        run.select()
    assert "damaged" in one_line(error)
    assert "motive rank" in one_line(error)


def test_an_older_ranking_still_selects_and_says_what_it_lacks(ranked, videos, tmp_path, caplog):
    run = Run(shutil.copytree(ranked, tmp_path / "run"))
    run.index(square_video(tmp_path / "new.mp4", 8))
    caplog.clear()
    assert len(run.select(6).choices) == 6
    assert "1 clips were indexed after the ranking" in caplog.text


def test_a_clip_whose_file_was_replaced_after_ranking_can_still_be_selected(
    config, videos, queries, tmp_path
):
    data = shutil.copytree(videos, tmp_path / "videos")
    run = Run(tmp_path / "run", config)
    run.index(data)
    run.rank(queries)
    square_video(data / "square2.mp4", 9)
    run.index(data)
    assert len(run.select(6).choices) == 6


def test_rows_with_unreadable_times_or_no_path_are_errors_that_name_their_row(
    config, videos, tmp_path
):
    data = tmp_path / "clips.csv"
    good = next(iter(sorted(videos.glob("*.mp4"))))
    data.write_text(
        f"video,prompt,start,end\n{good},fine,,\n{good},bad time,abc,\n,no path,,\n", "utf-8"
    )
    result = Run(tmp_path / "run", config).index(data)
    assert len(result.clips) == 1
    reasons = [reason for _, reason in result.errors]
    assert "cannot read the times" in reasons[0]
    assert reasons[1].startswith("row ")
    assert "no video path" in reasons[1]

"""Each video is measured once, whatever it is called, whoever asks, and however often."""

import json
import shutil

import numpy as np
import pytest
import torch

from fake_metrics import drifting
from motive.clips import write_mp4
from motive.errors import UsageError
from motive.evaluation.metrics import (
    Asked,
    Records,
    Sources,
    Video,
    build_measures,
    chosen_metrics,
    condition_names,
    evaluate,
    find_videos,
)
from motive.evaluation.metrics.videos import pair_keys
from tiny_encoders import tiny_clip, tiny_dino

KEYS = ["flicker", "still_area"]


@pytest.fixture
def folder(tmp_path):
    """Three videos with a list that says what was asked."""
    made = tmp_path / "base"
    rows = []
    for number, step in enumerate((0.0, 1.0, 3.0)):
        write_mp4(made / f"v{number}.mp4", drifting(6, step, seed=number), 8)
        rows.append({"file_name": f"v{number}.mp4", "prompt": f"p{number}", "seed": 7})
    (made / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return made


class Counting:
    """Counts the videos it was shown."""

    keys = ("flicker",)

    def __init__(self, setting=1):
        self.settings = {"setting": setting}
        self.videos = 0

    def begin(self, video):
        self.videos += 1
        return self

    def add(self, frames):
        pass

    def finish(self):
        return {"flicker": float(self.videos)}


def test_a_second_run_measures_nothing_and_says_the_same(folder, tmp_path):
    videos, records = {"base": find_videos("base", folder)}, Records(tmp_path / "measured")
    first = evaluate(videos, KEYS, records)
    again = evaluate(videos, KEYS, records)
    assert (first.measured, again.measured) == (3, 0)
    assert [row.values for row in again.rows] == [row.values for row in first.rows]
    assert [row.facts for row in again.rows] == [row.facts for row in first.rows]


def test_one_more_metric_measures_that_metric_alone(folder, tmp_path):
    videos, records = {"base": find_videos("base", folder)}, Records(tmp_path / "measured")
    counting = Counting()
    evaluate(videos, ["flicker"], records, measures=[counting])
    jerk, _ = build_measures(["flow_jerk"], Sources())
    found = evaluate(videos, ["flicker", "flow_jerk"], records, measures=[counting, *jerk])
    assert (counting.videos, found.measured) == (3, 3)
    assert all("flicker" in row.values for row in found.rows)
    assert all("flow_jerk" in {**row.values, **row.why} for row in found.rows)


def test_other_settings_are_measured_anew_and_the_old_ones_kept(folder, tmp_path):
    videos, records = {"base": find_videos("base", folder)}, Records(tmp_path / "measured")
    old, new = Counting(1), Counting(2)
    for measure in (old, new, old, new):
        evaluate(videos, ["flicker"], records, measures=[measure])
    assert (old.videos, new.videos) == (3, 3)


def test_a_killed_run_continues_with_the_videos_that_are_missing(folder, tmp_path):
    class Killed(Counting):
        def begin(self, video):
            if self.videos == 2:
                raise KeyboardInterrupt
            return super().begin(video)

    videos, records = {"base": find_videos("base", folder)}, Records(tmp_path / "measured")
    with pytest.raises(KeyboardInterrupt):
        evaluate(videos, ["flicker"], records, measures=[Killed()])
    assert evaluate(videos, ["flicker"], records, measures=[Counting()]).measured == 1


def test_the_same_bytes_under_two_names_are_measured_once(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    counting = Counting()
    videos = {name: find_videos(name, tmp_path / name) for name in ("base", "copy")}
    found = evaluate(videos, ["flicker"], Records(tmp_path / "m"), measures=[counting])
    assert counting.videos == 3
    assert len(found.rows) == 6
    assert all(row.values for row in found.rows)


def test_the_numbers_do_not_depend_on_the_number_of_processes(folder, tmp_path):
    videos = {"base": find_videos("base", folder)}
    one = evaluate(videos, KEYS, Records(tmp_path / "one"))
    two = evaluate(videos, KEYS, Records(tmp_path / "two"), workers=2)
    assert [row.values for row in one.rows] == [row.values for row in two.rows]


def test_a_damaged_record_is_measured_again(folder, tmp_path, caplog):
    videos, records = {"base": find_videos("base", folder)}, Records(tmp_path / "measured")
    first = evaluate(videos, KEYS, records)
    damaged = next((tmp_path / "measured").rglob("*.json"))
    damaged.write_text('{"facts": {')
    again = evaluate(videos, KEYS, records)
    assert again.measured == 1
    assert "measured again" in caplog.text
    assert [row.values for row in again.rows] == [row.values for row in first.rows]


def test_every_video_is_a_row_whatever_is_wrong_with_it(folder, tmp_path):
    (folder / "v1.mp4").write_bytes(b"no video")
    (folder / "v2.mp4").unlink()
    found = evaluate({"base": find_videos("base", folder)}, KEYS, Records(tmp_path / "m"))
    assert [row.error is None for row in found.rows] == [True, False, False]
    assert "not a video" in found.rows[1].error
    assert "not found" in found.rows[2].error
    assert found.rows[1].values == {}


def test_a_span_of_a_longer_file_is_not_judged_as_the_whole_file(folder, tmp_path):
    (tmp_path / "list.csv").write_text("video,prompt,start,end\nbase/v0.mp4,p,0,0.3\n")
    videos = {"list": find_videos("list", tmp_path / "list.csv")}
    found = evaluate(videos, KEYS, Records(tmp_path / "m"))
    assert "part of this file" in found.rows[0].error


def test_missing_weights_are_a_reason_and_the_rest_goes_on(folder, tmp_path):
    keys = chosen_metrics(["vbench", "flicker"])
    found = evaluate({"base": find_videos("base", folder)}, keys, Records(tmp_path / "m"))
    for row in found.rows:
        assert set(row.values) == {"flicker"}
        assert "DINO ViT-B/16 (Apache-2.0): give --weights dino=" in row.why["subject_consistency"]
        assert set(row.why) == set(keys) - {"flicker"}
    # Nothing was stored about them: with weights they are measured.
    assert "subject" not in next((tmp_path / "m").rglob("*.json")).read_text()


def test_wrong_paths_of_weights_are_found_before_any_video_is_read(tmp_path):
    sources = Sources((("aesthetic", "gone.pth"), ("clip-large", "gone"), ("dino", "gone")))
    _, refused = build_measures(chosen_metrics(["vbench"]), sources)
    assert "gone.pth" in refused["aesthetic_quality"]
    assert "gone" in refused["subject_consistency"]
    with pytest.raises(UsageError, match="dinosaur"):
        Sources((("dinosaur", "x"),))


def test_prompt_motion_and_seed_come_from_the_folders_own_list(folder):
    (folder / "metadata.jsonl").write_text(
        '{"file_name": "v0.mp4", "prompt": "a coin spins", "seed": 3, "motion": "spin"}\n'
    )
    (video,) = find_videos("base", folder)
    assert (video.prompt, video.seed, video.motion) == ("a coin spins", 3, "spin")


@pytest.mark.parametrize(
    ("name", "seed"),
    [("spin_01-seed4", 4), ("spin_01", None), ("a coin spins-2", None), ("a coin spins_s9", 9)],
)
def test_prompts_are_found_by_the_names_of_videos(tmp_path, name, seed):
    write_mp4(tmp_path / f"{name}.mp4", drifting(2, 1.0), 8)
    prompts = [Asked("other", "roll", "roll_01"), Asked("a coin spins", "spin", "spin_01")]
    (video,) = find_videos("base", tmp_path, prompts)
    assert (video.prompt, video.motion, video.seed) == ("a coin spins", "spin", seed)


def videos(condition, *names, seed=None):
    return [Video(condition, f"{n}.mp4", n, prompt=n[0], seed=seed) for n in names]


def test_videos_of_one_prompt_and_seed_belong_together_whatever_their_files_are_called():
    keys = pair_keys({"a": videos("a", "p1", "q1", seed=1), "b": videos("b", "q9", "p9", seed=1)})
    assert keys["a"] == list(reversed(keys["b"]))


def test_without_seeds_files_of_one_name_belong_together():
    keys = pair_keys({"a": videos("a", "p1", "q1"), "b": videos("b", "q1", "z")})
    assert keys == {"a": ["p1", "q1"], "b": ["q1", "z"]}


def test_two_videos_of_one_name_cannot_be_compared():
    with pytest.raises(UsageError, match="'p'"):
        pair_keys({"a": videos("a", "p", "p"), "b": videos("b", "p")})
    assert len(set(pair_keys({"a": videos("a", "p", "p")})["a"])) == 2


def test_conditions_are_called_as_asked_or_by_their_folders():
    assert condition_names(["x/base", "y/motive/"], None) == ["base", "motive"]
    assert condition_names(["x/out", "y/out"], None) == ["x/out", "y/out"]
    for names in (["one"], ["one", "one"], ["", "two"]):
        with pytest.raises(UsageError, match="name"):
            condition_names(["x", "y"], names)


def test_the_asked_motion_decides_yes_or_no(tmp_path):
    from motive.zoo.pack import unpack_demo_clips

    zoo = unpack_demo_clips(tmp_path / "zoo") / "queries"
    found = find_videos("zoo", zoo)[:2]
    assert {video.motion for video in found} != {None}
    other = [Video("other", v.path, v.name, v.prompt, "swing", v.seed) for v in found]
    unknown = [Video("unknown", v.path, v.name, v.prompt, None, v.seed) for v in found[:1]]
    keys = chosen_metrics(["motion"])
    rows = evaluate(
        {"zoo": found, "other": other, "unknown": unknown}, keys, Records(tmp_path / "m")
    ).rows
    right, wrong = rows[:2], rows[2:4]
    assert all(row.values["motion_probability"] > 0.5 for row in right)
    assert all(row.values["motion_shown"] == 1.0 for row in right)
    assert all(row.values["motion_probability"] < 0.5 for row in wrong)
    assert "not known" in rows[4].why["motion_shown"]


def test_numbers_are_finite_on_noise_and_on_black(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (6, 40, 48, 3), np.uint8)
    write_mp4(tmp_path / "noise.mp4", noise, 8)
    write_mp4(tmp_path / "black.mp4", np.zeros_like(noise), 8)
    keys = chosen_metrics(["built-in"])
    found = evaluate({"x": find_videos("x", tmp_path)}, keys, Records(tmp_path / "m"))
    for row in found.rows:
        assert np.isfinite(list(row.values.values())).all()
        assert set(row.values) | set(row.why) == set(keys)


def test_networks_from_the_users_disk_measure_their_dimensions(folder, tmp_path):
    torch.manual_seed(0)
    torch.save(torch.nn.Linear(8, 1).state_dict(), tmp_path / "head.pth")
    sources = Sources(
        (
            ("aesthetic", str(tmp_path / "head.pth")),
            ("clip", str(tiny_clip(tmp_path / "clip"))),
            ("clip-large", str(tmp_path / "clip")),
            ("dino", str(tiny_dino(tmp_path / "dino"))),
        ),
        device="cpu",
        flow="dis",
    )
    keys = chosen_metrics(["vbench"])
    found = evaluate(
        {"base": find_videos("base", folder)}, keys, Records(tmp_path / "m"), sources=sources
    )
    still, slow, fast = (row.values for row in found.rows)
    assert still["subject_consistency"] == pytest.approx(1.0, abs=1e-3)
    assert still["subject_consistency"] > fast["subject_consistency"]
    assert set(slow) == {
        "subject_consistency", "background_consistency", "aesthetic_quality", "dynamic_degree",
        "dynamic_margin",
    }  # fmt: skip
    assert set(found.rows[0].why) == {"motion_smoothness", "imaging_quality"}

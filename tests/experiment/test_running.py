"""The whole comparison on a tiny model: every step once, whatever happens, and the same numbers."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import pyarrow.parquet as pq
import pytest

from motive.errors import DatasetError, ModelError, UsageError
from motive.experiment import report_experiment
from moving_squares import write_list

CONDITIONS = ["base", "full", "random", "motive"]


@pytest.fixture
def copy(finished, tmp_path):
    """A finished experiment that may be changed."""
    return shutil.copytree(finished, tmp_path / "out")


def cells(out):
    """Every cell of the results, as JSON."""
    report_experiment(out)
    return json.loads((out / "results.json").read_text())["cells"]


def selected(out, label):
    """Rows of the selection with this label."""
    for path in out.glob(f"select/{label}-*/selection.csv"):
        if path.parent.name.rpartition("-")[0] == label:
            with path.open(newline="") as file:
                return list(csv.DictReader(file))
    return []


def test_every_condition_and_seed_is_trained_and_sampled_once(finished, done):
    steps = Counter(done(finished))
    assert set(steps.values()) == {1}
    assert [step for step in steps if step.startswith("select")] == [
        "select full", "select random, seed 0", "select random, seed 1", "select motive",
    ]  # fmt: skip
    trained = {step for step in steps if step.startswith("finetune")}
    assert trained == {f"finetune {c}, seed {s}" for c in CONDITIONS[1:] for s in (0, 1)}
    made = {step for step in steps if step.startswith("generate")}
    assert made == {f"generate {c}, seed {s}" for c in CONDITIONS for s in (0, 1)}
    assert {"features", "evaluate"} < set(steps)


def test_all_conditions_have_the_same_updates_and_start_from_the_same_noise(finished):
    records = [json.loads(p.read_text()) for p in finished.glob("finetune/*/step.json")]
    assert {record["updates"] for record in records} == {2}
    assert {record["clips"] for record in records} == {3, 12}
    noise = {}
    for path in finished.glob("generate/*/metadata.jsonl"):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            noise.setdefault((row["prompt"], row["seed"]), set()).add(row["noise_seed"])
    assert len(noise) == 8
    assert {len(seeds) for seeds in noise.values()} == {1}


def test_random_clips_differ_from_seed_to_seed_and_selections_do_not(finished):
    chosen = {}
    for path in finished.glob("select/*/step.json"):
        record = json.loads(path.read_text())
        chosen[record["step"]] = record["ids"]
    assert set(chosen["select random, seed 0"]) != set(chosen["select random, seed 1"])
    assert len(chosen["select motive"]) == 3
    assert set(chosen["select full"]) > set(chosen["select motive"])


def test_run_again_nothing_is_done_and_nothing_told(world, copy, done):
    before = done(copy)
    about, told = world.run(copy)
    assert about is not None
    assert told == []
    assert done(copy) == before


def test_a_changed_setting_does_again_what_depends_on_it_and_says_so(world, copy, done):
    before = done(copy)
    _, told = world.run(copy, generate={"guidance": 2})
    new = done(copy)[len(before) :]
    assert {step.split()[0] for step in new} == {"generate", "evaluate"}
    assert "generate: 8 steps again, because guidance was 1.0 and is 2.0" in told
    assert any("results of earlier settings are kept" in line for line in told)
    _, told = world.run(copy)  # and back: only the table is made anew
    assert {step.split()[0] for step in done(copy)[len(before) + len(new) :]} == {"evaluate"}


def test_more_prompts_make_only_their_videos(world, copy, done, monkeypatch):
    made = []
    from motive.experiment import producing

    real = producing.generate

    def spy(*given, **more):
        found = real(*given, **more)
        made.append((found.made, found.reused))
        return found

    monkeypatch.setattr(producing, "generate", spy)
    world.run(copy, data={"prompts_per_motion": 1})
    assert made == [(0, 2)] * 8
    world.run(copy)
    assert made[8:] == [(0, 4)] * 8


def test_another_condition_adds_its_own_steps_alone(world, copy, done):
    before = done(copy)
    about, told = world.run(copy, conditions=[*CONDITIONS, "bottom"])
    new = done(copy)[len(before) :]
    assert {step.split(",")[0] for step in new} == {
        "select bottom", "finetune bottom", "generate bottom", "evaluate",
    }  # fmt: skip
    assert about.condition("bottom").title == "Bottom 25 % of MOTIVE (control)"
    assert about.condition("bottom").shared == 0
    assert not any("finetune" in line for line in told)


def test_a_condition_with_features_of_its_own_computes_them_alone(world, copy, done):
    before, cached = done(copy), sorted(copy.glob("cache/*/*"))
    late = {"timesteps": [300], "captions": False, "parameters": "blocks"}
    rows = [
        {"name": "late", "by": "motive", "draws": 2, "features": late},
        {"name": "late-no-mask", "by": "no-mask", "draws": 2, "features": late},
        {"name": "same", "by": "motive", "features": {"timesteps": [751]}},
    ]
    about, told = world.run(copy, conditions=[*CONDITIONS, *rows], seeds=[0])
    new = Counter(step.split(", seed")[0] for step in done(copy)[len(before) :])
    own = "features timesteps 300, no captions, parameters blocks"
    names = ("late", "late-no-mask", "same")
    assert new == Counter(
        [own, own.replace("300,", "300, noise_seed 1,"), "evaluate"]
        + [f"{kind} {name}" for kind in ("select", "finetune", "generate") for name in names]
    )
    assert [line for line in told if "again" in line and "evaluate" not in line] == []
    assert {path.parent.name for path in {*copy.glob("cache/*/*")} - {*cached}} <= {"text"}
    words = "timesteps 300, no captions, parameters blocks, mean of 2 draws"
    assert about.condition("late").title == f"MOTIVE ({words})"
    assert about.condition("same").shared == 1.0  # as the experiment's own: nothing was computed
    assert about.condition("late").models == 1

    draws = [pq.read_table(path) for path in copy.glob("features/*timesteps*/scores.parquet")]
    assert len(draws) == 2
    for row in selected(copy, "late"):
        for query, (score, _, _) in json.loads(row["per_query"]).items():
            both = [
                table[query][table["clip_id"].to_pylist().index(row["clip_id"])].as_py()
                for table in draws
            ]
            assert score == pytest.approx(sum(both) / 2, abs=1e-5)
    assert {row["method"] for row in selected(copy, "late")} == {"motive, mean of 2 noise draws"}

    before = done(copy)
    world.run(copy, conditions=[*CONDITIONS, *rows], seeds=[0])
    assert done(copy) == before


def test_steps_can_be_done_one_kind_at_a_time(world, tmp_path, done):
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="--only generate: the step before it, features"):
        world.run(out, only="generate")
    for kind in ("features", "select", "finetune", "generate"):
        about, _ = world.run(out, only=kind, seeds=[0])
        assert about is None
        assert {step.split()[0] for step in done(out)} == set(
            ("features", "select", "finetune", "generate")[
                : ("features", "select", "finetune", "generate").index(kind) + 1
            ]
        )
    about, _ = world.run(out, only="evaluate", seeds=[0])
    assert about is not None
    with pytest.raises(UsageError, match="--only magic: must be one of"):
        world.run(out, only="magic")


def test_workers_change_the_time_and_not_the_numbers(world, finished, tmp_path):
    alone = cells(shutil.copytree(finished, tmp_path / "alone"))
    world.run(tmp_path / "two", workers=2)
    assert cells(tmp_path / "two") == alone


def test_models_that_are_not_kept_are_gone_and_made_again_only_when_needed(world, tmp_path, done):
    out = tmp_path / "out"
    world.run(out, keep_models=False, seeds=[0], conditions=["base", "motive"])
    assert not list(out.glob("finetune/*/pipeline"))
    before = done(out)
    world.run(out, keep_models=False, seeds=[0], conditions=["base", "motive"])
    assert done(out) == before
    world.run(
        out, keep_models=False, seeds=[0], conditions=["base", "motive"], generate={"guidance": 2}
    )
    new = done(out)[len(before) :]
    assert Counter(step.split()[0] for step in new) == {
        "finetune": 1, "generate": 2, "evaluate": 1,
    }  # fmt: skip


def test_lora_adapters_are_trained_and_used(world, tmp_path):
    pytest.importorskip("peft")
    out = tmp_path / "out"
    world.run(out, seeds=[0], conditions=["base", "motive"], finetune={"lora": 4})
    assert list(out.glob("finetune/motive*/lora/*.safetensors"))
    settings = json.loads(next(out.glob("generate/motive*/generation.json")).read_text())
    assert "lora" in settings["settings"]


def test_labelled_clips_are_drawn_from_the_wanted_motions_and_are_no_decoys(world, tmp_path):
    out = tmp_path / "out"
    about, _ = world.run(
        out, seeds=[0], conditions=["base", "labelled"], selection={"top": 6},
        data={"prompts_per_motion": 1},
    )  # fmt: skip
    found = about.condition("labelled")
    assert found.wanted == 1.0
    assert found.decoys == 0


def test_each_motion_has_a_choice_and_a_model_of_its_own(world, tmp_path, done):
    out = tmp_path / "out"
    conditions = ["base", "full", "random", "no-mask", "motive", "labelled"]
    about, _ = world.run(
        out, seeds=[0], conditions=conditions, selection={"per_motion": True, "top": 3}
    )
    trained = {step for step in done(out) if step.startswith("finetune")}
    assert trained == {
        "finetune full, seed 0", "finetune random, seed 0",
        *(f"finetune {name}, {motion}, seed 0" for name in ("no-mask", "motive", "labelled")
          for motion in ("spin", "bounce")),
    }  # fmt: skip
    chosen = {}
    for path in out.glob("select/*/selection.csv"):
        with path.open(newline="") as file:
            chosen[path.parent.name.rsplit("-", 1)[0]] = list(csv.DictReader(file))
    for motion in ("spin", "bounce"):
        votes = [json.loads(row["per_query"]) for row in chosen[f"motive-{motion}"]]
        assert {len(queries) for queries in votes} == {1}
        assert {row["label"] for row in chosen[f"labelled-{motion}-seed-0"]} == {motion}
    assert about.condition("labelled").wanted == 1.0
    assert about.condition("full").wanted == pytest.approx(4 / 12)
    assert about.condition("full").models == 1
    assert about.condition("motive").models == 2
    results = report_experiment(out).results
    for name in conditions:  # every prompt is asked once in every condition
        prompts = [video.prompt for video in results.videos if video.condition == name]
        assert sorted(prompts) == sorted(text for text, _ in about.prompts)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"prompt": "a"}], "prompt 1 has no motion"),
        ([{"prompt": "a", "motion": "spin"}], "no prompt for the motion 'bounce'"),
        (
            [{"prompt": str(i), "motion": m} for i, m in enumerate(("spin", "bounce", "fly"))],
            "no query for the motion 'fly'",
        ),
    ],
)
def test_a_motion_without_query_or_prompt_is_named(world, tmp_path, rows, told):
    path = write_list(tmp_path / "prompts.jsonl", rows)
    with pytest.raises(UsageError) as caught:
        world.run(tmp_path / "out", data={"prompts": str(path)}, selection={"per_motion": True})
    assert told in str(caught.value)


def test_old_results_are_deleted_only_on_demand(world, copy):
    world.run(copy, generate={"guidance": 3}, prune=False)
    assert len(list(copy.glob("generate/*"))) == 16
    _, told = world.run(copy, generate={"guidance": 3}, prune=True)
    assert "8 results of earlier settings deleted" in told
    assert len(list(copy.glob("generate/*"))) == 8


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"model": "nowhere"}, ModelError, "nowhere: no such folder"),
        ({"selection": {"top": 40}}, UsageError, "selection: top 40: there are 12 clips"),
        ({"selection": {"encoder": "nowhere"}}, ModelError, "nowhere: no such folder"),
        ({"data": {"clips": "gone"}}, DatasetError, "gone"),
        ({"data": {"prompts": "gone.txt"}}, DatasetError, "gone.txt"),
    ],
)
def test_what_cannot_work_is_told_before_any_work(world, tmp_path, changes, error, told):
    with pytest.raises(error) as caught:
        world.run(tmp_path / "out", **changes)
    assert told in str(caught.value)
    assert not (tmp_path / "out" / "log.jsonl").exists()


def test_a_clip_that_cannot_be_used_is_told_in_the_notes(world, tmp_path):
    rows = (world.root / "videos" / "metadata.jsonl").read_text().splitlines()
    rows = [json.loads(row) for row in rows]
    for row in rows:
        row["video"] = str(world.root / "videos" / row["video"])
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing")
    listed = tmp_path / "list.jsonl"
    listed.write_text(
        "".join(json.dumps(row) + "\n" for row in [*rows, {"video": str(broken), "prompt": "x"}])
    )
    about, _ = world.run(
        tmp_path / "out", data={"clips": str(listed)}, seeds=[0], conditions=["full", "motive"]
    )
    assert about.clips == 12
    assert any("broken.mp4" in note for note in about.notes)


_CHILD = "import sys; from motive.cli.main import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.slow
def test_killed_at_any_moment_the_same_command_goes_on_and_repeats_nothing(
    world, finished, tmp_path, done
):
    """SIGKILL to the whole group while different steps are at work, until it gets through."""
    out = tmp_path / "out"
    command = [
        sys.executable, "-c", _CHILD, "experiment", "run", str(world.write()), "--out", str(out),
        "--workers", "2", "--json",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    kills = 0
    wanted = ["features", "select", "finetune", "generate", "evaluate"]
    while True:
        child = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        if wanted and _reaches(out, wanted.pop(0), child):
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            kills += 1
            continue
        printed, errors = child.communicate(timeout=600)
        assert child.returncode == 0, errors.decode()
        break
    assert kills >= 3
    assert json.loads(printed)["done"] is True
    assert set(Counter(done(out)).values()) == {1}
    assert cells(out) == cells(shutil.copytree(finished, tmp_path / "whole"))


def _reaches(out, kind, child):
    """Wait until a step of this kind has begun to write; False if the child ended first."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        if child.poll() is not None:
            return False
        if any((out / kind).glob("*/*")):
            return True
        time.sleep(0.02)
    return False

"""A step is done once, known by its inputs, and done again only when they change."""

import json

import pytest

from motive.errors import MotiveError, UsageError
from motive.experiment.steps import Ledger, Step, only_run


def step(out, label="a", asked=None, **inputs):
    return Step("finetune", label, {"rate": 1, **inputs}, out, asked or {})


def test_the_key_depends_on_every_input_and_on_nothing_else(tmp_path):
    assert step(tmp_path).key == step(tmp_path / "elsewhere", "b").key
    assert step(tmp_path).key != step(tmp_path, rate=2).key
    assert step(tmp_path).key != step(tmp_path, asked={"prompts": 3}).key
    assert step(tmp_path, asked={"prompts": 3}).folder == step(tmp_path).folder
    assert step(tmp_path, rate=2).folder != step(tmp_path).folder


def test_a_step_is_done_when_its_record_is_there_and_fits(tmp_path):
    first = step(tmp_path, asked={"prompts": 1})
    assert first.record() is None
    first.finish(1.25, clips=3)
    assert first.record()["clips"] == 3
    assert step(tmp_path, asked={"prompts": 2}).record() is None  # the same folder, not yet all
    (first.folder / "step.json").write_text("{torn")
    assert first.record() is None


def test_what_is_done_again_is_told_with_what_changed(tmp_path):
    before = [step(tmp_path, f"motive, seed {seed}") for seed in (0, 1)]
    ledger = Ledger(tmp_path)
    for one in before:
        ledger.take(one, one.finish(1.0), new=True)
    after = [step(tmp_path, f"motive, seed {seed}", rate=2) for seed in (0, 1)]
    told = Ledger(tmp_path).changed([*after, step(tmp_path, "new one")])
    assert told == ["finetune: 2 steps again, because rate was 1 and is 2"]
    after[0].finish(1.0)  # its new result is there: nothing is done again
    assert "1 step again" in Ledger(tmp_path).changed(after)[0]
    assert Ledger(tmp_path).changed(before) == []


def test_the_log_has_every_step_once_and_the_state_is_read_back(tmp_path):
    ledger, one = Ledger(tmp_path), step(tmp_path)
    record = one.finish(2.0)
    ledger.take(one, record, new=True)
    ledger.take(one, record, new=False)
    Ledger(tmp_path).take(one, record, new=False)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == [one.key]


def test_a_damaged_state_is_one_line_and_costs_no_results(tmp_path):
    (tmp_path / "experiment.json").write_text("[]")
    with pytest.raises(MotiveError, match="what is done stays done"):
        Ledger(tmp_path)


def test_results_of_earlier_settings_are_found_and_only_those_deleted(tmp_path):
    old, new = step(tmp_path), step(tmp_path, rate=2)
    old.finish(1.0), new.finish(1.0)
    half = step(tmp_path, rate=3)
    half.folder.mkdir()
    (half.folder / "checkpoint").write_text("begun")
    ledger = Ledger(tmp_path)
    assert ledger.forgotten([new]) == [old.folder]
    assert ledger.prune([new]) == 1
    assert not old.folder.exists()
    assert new.folder.exists()
    assert half.folder.exists()


def test_one_experiment_is_never_run_twice_at_once(tmp_path):
    twice = pytest.raises(UsageError, match="another process runs this experiment")
    with only_run(tmp_path), twice, only_run(tmp_path):
        pass
    with only_run(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MotiveError, match="cannot be written"), only_run(tmp_path / "file" / "x"):
        pass

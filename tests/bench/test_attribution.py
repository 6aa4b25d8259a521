"""The whole benchmark on a tiny world: complete, resumable, and careful with what is there."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from bench_world import write_problem
from motive.bench import attribution as room
from motive.bench.attribution import Attribution, Size
from motive.bench.clipwork import ClipWork
from motive.bench.counterfactual import QUICK_BANK
from motive.bench.methods import FromFile, find_method
from motive.bench.problem import load_problem
from motive.errors import FingerprintError, MotiveError, UsageError
from motive.evaluation import bank as bank_room
from motive.evaluation.bank import Plan
from motive.evaluation.retraining import Recipe
from motive.runs import RunConfig
from tiny_wan import save_tiny_wan

METHODS = tuple(find_method(key) for key in ("random", "weight-maps", "no-mask", "motive"))


@pytest.fixture(scope="module", autouse=True)
def small_sizes():
    """Sizes that fit six candidates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "FULL", Size(probe_candidates=4, probe_queries=2, dims=(64, 128)))
        plan, recipe = Plan(subsets=4), Recipe(steps=2, batch_size=2)
        settings = dataclasses.replace(
            QUICK_BANK, plan=plan, recipe=recipe, selection_seeds=(0,), motions=("fast", "unknown")
        )
        patch.setattr(room, "FULL_BANK", settings)
        yield


@pytest.fixture(scope="module")
def config(bench_model):
    return RunConfig(model=str(bench_model), block=4096, device="cpu")


@pytest.fixture(scope="module")
def finished(problem, config, tmp_path_factory):
    """A folder in which the benchmark has run: copy it, do not write into it."""
    out = tmp_path_factory.mktemp("bench") / "out"
    Attribution(problem, out, config, METHODS, bank=out / "bank.parquet", command="motive").run()
    return out


@pytest.fixture
def out(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "out")


def attribution(problem, out, config, methods=METHODS, **options):
    options = {"bank": out / "bank.parquet"} | options
    return Attribution(problem, out, config, methods, **options)


def forbid_work(monkeypatch):
    """From here on, computing a gradient or training a model is an error."""
    monkeypatch.setattr(ClipWork, "features", None)
    monkeypatch.setattr(bank_room, "examine", None)


def test_the_board_has_every_part(finished):
    board = json.loads((finished / "board.json").read_text("utf-8"))
    rows = {row["key"]: row for row in board["rows"]}
    assert list(rows) == ["random", "weight-maps", "no-mask", "motive"]
    columns = {"map", "frozen", "shuffled", "decoys", "lds_loss", "gain", "tail"}
    assert columns <= set(rows["motive"]["values"])
    assert board["notes"] == [
        "The best 10 % are chosen by the queries that show fast, and measured on these."
    ]
    assert rows["weight-maps"]["same"] == ["frozen", "shuffled"]
    assert [contrast["key"] for contrast in board["contrasts"]] == ["mask", "frozen"]
    assert [row["dim"] for row in board["projection"]["rows"]] == [64, 128]
    assert (board["bank"]["models"], board["bank"]["updates"]) == (8, 2)
    assert board["motions"] == ["slow", "fast"]
    assert board["decoy_share"] == pytest.approx(1 / 6)
    text = (finished / "board.md").read_text("utf-8")
    assert "What does the motion mask buy?" in text
    assert (finished / "index.html").stat().st_size > 1_000_000


def test_methods_are_compared_with_their_unmasked_twins(problem, config, out):
    methods = tuple(find_method(key) for key in ("no-caption", "no-caption-no-mask"))
    board = attribution(problem, out, config, methods, bank=None).run()
    assert [c.key for c in board.contrasts] == ["mask of no-caption", "frozen of no-caption"]
    first, second = (board.row(method.key).values["map"].value for method in methods)
    assert board.contrasts[0].estimate.value == pytest.approx(first - second)


def test_other_motion_weights_are_compared_with_the_default_ones(problem, config, out):
    methods = tuple(find_method(key) for key in ("no-caption", "weights-robust"))
    board = attribution(problem, out, config, methods, bank=None).run()
    default, robust = (board.row(method.key).values["map"].value for method in methods)
    change = next(c for c in board.contrasts if c.key == "weights of weights-robust")
    assert change.estimate.value == pytest.approx(robust - default)


def test_a_second_run_computes_nothing_and_writes_the_same(problem, config, out, monkeypatch):
    before = (out / "board.json").read_bytes()
    forbid_work(monkeypatch)
    attribution(problem, out, config, command="motive").run()
    assert (out / "board.json").read_bytes() == before


def test_one_more_method_needs_no_gradient_that_is_there(problem, config, out, monkeypatch):
    monkeypatch.setattr(ClipWork, "features", None)
    path = out / "mine.npy"
    np.save(path, np.arange(12.0).reshape(2, 6))
    board = attribution(problem, out, config, (*METHODS, FromFile("mine", path))).run()
    row = board.row("mine")
    assert row.same == ()
    assert "frozen" not in row.values
    assert "lds_loss" in row.values


def test_an_interrupted_run_continues(problem, config, tmp_path, monkeypatch):
    seen, out = [], tmp_path / "out"

    def stop(stage, done, total):
        seen.append(stage)
        if stage == "methods" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attribution(problem, out, config, bank=None, on_progress=stop).run()
    assert not (out / "board.json").exists()
    computed = []
    features = ClipWork.features
    monkeypatch.setattr(
        ClipWork, "features", lambda self, *given: computed.append(given) or features(self, *given)
    )
    attribution(problem, out, config, bank=None).run()
    assert {spec.mask for _, spec in computed} == {True}  # the unmasked ones were there already


def test_bad_scores_are_refused_before_any_work(problem, config, tmp_path, monkeypatch):
    forbid_work(monkeypatch)
    path = tmp_path / "mine.npy"
    np.save(path, np.zeros((6, 2)))
    with pytest.raises(UsageError, match="transpose"):
        attribution(problem, tmp_path, config, (*METHODS, FromFile("mine", path))).run()


def test_a_folder_of_another_checkpoint_is_refused(problem, config, out, tmp_path, monkeypatch):
    from moving_squares import small_model

    other = small_model(save_tiny_wan(tmp_path / "wan", seed=1), tmp_path / "other")
    forbid_work(monkeypatch)
    with pytest.raises(FingerprintError, match=r"model\.transformer is .* here and .* there"):
        attribution(problem, out, config.updated(model=str(other))).run()


def test_a_folder_of_other_clips_is_refused(config, out, tmp_path, monkeypatch):
    forbid_work(monkeypatch)
    other = load_problem(write_problem(tmp_path / "problem", candidates=8))
    with pytest.raises(FingerprintError, match="candidates is 8 here and 6 there"):
        attribution(other, out, config).run()


def test_a_bank_of_another_experiment_is_refused_and_kept(problem, config, out, monkeypatch):
    forbid_work(monkeypatch)
    before = (out / "bank.parquet").read_bytes()
    changed = dataclasses.replace(room.FULL_BANK, recipe=Recipe(steps=3, batch_size=2))
    monkeypatch.setattr(room, "FULL_BANK", changed)
    with pytest.raises(FingerprintError, match=r"recipe\.steps was 2 and is 3"):
        attribution(problem, out, config).run()
    assert (out / "bank.parquet").read_bytes() == before


def test_a_half_written_bank_is_refused_and_a_short_one_continued(
    problem, config, out, monkeypatch
):
    path = out / "bank.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MotiveError, match="no whole bank"):
        attribution(problem, out, config).run()
    path.write_bytes(whole)
    monkeypatch.setattr(ClipWork, "features", None)
    more = dataclasses.replace(room.FULL_BANK, plan=Plan(subsets=5))
    monkeypatch.setattr(room, "FULL_BANK", more)
    trained = []
    examine = bank_room.examine
    monkeypatch.setattr(
        bank_room, "examine", lambda *given: trained.append(given) or examine(*given)
    )
    board = attribution(problem, out, config).run()
    assert (board.bank.models, len(trained)) == (10, 2)


def test_without_a_bank_there_are_no_counterfactual_columns(problem, config, out, monkeypatch):
    forbid_work(monkeypatch)
    board = attribution(problem, out, config, bank=None).run()
    assert board.bank is None
    assert board.columns("counterfactual") == []


def test_two_methods_of_one_name_are_refused(problem, config, tmp_path):
    twice = (*METHODS, FromFile("motive", tmp_path / "x.npy"))
    with pytest.raises(UsageError, match="two methods are called 'motive'"):
        attribution(problem, tmp_path, config, twice).run()
    with pytest.raises(UsageError, match="no method"):
        attribution(problem, tmp_path, config, ()).run()


def test_a_damaged_identity_is_one_line(problem, config, out):
    (out / "bench.json").write_text("{")
    with pytest.raises(MotiveError, match=r"bench\.json: cannot be read"):
        attribution(problem, out, config).run()

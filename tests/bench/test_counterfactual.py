"""Scores held against retraining, in a world where the effect of every clip is known."""

import dataclasses
import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

from motive.bench.context import Bench
from motive.bench.counterfactual import (
    BankSettings,
    label_scores,
    measure_counterfactual,
    open_bank,
)
from motive.bench.problem import BenchClip, Problem
from motive.bench.selections import Selections, crossed_estimate
from motive.clips import Clip
from motive.errors import FingerprintError, UsageError
from motive.evaluation.bank import Plan, SubsetTargets
from motive.evaluation.datamodel import random_subsets
from motive.evaluation.examining import Outcome
from motive.evaluation.motion_classifier import MotionClassifier
from motive.evaluation.retraining import Recipe
from motive.runs import RunConfig

MOTIONS = ("roll", "slide", "spin")
SETTINGS = BankSettings(plan=Plan(subsets=40), selection_seeds=(0, 1), motions=("spin",))


def clip(name, motion, decoy=None):
    digest = hashlib.blake2b(name.encode(), digest_size=32).digest()
    return BenchClip(Clip(name, name, digest=digest), name, motion, decoy)


@pytest.fixture(scope="module")
def world():
    """60 candidates (6 decoys), two queries and two prompts for each of three motions."""
    candidates = [clip(f"c{n}", MOTIONS[n % 3], "static" if n >= 54 else None) for n in range(60)]
    queries = [clip(f"q{n}", motion) for n, motion in enumerate(MOTIONS * 2)]
    prompts = tuple((f"it {motion}s", motion) for motion in MOTIONS * 2)
    return Problem(tuple(sorted(candidates, key=lambda c: c.id)), tuple(queries), prompts)


class KnownBank:
    """Every clip takes a known amount off every query's loss; training adds a little noise."""

    def __init__(self, problem, noise=0.3):
        self.problem, self.noise, self.tasks = problem, noise, []
        self.examination = SimpleNamespace(prompts=problem.prompts)
        asked = label_scores(problem)
        generator = np.random.default_rng(0)
        self.effect = 3.0 * asked + generator.standard_normal(asked.shape)

    def outcome(self, mask, seed):
        generator = np.random.default_rng([seed, *mask.astype(int)])
        count = max(1, mask.sum())
        mean = self.effect @ mask / count
        shaken = mean + self.noise * generator.standard_normal(len(mean)) / count**0.5
        losses = np.repeat(10.0 - shaken[:, None], 2, axis=1)
        return Outcome(losses, shaken - 5.0, 1.0)

    def fill(self, plan, workers=1, on_progress=None):
        masks = random_subsets(60, plan.subsets, plan.fraction, plan.subset_seed)
        rows = [[self.outcome(mask, seed) for mask in masks] for seed in plan.seeds]
        return SubsetTargets(
            masks,
            np.array([[row.losses for row in of_seed] for of_seed in rows]),
            np.array([[row.motions for row in of_seed] for of_seed in rows]),
            tuple(motion for _, motion in self.problem.prompts),
        )

    def train_on(self, tasks, workers=1, on_progress=None):
        self.tasks += tasks
        ids = self.problem.clip_ids
        return [self.outcome(np.array([i in chosen for i in ids]), seed) for chosen, seed in tasks]


@pytest.fixture(scope="module")
def measured(world):
    bank = KnownBank(world)
    random = np.random.default_rng(1).standard_normal(bank.effect.shape)
    scores = {"exact": bank.effect, "reversed": -bank.effect, "random": random}
    return measure_counterfactual(world, bank, scores, SETTINGS), bank


@pytest.mark.parametrize("target", ["lds_loss", "lds_motion"])
def test_true_effects_reach_the_ceiling_and_random_scores_nothing(measured, target):
    found, _ = measured
    exact, ceiling = found.rows["exact"][target], found.ceilings[target]
    assert exact.value == pytest.approx(ceiling.value, abs=0.1)
    assert exact.value > 0.7
    assert exact.low <= exact.value <= exact.high
    assert found.rows["reversed"][target].value < -0.7
    assert abs(found.rows["random"][target].value) < 0.25
    assert found.agreement[target].value < ceiling.value
    # The label is most of the effect here, but not all of it.
    assert 0.3 < found.labels[target].value < exact.value


def test_choosing_what_helps_gains_and_its_absence_costs(measured):
    found, _ = measured
    for key in ("gain", "tail"):
        assert found.rows["exact"][key].low > 0
        assert found.rows["reversed"][key].high < 0
        assert found.rows["random"][key].low < 0.2
    assert found.shown["best exact"].value > found.shown["random"].value


def test_gain_is_in_percent_of_the_base_loss_against_random_clips_of_equal_number(measured, world):
    found, bank = measured
    rows = {}
    for chosen, seed in bank.tasks:
        mask = np.array([clip_id in chosen for clip_id in world.clip_ids])
        rows.setdefault((mask.sum(), seed), []).append(bank.outcome(mask, seed).losses[[2, 5], 0])
    base, best, random = rows[0, 0][0], rows[6, 0], rows[6, 0][0]
    exact = best[2]  # after the random and the labelled ones
    other = rows[6, 1]
    per_seed = [(random - exact) / base, (other[0] - other[2]) / base]
    assert found.rows["exact"]["gain"].value == pytest.approx(100 * np.mean(per_seed))
    assert found.unit.startswith("percent")
    assert {len(chosen) for chosen, _ in bank.tasks} == {0, 6, 54, 60}


def test_references_stand_beside_the_methods(measured):
    found, _ = measured
    labelled = "random 10 % of those labelled with the asked motions"
    assert set(found.references) == {
        "all candidates", "random 10 %", "without random 10 %", labelled,
    }  # fmt: skip
    assert (found.models, found.subsets, found.seeds, found.updates) == (
        80,
        40,
        2,
        SETTINGS.recipe.steps,
    )
    assert found.fraction == 0.5
    for rows in found.rows.values():
        json.dumps({key: dataclasses.asdict(value) for key, value in rows.items()})


def test_selections_can_be_made_for_some_motions_alone(world):
    bank = KnownBank(world)
    selections = Selections(world, bank, 0.1, (0,), ("spin",))
    motions = {c.id: c.motion for c in world.candidates if c.decoy is None}
    assert {motions.get(i) for i in selections.chosen(bank.effect)} == {"spin"}
    selections.train({"exact": bank.effect})
    assert selections.gain_and_tail("exact")["gain"].value > 1
    with pytest.raises(UsageError, match="no query shows 'jump'"):
        Selections(world, bank, 0.1, (0,), ("jump",)).chosen(bank.effect)


def test_without_seeds_there_are_no_selections_and_no_ceiling(world):
    bank = KnownBank(world)
    settings = dataclasses.replace(SETTINGS, plan=Plan(4, seeds=(0,)), selection_seeds=())
    found = measure_counterfactual(world, bank, {"exact": bank.effect}, settings)
    assert set(found.rows["exact"]) == {"lds_loss", "lds_motion"}
    assert (found.ceilings, found.references, found.shown) == ({}, {}, {})
    assert bank.tasks == []


def test_decoys_do_not_count_as_showing_their_motion(world):
    scores = label_scores(world)
    assert scores.sum(axis=1).tolist() == [18] * 6


def test_crossed_intervals_are_wider_than_those_of_one_seed():
    generator = np.random.default_rng(0)
    values = generator.standard_normal((3, 1)) + 0.1 * generator.standard_normal((3, 50))
    both, one = crossed_estimate(values), crossed_estimate(values[:1])
    assert both.high - both.low > 3 * (one.high - one.low)
    assert both.value == pytest.approx(values.mean())


@pytest.fixture(scope="module")
def bench(problem, bench_model, tmp_path_factory):
    config = RunConfig(model=str(bench_model), device="cpu")
    return Bench(problem, config=config, cache=tmp_path_factory.mktemp("cache"))


def test_a_bank_is_opened_from_a_bench_and_measured(bench, problem, tmp_path):
    settings = BankSettings(
        plan=Plan(3, seeds=(0, 1)),
        recipe=Recipe(steps=1, batch_size=2),
        sigmas=(0.5,),
        prompts_per_motion=1,
        sampling_steps=1,
        share=0.3,
        selection_seeds=(0,),
    )
    judge = MotionClassifier(("slow", "fast"), kind="latent").eval()
    path = tmp_path / "bank.parquet"
    bank = open_bank(path, bench, settings, judge)
    assert [motion for _, motion in bank.examination.prompts] == ["slow", "fast"]
    scores = np.random.default_rng(0).standard_normal((2, 6))
    found = measure_counterfactual(problem, bank, {"one": scores}, settings)
    assert set(found.rows["one"]) == {"lds_loss", "lds_motion", "gain", "tail"}
    again = measure_counterfactual(
        problem, open_bank(path, bench, settings, judge), {"one": scores}, settings,
        on_progress=lambda *_: pytest.fail("trained again"),
    )  # fmt: skip
    assert again == found
    with pytest.raises(FingerprintError, match="sampling_steps was 1 and is 3"):
        open_bank(path, bench, dataclasses.replace(settings, sampling_steps=3), judge)

"""The bank of retrained models: continued, shared, and refused where it does not fit."""

import dataclasses
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from motive.backbones import TextEmbedding, load_backbone
from motive.clips import ClipStandard
from motive.errors import FingerprintError, MotiveError, UsageError
from motive.evaluation.bank import Bank, Plan
from motive.evaluation.examining import Examination, examine
from motive.evaluation.motion_classifier import MotionClassifier, classify
from motive.evaluation.retraining import HeldOutClips, Recipe, TrainingClips, held_out_losses

PLAN = Plan(subsets=2, seeds=(0, 1))


@pytest.fixture(scope="module")
def backbone(tiny_wan):
    return load_backbone(tiny_wan, device="cpu")


def make_clips(names, kind=TrainingClips, **more):
    generator = torch.Generator().manual_seed(len(names))
    latents = torch.randn(len(names), 16, 2, 4, 4, generator=generator)
    texts = tuple(TextEmbedding(torch.randn(2, 32, generator=generator), 4) for _ in names)
    return kind(tuple(names), latents, texts, **more)


@pytest.fixture(scope="module")
def examination():
    return Examination(
        make_clips(["a", "b", "c", "d"]),
        make_clips(["x", "y", "z"], HeldOutClips, weights=torch.rand(3, 2, 4, 4)),
        Recipe(steps=1, batch_size=2, learning_rate=1e-3, averaging=None),
        (0.4, 0.8),
        7,
        ClipStandard(5, 16, 32, 32),
    )


@pytest.fixture(scope="module")
def filled(backbone, examination, tmp_path_factory):
    """A whole bank: its file and its targets."""
    path = tmp_path_factory.mktemp("bank") / "bank.parquet"
    return path, Bank(path, backbone, examination).fill(PLAN)


def interrupt_after(count):
    def progress(_stage, done, _total):
        if done == count:
            raise KeyboardInterrupt

    return progress


def test_a_bank_holds_one_model_per_set_and_seed(filled, examination, backbone):
    path, targets = filled
    assert targets.masks.shape == (2, 4)
    assert (targets.masks.sum(axis=1) == 2).all()
    assert targets.losses.shape == (2, 2, 3, 2)
    assert targets.motions.shape == (2, 2, 0)
    chosen = [examination.candidates.ids[i] for i in np.flatnonzero(targets.masks[1])]
    expected = examine(examination, backbone, chosen, seed=1)
    np.testing.assert_array_equal(targets.losses[1, 1], expected.losses)
    assert pq.read_table(path).num_rows == 4


def test_a_killed_bank_continues_and_ends_in_the_same_numbers(
    backbone, examination, filled, tmp_path
):
    path = tmp_path / "bank.parquet"
    with pytest.raises(KeyboardInterrupt):
        Bank(path, backbone, examination).fill(PLAN, on_progress=interrupt_after(3))
    trained = []
    bank = Bank(path, backbone, examination)
    assert len(bank) == 3
    found = bank.fill(PLAN, on_progress=lambda *progress: trained.append(progress))
    assert trained == [("retraining", 1, 1)]
    np.testing.assert_array_equal(found.losses, filled[1].losses)
    assert [p.name for p in tmp_path.iterdir()] == ["bank.parquet"]


def test_a_whole_bank_trains_nothing(backbone, examination, filled, monkeypatch):
    monkeypatch.setattr("motive.evaluation.bank.examine", None)  # a call would fail
    targets = Bank(filled[0], backbone, examination).fill(PLAN)
    np.testing.assert_array_equal(targets.losses, filled[1].losses)


def test_an_unfinished_set_is_left_out_of_the_targets(backbone, examination, tmp_path):
    path = tmp_path / "bank.parquet"
    with pytest.raises(KeyboardInterrupt):
        Bank(path, backbone, examination).fill(PLAN, on_progress=interrupt_after(3))
    assert Bank(path, backbone, examination).targets(PLAN).losses.shape == (2, 1, 3, 2)
    assert Bank(tmp_path / "none", backbone, examination).targets(PLAN).masks.shape == (0, 4)


def test_a_larger_plan_keeps_the_models_that_are_there(backbone, examination, filled, tmp_path):
    path = shutil.copy(filled[0], tmp_path / "bank.parquet")
    trained = []
    larger = dataclasses.replace(PLAN, subsets=3)
    found = Bank(path, backbone, examination).fill(larger, on_progress=lambda *p: trained.append(p))
    assert trained[-1] == ("retraining", 2, 2)
    np.testing.assert_array_equal(found.losses[:, :2], filled[1].losses)


def test_two_writers_lose_nothing(backbone, examination, tmp_path):
    path = tmp_path / "bank.parquet"
    first, second = (Bank(path, backbone, examination) for _ in range(2))
    first.train_on([(["a"], 0)])
    second.train_on([(["b"], 0)])
    assert len(Bank(path, backbone, examination)) == 2


def test_tasks_with_the_same_clips_share_a_model(backbone, examination, tmp_path):
    bank = Bank(tmp_path / "bank.parquet", backbone, examination)
    first, again, other = bank.train_on([(["a", "c"], 0), (["c", "a"], 0), (["a", "c"], 1)])
    assert first is again
    assert not np.array_equal(first.losses, other.losses)
    assert len(bank) == 2


def test_no_clips_at_all_are_the_base_model(backbone, examination, tmp_path):
    bank = Bank(tmp_path / "bank.parquet", backbone, examination)
    first, second = bank.train_on([([], 0), ([], 5)])
    assert first is second
    expected = held_out_losses(backbone, examination.queries, (0.4, 0.8), noise_seed=7)
    np.testing.assert_array_equal(first.losses, expected)


def test_workers_do_not_change_the_numbers(backbone, examination, filled, tmp_path):
    bank = Bank(tmp_path / "bank.parquet", backbone, examination, device="cpu")
    targets = bank.fill(PLAN, workers=2)
    np.testing.assert_array_equal(targets.losses, filled[1].losses)


def _other(examination, **changes):
    return dataclasses.replace(examination, **changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: _other(e, candidates=make_clips(["a", "b", "c"])), "candidates was"),
        (lambda e: _other(e, recipe=Recipe(steps=2)), "recipe.steps was 1 and is 2"),
        (lambda e: _other(e, sigmas=(0.5,)), "losses.sigmas was"),
    ],
)
def test_a_bank_of_another_experiment_is_refused_in_one_line(
    backbone, examination, filled, change, words
):
    with pytest.raises(FingerprintError, match=words) as caught:
        Bank(filled[0], backbone, change(examination))
    assert "\n" not in str(caught.value)


def test_a_bank_of_another_checkpoint_is_refused_in_one_line(
    examination, filled, tiny_wan, tmp_path
):
    from tiny_wan import save_tiny_wan

    other = load_backbone(save_tiny_wan(tmp_path / "other", seed=1), device="cpu")
    with pytest.raises(FingerprintError, match=r"base\.transformer was") as caught:
        Bank(filled[0], other, examination)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, 10, 1000])
def test_a_torn_file_is_one_line_and_left_alone(backbone, examination, filled, tmp_path, size):
    path = tmp_path / "bank.parquet"
    path.write_bytes(filled[0].read_bytes()[:size])
    with pytest.raises(MotiveError, match="no whole bank of retrained models") as caught:
        Bank(path, backbone, examination)
    assert "\n" not in str(caught.value)
    assert path.stat().st_size == size


def test_another_parquet_file_is_no_bank(backbone, examination, tmp_path):
    import pyarrow as pa

    path = tmp_path / "bank.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(MotiveError, match="no whole bank"):
        Bank(path, backbone, examination)


def test_an_unknown_clip_is_refused_before_anything_is_trained(backbone, examination, tmp_path):
    bank = Bank(tmp_path / "bank.parquet", backbone, examination)
    with pytest.raises(UsageError, match="'q' is not among the 4 candidates"):
        bank.train_on([(["a"], 0), (["q"], 0)])
    assert len(bank) == 0


@pytest.mark.parametrize("bad", [{"subsets": 0}, {"seeds": ()}, {"seeds": (1, 1)}])
def test_impossible_plans_are_refused(bad):
    with pytest.raises(UsageError):
        Plan(**bad)


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    return MotionClassifier(("roll", "slide"), kind="latent").eval()


def test_generated_clips_are_judged_by_the_motion_that_was_asked_for(
    backbone, examination, classifier, tmp_path
):
    from motive.evaluation.generation import generate_latents

    prompts = (("a red ball rolls", "roll"), ("a red ball slides", "slide"))
    judged = _other(examination, prompts=prompts, classifier=classifier, sampling_steps=2)
    bank = Bank(tmp_path / "bank.parquet", backbone, judged)
    found = bank.train_on([([], 0)])[0].motions
    clips = generate_latents(
        backbone, [p[0] for p in prompts], seed=0, steps=2, guidance=1.0, standard=judged.standard
    )
    expected = classify(classifier, clips).diagonal().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    again = Bank(tmp_path / "bank.parquet", backbone, judged)
    np.testing.assert_array_equal(again.train_on([([], 0)])[0].motions, found)
    with pytest.raises(FingerprintError, match="generation"):
        Bank(tmp_path / "bank.parquet", backbone, examination)


def test_prompts_that_nobody_can_judge_are_refused(examination, classifier):
    with pytest.raises(UsageError, match="does not know 'spin'"):
        _other(examination, prompts=(("it spins", "spin"),), classifier=classifier)
    with pytest.raises(UsageError, match="no motion classifier"):
        _other(examination, prompts=(("it rolls", "roll"),))

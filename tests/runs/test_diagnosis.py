"""What a diagnosis tries, compares and recommends."""

import math

import numpy as np
import pytest
import torch

from motive.errors import ClipError, MotiveError
from motive.gradients import Featurizer
from motive.runs import Run, RunConfig, diagnosis
from motive.runs.diagnosis import diagnose, score_error
from motive.runs.settings import Setting
from moving_squares import square_videos


def silent(stage, done, total):
    """Progress for nobody."""


@pytest.fixture(scope="module")
def clips(config, tmp_path_factory):
    from motive.clips import read_dataset

    run = Run(tmp_path_factory.mktemp("diagnosis"), config)
    videos = square_videos(tmp_path_factory.mktemp("videos"), range(5))
    return [run.preparer.prepare(clip) for clip in read_dataset(videos)]


@pytest.fixture(scope="module")
def found(config, clips):
    return diagnose(config, clips, 5, silent, compiling=False)


def trial(found, name):
    (one,) = [t for t in found.trials if t.name == name]
    return one


def test_the_reference_repeats_itself(found):
    again = trial(found, "the reference once more")
    assert again.worst == pytest.approx(1.0, abs=1e-9)
    assert again.agreement == 1.0
    assert found.reference.seconds > 0


@pytest.mark.parametrize("name", ["gradient checkpointing", "weights offloaded", "attention: math"])
def test_what_changes_no_number_shows_no_change(found, name):
    assert trial(found, name).worst > 0.99999


def test_half_precision_is_seen(found):
    half = trial(found, "bfloat16")
    assert len(half.cosines) == 5
    assert 0.9 < half.worst < 0.999999
    assert -1 <= half.agreement <= 1


def test_everything_is_tried_or_has_a_reason(found):
    names = [t.name for t in found.trials]
    for name in (
        "float16",
        "TF32",
        "torch.compile",
        *(f"attention: {a}" for a in ("flash", "cudnn")),
    ):
        assert name in names
    for one in found.trials:
        assert bool(one.cosines) != bool(one.reason), one
    assert trial(found, "torch.compile").reason == "not tried: --no-compile"
    if not torch.cuda.is_available():
        assert "no CUDA device" in trial(found, "device cuda").reason
        assert "CUDA format" in trial(found, "TF32").reason


def test_switches_are_put_back(config, clips):
    before = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    diagnose(config, clips[:1], 5, silent, compiling=False)
    assert (torch.get_num_threads(), torch.backends.cudnn.allow_tf32) == before


def test_few_clips_have_no_rank_agreement(config, clips):
    found = diagnose(config, clips[:2], 5, silent, compiling=False)
    assert found.reference.agreement is None
    assert all(t.agreement is None for t in found.trials)


def test_a_setting_that_fails_is_a_row_with_its_reason(config, clips, monkeypatch):
    whole = Featurizer.feature

    def feature(self, *arguments):
        if self.backbone.dtype == torch.float16:
            raise ClipError("gradient of w is not finite")
        if self.backbone.dtype == torch.bfloat16:
            raise torch.OutOfMemoryError("no more")
        return whole(self, *arguments)

    monkeypatch.setattr(Featurizer, "feature", feature)
    found = diagnose(config, clips[:1], 5, silent, compiling=False)
    assert trial(found, "float16").reason == "fails: gradient of w is not finite"
    assert trial(found, "bfloat16").reason == "not here: out of memory"
    assert trial(found, "gradient checkpointing").worst > 0.99999


def test_a_reference_that_does_not_fit_says_what_to_do(config, clips, monkeypatch):
    def feature(self, *arguments):
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(Featurizer, "feature", feature)
    with pytest.raises(MotiveError, match="does not fit on cpu; add --checkpointing or --offload"):
        diagnose(config, clips[:1], 5, silent)


def scripted(monkeypatch, table):
    """Replace measuring: seconds and angle by what differs from the reference."""

    def measure(self, setting):
        changes = frozenset(
            name
            for name in ("dtype", "threads", "tf32", "checkpointing")
            if getattr(setting, name) != getattr(self.base, name)
        )
        seconds, angle = table.get((setting.dtype, *sorted(changes - {"dtype"})), (10.0, 0.0))
        return np.array([[math.cos(angle), math.sin(angle)]]), seconds, None

    monkeypatch.setattr(diagnosis._Bench, "_measure", measure)
    monkeypatch.setattr(
        diagnosis._Bench,
        "base",
        Setting("cpu", threads=torch.get_num_threads()),
        raising=False,
    )
    return diagnose(RunConfig(device="cpu"), [None], 5, silent, compiling=False)


def test_the_fastest_harmless_setting_is_recommended(monkeypatch):
    found = scripted(monkeypatch, {("bfloat16",): (2.0, 0.01), ("float16",): (1.0, 0.2)})
    assert found.best.setting.options(found.reference.setting) == ["--dtype", "bfloat16"]
    assert found.best.worst == pytest.approx(math.cos(0.01))


def test_harmless_settings_are_tried_together_before_they_are_recommended(monkeypatch):
    table = {("bfloat16",): (2.0, 0.01), ("float32", "threads"): (5.0, 0.0)}
    together = ("bfloat16", "threads")
    for seconds, angle, best in ((1.0, 0.01, True), (1.0, 0.2, False), (9.0, 0.0, False)):
        found = scripted(monkeypatch, {**table, together: (seconds, angle)})
        assert found.trials[-1].name == "the harmless and faster together"
        assert (found.best is found.trials[-1]) == best


def test_what_excludes_each_other_is_not_combined():
    assert not Setting("cpu", batch=2, compile_blocks=True).consistent
    assert Setting("cpu", batch=2, dtype="bfloat16").consistent
    assert Setting("cpu", offload=True, checkpointing=True).consistent


def test_nothing_clearly_faster_leaves_the_defaults(monkeypatch):
    found = scripted(monkeypatch, {("bfloat16",): (9.8, 0.0)})
    assert found.best is found.reference
    assert found.best.setting.options(found.reference.setting) == []


def test_what_no_option_asks_for_is_not_recommended():
    base = Setting("cpu")
    assert Setting("cpu", attention="math").options(base) is None
    assert Setting("cpu", tf32=True, dtype="bfloat16").options(base) is None
    assert Setting("cpu", threads=2, checkpointing=True).options(base) == [
        "OMP_NUM_THREADS=2",
        "--checkpointing",
    ]


def test_the_error_of_a_score_is_the_distance_of_the_features():
    a, b = torch.randn(2, 50, dtype=torch.float64).unbind()
    a, b = a / a.norm(), b / b.norm()
    assert score_error(float(a @ b)) == pytest.approx(float((a - b).norm()))
    assert score_error(1.0000001) == 0.0

"""Motion fidelity: counting, intervals, and a judge that never sees the prompt."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from motive.clips import ClipStandard
from motive.errors import UsageError
from motive.evaluation import fidelity
from motive.evaluation.fidelity import motion_fidelity, wilson_share
from motive.evaluation.motion_classifier import MotionClassifier


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_are_wilsons(counts):
    shown, clips = counts
    share = wilson_share(shown, clips)
    expected = binomtest(shown, clips).proportion_ci(method="wilson")
    assert share.low == pytest.approx(expected.low, abs=1e-9)
    assert share.high == pytest.approx(expected.high, abs=1e-9)
    assert share.value == shown / clips


class _Latents:
    """Stands in for sampling: clip i is filled with the number of the motion it shows."""

    standard = ClipStandard(frames=5, fps=16.0, height=32, width=32)

    def __init__(self, shows):
        self.shows = shows

    def __call__(self, backbone, captions, *, seed, **options):
        values = torch.tensor([float(number) for number in self.shows[seed]])
        return values.view(-1, 1, 1, 1, 1).expand(-1, 16, 2, 4, 4)


def test_shares_are_counted_per_asked_motion(monkeypatch):
    classifier = MotionClassifier(("roll", "slide", "spin"), kind="latent")
    monkeypatch.setattr(fidelity, "generate_latents", _Latents({0: [0, 1, 2], 7: [0, 0, 2]}))
    monkeypatch.setattr(
        fidelity,
        "classify",
        lambda model, clips: torch.nn.functional.one_hot(clips[:, 0, 0, 0, 0].long(), 3).float(),
    )
    prompts = [("a ball rolls", "roll"), ("it slides", "slide"), ("it slides too", "slide")]
    seen = []
    found = motion_fidelity(
        None, classifier, prompts, seeds=(0, 7), on_progress=lambda *now: seen.append(now)
    )
    assert (found.total.shown, found.total.clips) == (3, 6)
    assert (found.motions["roll"].shown, found.motions["roll"].clips) == (2, 2)
    assert (found.motions["slide"].shown, found.motions["slide"].clips) == (1, 4)
    assert found.confusion == {"roll": {"roll": 2}, "slide": {"slide": 1, "spin": 2, "roll": 1}}
    assert seen == [(3, 6), (6, 6)]


def test_unknown_motions_and_empty_lists_are_refused():
    classifier = MotionClassifier(("roll",), kind="latent")
    with pytest.raises(UsageError, match="'fly': the classifier knows roll"):
        motion_fidelity(None, classifier, [("it flies", "fly")])
    with pytest.raises(UsageError, match="at least one prompt"):
        motion_fidelity(None, classifier, [])
    with pytest.raises(UsageError, match="5 of 3"):
        wilson_share(5, 3)

"""The motion classifier: shapes, saving, bad input, and what its training may and may not use."""

from __future__ import annotations

import json

import pytest
import torch

from motive.errors import ModelError, UsageError
from motive.evaluation.classifier_training import (
    ClassifierData,
    accuracy,
    as_video,
    augmented,
    frozen,
    shuffled,
    train_motion_classifier,
    without_motion,
)
from motive.evaluation.motion_classifier import (
    MotionClassifier,
    classify,
    load_motion_classifier,
    save_motion_classifier,
)


def squares(count, seed=0):
    """uint8 "n 9 32 32 3": a bright square that goes up (label 0) or down (label 1)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    video = torch.randint(0, 40, (count, 9, 32, 32, 3), generator=generator, dtype=torch.uint8)
    for clip, label in zip(video, labels, strict=True):
        column = int(torch.randint(4, 20, (), generator=generator))
        for time in range(9):
            row = 4 + 2 * time if label else 20 - 2 * time
            clip[time, row : row + 8, column : column + 8] = 220
    return video, labels


@pytest.mark.parametrize(("kind", "channels", "side"), [("pixel", 3, 32), ("latent", 16, 8)])
def test_logits_have_one_column_per_motion(kind, channels, side):
    model = MotionClassifier(("roll", "slide", "spin"), kind=kind)
    assert model(torch.zeros(2, channels, 5, side, side)).shape == (2, 3)


def test_the_answer_for_a_clip_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    model = MotionClassifier(("a", "b")).eval()
    clips = torch.rand(5, 3, 5, 32, 32)
    together, alone = classify(model, clips), classify(model, clips, batch_size=1)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together.exp().sum(dim=1), torch.ones(5))


def test_motion_is_learnt_and_frozen_clips_are_not_recognised():
    video, labels = squares(48)
    torch.manual_seed(0)
    model = MotionClassifier(("up", "down"))
    train_motion_classifier(
        model, ClassifierData(video, labels), steps=80, batch_size=16, rate=4e-3
    )
    held, truth = squares(32, seed=1)
    assert accuracy(model, held, truth) > 0.9
    moving, still = (
        classify(model, clips).exp().amax(dim=1).mean()
        for clips in (as_video(held), frozen(as_video(held)))
    )
    assert still < moving - 0.1


def test_training_is_repeatable():
    video, labels = squares(16)
    weights = []
    for _ in range(2):
        torch.manual_seed(0)
        model = MotionClassifier(("up", "down"))
        train_motion_classifier(model, ClassifierData(video, labels), steps=2, batch_size=4)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*weights)


def test_clips_without_motion_stand_still_or_are_out_of_order():
    clips = torch.arange(9.0).view(1, 1, 9, 1, 1).repeat(4, 3, 1, 2, 2)
    still = without_motion(clips, torch.Generator().manual_seed(0))
    assert still.shape == clips.shape
    assert (still[:2] == still[:2, :, :1]).all()
    assert not torch.equal(still[2:], clips[2:])
    assert torch.equal(still[2:].sort(dim=2).values, clips[2:])


def test_augmentation_keeps_still_pixels_still():
    """Every change is the same on all frames, so it never adds motion (noise aside)."""
    generator = torch.Generator().manual_seed(0)
    for clip in augmented(torch.rand(8, 3, 1, 16, 16).repeat(1, 1, 5, 1, 1), generator):
        assert (clip - clip[:, :1]).abs().max() < 0.6
    order = shuffled(torch.arange(5.0).view(1, 1, 5, 1, 1), generator).flatten()
    assert sorted(order.tolist()) == [0, 1, 2, 3, 4]


def test_a_saved_classifier_gives_the_same_answers(tmp_path):
    torch.manual_seed(0)
    model = MotionClassifier(("roll", "free fall")).eval()
    save_motion_classifier(model, tmp_path / "clf", {"accuracy": {"real": 0.5}})
    loaded = load_motion_classifier(tmp_path / "clf")
    clips = torch.rand(2, 3, 5, 32, 32)
    assert torch.equal(classify(model, clips), classify(loaded, clips))
    assert loaded.motions == ("roll", "free fall")
    assert loaded.facts == {"accuracy": {"real": 0.5}}
    assert not any(p.requires_grad for p in loaded.parameters())


def test_missing_and_damaged_classifiers_are_one_clear_line(tmp_path):
    with pytest.raises(ModelError, match=r"no motion classifier \(config.json is missing\)"):
        load_motion_classifier(tmp_path)
    save_motion_classifier(MotionClassifier(("a", "b")), tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="damaged"):
        load_motion_classifier(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"motions": ["a"]}))
    with pytest.raises(ModelError, match="damaged"):
        load_motion_classifier(tmp_path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"motions": ()}, "motions"),
        ({"motions": ("a", "a")}, "once"),
        ({"kind": "sound"}, "kind"),
        ({"width": 100}, "width"),
    ],
)
def test_impossible_options_are_refused(change, match):
    with pytest.raises(UsageError, match=match):
        MotionClassifier(**{"motions": ("a", "b"), **change})


@pytest.mark.parametrize("shape", [(3, 5, 32, 32), (1, 4, 5, 32, 32), (1, 3, 1, 32, 32)])
def test_tensors_of_another_layout_are_refused(shape):
    with pytest.raises(UsageError, match="expected b 3 f h w"):
        MotionClassifier(("a", "b"))(torch.zeros(shape))

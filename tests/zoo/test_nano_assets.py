"""What ships inside the package: two models and the judge of their motions."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
import torch

from motive.backbones import load_backbone
from motive.clips import decode_clip, read_dataset
from motive.evaluation.classifier_training import as_video, frozen
from motive.evaluation.motion_classifier import classify, load_motion_classifier
from motive.zoo.motions import MOTIONS
from motive.zoo.pack import unpack_demo_clips

ASSETS = Path(str(resources.files("motive"))) / "zoo/assets"


@pytest.fixture(scope="module")
def queries(tmp_path_factory):
    """One packaged query clip of each motion: pixels and labels."""
    data = unpack_demo_clips(tmp_path_factory.mktemp("zoo") / "zoo")
    by_motion = {clip.label: clip for clip in read_dataset(data / "queries")}
    clips = [by_motion[motion] for motion in MOTIONS]
    standard = load_backbone("wan-nano", device="cpu").standard
    return torch.stack([decode_clip(clip, standard).pixels for clip in clips])


def test_the_classifier_knows_the_packaged_motions_and_not_frozen_clips(queries):
    classifier = load_motion_classifier()
    assert set(classifier.motions) == set(MOTIONS)
    truth = torch.tensor([classifier.motions.index(motion) for motion in MOTIONS])
    right = (classify(classifier, as_video(queries)).argmax(dim=1) == truth).float().mean()
    still = (classify(classifier, frozen(as_video(queries))).argmax(dim=1) == truth).float().mean()
    assert right >= 0.7
    assert still <= 0.4


def test_the_classifier_tells_its_accuracy_and_controls():
    accuracy = load_motion_classifier().facts["accuracy"]
    assert accuracy["real clips"] > 0.8
    assert accuracy["control: frozen"] < 0.2
    assert accuracy["control: shuffled frames"] < 0.3


@pytest.mark.parametrize("name", ["wan-nano", "wan-nano-base"])
def test_shipped_models_are_whole_and_speak_in_the_same_latents(name):
    backbone = load_backbone(name, device="cpu")
    assert backbone.latent_grid(backbone.standard) == (5, 8, 8)
    assert all(p.dtype == torch.float32 for p in backbone.transformer.parameters())
    text = backbone.encode_text("a red ball rolls to the left").padded()[None]
    with torch.no_grad():
        velocity = backbone.predict(torch.zeros(1, 16, 5, 8, 8), 0.9, text)
    assert torch.isfinite(velocity).all()
    config = (ASSETS / name / "vae/config.json").read_text()
    other = (ASSETS / "wan-nano" / "vae/config.json").read_text()
    assert json.loads(config)["latents_mean"] == json.loads(other)["latents_mean"]

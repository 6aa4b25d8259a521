"""Do wan-nano and its base show the motion they are asked for, and can the judge be trusted?

    python benchmarks/wan_nano_fidelity.py [--seeds 3] [--steps 16] [--guidance 4]

Everything is inside the package: both models, the classifier and the clips.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import torch

from measuring import save
from motive.backbones import load_backbone
from motive.clips import decode_clip, read_dataset
from motive.evaluation.classifier_training import as_video, frozen, shuffled
from motive.evaluation.fidelity import Fidelity, motion_fidelity, wilson_share
from motive.evaluation.motion_classifier import MotionClassifier, classify, load_motion_classifier
from motive.zoo.pack import unpack_demo_clips

MODELS = ("wan-nano-base", "wan-nano")


def judged(model: MotionClassifier, video: torch.Tensor, labels: torch.Tensor) -> dict[str, object]:
    """Accuracy with its interval."""
    right = int((classify(model, video).argmax(dim=1) == labels).sum())
    return asdict(wilson_share(right, len(labels)))


def judge_accuracy(classifier: MotionClassifier, clips: list, backbone) -> dict[str, object]:  # noqa: ANN001
    """The classifier on real clips, on what the autoencoder makes of them, and on two controls."""
    real = [clip for clip in clips if clip.label in classifier.motions]
    real = [clip for clip in real if not clip.extra.get("decoy")]
    pixels = torch.stack([decode_clip(clip, backbone.standard).pixels for clip in real])
    labels = torch.tensor([classifier.motions.index(str(clip.label)) for clip in real])
    video = as_video(pixels)
    latents = torch.stack([backbone.encode_video(clip) for clip in pixels])
    again = as_video(torch.stack([backbone.decode_latents(clip) for clip in latents]))
    generator = torch.Generator().manual_seed(0)
    return {
        "clips": len(real),
        "real": judged(classifier, video, labels),
        "after the autoencoder": judged(classifier, again, labels),
        "control: frozen": judged(classifier, frozen(video), labels),
        "control: shuffled frames": judged(classifier, shuffled(video, generator), labels),
    }


def flat(found: Fidelity) -> dict[str, object]:
    """JSON values."""
    return asdict(found) | {"share": round(found.total.value, 4)}


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 4.0])
    options = parser.parse_args()
    classifier = load_motion_classifier()
    results: dict[str, object] = {
        "question": "share of generated clips that show the asked motion; chance 0.1",
        "seeds": options.seeds,
        "steps": options.steps,
        "classifier": classifier.facts,
    }
    with tempfile.TemporaryDirectory() as folder:
        data = unpack_demo_clips(Path(folder) / "zoo")
        prompts = [(c.caption, str(c.label)) for c in read_dataset(data / "test")]
        judge = load_backbone("wan-nano", device="cpu")
        results["judge"] = judge_accuracy(classifier, read_dataset(data / "candidates"), judge)
    print("judge", results["judge"])
    for name in MODELS:
        backbone = load_backbone(name, device="cpu")
        rows = {}
        for guidance in options.guidance:
            began = time.perf_counter()
            found = motion_fidelity(
                backbone,
                classifier,
                prompts,
                seeds=range(options.seeds),
                steps=options.steps,
                guidance=guidance,
                batch_size=25,
            )
            rows[f"guidance {guidance:g}"] = flat(found)
            seconds = time.perf_counter() - began
            per_motion = {m: f"{s.shown}/{s.clips}" for m, s in found.motions.items()}
            print(name, guidance, found.total, per_motion, f"{seconds:.0f} s", flush=True)
        results[name] = rows
    save("wan_nano_fidelity", results)


if __name__ == "__main__":
    main()

"""Retrain on a set of clips, then ask the model two things: what it can explain, what it shows.

Invariant: an outcome depends on the examination, the chosen clips and the seed alone, not on the
process that computes it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from motive.backbones import Backbone, load_backbone
from motive.clips import ClipStandard
from motive.errors import UsageError
from motive.evaluation.generation import generate_latents
from motive.evaluation.motion_classifier import MotionClassifier, classify
from motive.evaluation.retraining import (
    HeldOutClips,
    Recipe,
    TrainingClips,
    fine_tuned,
    held_out_losses,
)
from motive.processes import one_thread


@dataclass(frozen=True)
class Examination:
    """How models are retrained and what they are asked; small models' can be sent to a process.

    Attributes:
        candidates: What can be trained on.
        queries: Held-out clips whose motion-weighted loss is measured.
        recipe: The fine-tuning.
        sigmas: Noise levels of the loss.
        noise_seed: Of the loss's first ε.
        prompts: Held-out (caption, motion) pairs to generate from; none: nothing is generated.
        classifier: Says which motion a generated clip shows; None if nothing is generated.
        sampling_steps: Euler steps of the generation.
        guidance: Classifier-free guidance of the generation.
        sampling_seed: Of the start noise, the same for every model.
        standard: Shape of the generated clips.
    """

    candidates: TrainingClips
    queries: HeldOutClips
    recipe: Recipe
    sigmas: tuple[float, ...]
    noise_seed: int
    standard: ClipStandard
    prompts: tuple[tuple[str, str], ...] = ()
    classifier: MotionClassifier | None = None
    sampling_steps: int = 10
    guidance: float = 1.0
    sampling_seed: int = 0

    def __post_init__(self) -> None:
        if not self.prompts:
            return
        if self.classifier is None:
            raise UsageError("prompts are given, but no motion classifier to judge the clips")
        unknown = sorted({motion for _, motion in self.prompts} - set(self.classifier.motions))
        if unknown:
            raise UsageError(
                f"the motion classifier does not know {unknown[0]!r}; it knows "
                f"{', '.join(self.classifier.motions)}"
            )


@dataclass(frozen=True)
class Outcome:
    """What was measured on one model.

    Attributes:
        losses: Motion-weighted loss, float64 "q s" (queries, noise levels).
        motions: Log-probability of each prompt's motion in the clip generated for it, float64 "p".
        seconds: Training and measuring together.
    """

    losses: np.ndarray
    motions: np.ndarray
    seconds: float


def examine(
    examination: Examination, backbone: Backbone, chosen: Sequence[str], seed: int
) -> Outcome:
    """Fine-tune on the chosen clips, measure, and put the weights back.

    Args:
        examination: How, and what is asked.
        backbone: The base model.
        chosen: Ids of the clips to train on; none: the base itself is measured.
        seed: Of the training.

    Raises:
        UsageError: A chosen clip is not a candidate.
        ModelError: The training diverged.
    """
    began = time.perf_counter()
    training = (
        fine_tuned(backbone, examination.candidates, chosen, examination.recipe, seed)
        if chosen
        else nullcontext()
    )
    with one_thread(), training:
        losses = held_out_losses(
            backbone, examination.queries, examination.sigmas, noise_seed=examination.noise_seed
        )
        motions = _shown_motions(examination, backbone)
    return Outcome(losses, motions, time.perf_counter() - began)


def examine_in_process(
    examination: Examination, model: str, device: str, chosen: Sequence[str], seed: int
) -> Outcome:
    """`examine` for a worker process; the model stays open between calls."""
    return examine(examination, _opened(model, device), chosen, seed)


@lru_cache(maxsize=1)
def _opened(model: str, device: str) -> Backbone:
    return load_backbone(model, device=device)


def _shown_motions(examination: Examination, backbone: Backbone) -> np.ndarray:
    """Log-probability of each prompt's motion in its generated clip, "p"."""
    classifier = examination.classifier
    if classifier is None or not examination.prompts:
        return np.zeros(0)
    clips = generate_latents(
        backbone,
        [caption for caption, _ in examination.prompts],
        seed=examination.sampling_seed,
        steps=examination.sampling_steps,
        guidance=examination.guidance,
        standard=examination.standard,
    )
    if classifier.kind == "pixel":
        pixels = backbone.decode_latents(clips)
        clips = pixels.permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0
    logs = classify(classifier, clips).double().numpy()
    asked = [classifier.motions.index(motion) for _, motion in examination.prompts]
    found: np.ndarray = logs[np.arange(len(asked)), asked]
    return found

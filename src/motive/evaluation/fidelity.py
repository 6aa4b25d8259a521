"""How often do generated clips show the motion that their prompt asks for?

Invariant: the judge never sees the prompt. Clips are generated, decoded where the classifier reads
pixels, classified, and only then compared with what was asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from motive.backbones.protocol import Backbone
from motive.errors import UsageError
from motive.evaluation.generation import decode, generate_latents
from motive.evaluation.motion_classifier import MotionClassifier, classify

_Z95 = 1.959963984540054  # 97.5 % quantile of the standard normal


@dataclass(frozen=True)
class Share:
    """A proportion with its uncertainty.

    Attributes:
        shown: Clips that show the asked motion.
        clips: Clips judged.
        low: Lower end of the Wilson 95 % interval.
        high: Upper end.
    """

    shown: int
    clips: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The proportion itself."""
        return self.shown / self.clips


@dataclass(frozen=True)
class Fidelity:
    """What `motion_fidelity` found.

    Attributes:
        total: Over all clips.
        motions: Per asked motion.
        confusion: Asked motion -> seen motion -> clips.
    """

    total: Share
    motions: dict[str, Share]
    confusion: dict[str, dict[str, int]]


def wilson_share(shown: int, clips: int) -> Share:
    """Share with its Wilson 95 % score interval (Wilson 1927), which never leaves [0, 1].

    Example:
        >>> share = wilson_share(8, 10)
        >>> round(share.low, 3), round(share.high, 3)
        (0.49, 0.943)
    """
    if not 0 <= shown <= clips or clips < 1:
        raise UsageError(f"{shown} of {clips} clips: give 0 <= shown <= clips and clips >= 1")
    p, z2 = shown / clips, _Z95 * _Z95
    middle = (p + z2 / (2 * clips)) / (1 + z2 / clips)
    half = _Z95 / (1 + z2 / clips) * math.sqrt(p * (1 - p) / clips + z2 / (4 * clips**2))
    return Share(shown, clips, max(0.0, middle - half), min(1.0, middle + half))


def motion_fidelity(
    backbone: Backbone,
    classifier: MotionClassifier,
    prompts: Sequence[tuple[str, str]],
    *,
    seeds: Sequence[int] = (0,),
    steps: int = 16,
    guidance: float = 4.0,
    contrast: float = 0.0,
    opposites: Sequence[Sequence[str]] | None = None,
    batch_size: int = 10,
    on_progress: Callable[[int, int], object] | None = None,
) -> Fidelity:
    """Share of generated clips in which the classifier sees the asked motion.

    Args:
        backbone: The model to sample from.
        classifier: Judges pixels or latents, by its kind.
        prompts: (caption, motion) pairs.
        seeds: One clip per prompt and seed.
        steps: Sampling steps; this and the options below as in `generate_latents`.
        guidance: Classifier-free guidance.
        contrast: Strength of the contrast with the opposites.
        opposites: Opposite captions of each prompt.
        batch_size: Clips per pass.
        on_progress: Told the clips done and their total.

    Returns:
        The shares, with Wilson 95 % intervals.

    Raises:
        UsageError: No prompts or seeds, or a motion that the classifier does not know.
    """
    if not prompts or not seeds:
        raise UsageError("motion fidelity: give at least one prompt and one seed")
    for _, motion in prompts:
        if motion not in classifier.motions:
            raise UsageError(
                f"motion {motion!r}: the classifier knows {', '.join(classifier.motions)}"
            )
    total = len(prompts) * len(seeds)
    seen: list[torch.Tensor] = []
    for turn, seed in enumerate(seeds):
        latents = generate_latents(
            backbone,
            [caption for caption, _ in prompts],
            seed=seed,
            steps=steps,
            guidance=guidance,
            contrast=contrast,
            opposites=opposites,
            batch_size=batch_size,
        )
        clips = latents if classifier.kind == "latent" else decode(backbone, latents)
        seen.append(classify(classifier, clips).argmax(dim=1))
        if on_progress is not None:
            on_progress((turn + 1) * len(prompts), total)
    answers = [classifier.motions[int(i)] for part in seen for i in part]
    return _tally([motion for _, motion in prompts] * len(seeds), answers)


def _tally(asked: list[str], answers: list[str]) -> Fidelity:
    confusion: dict[str, dict[str, int]] = {}
    for motion, answer in zip(asked, answers, strict=True):
        row = confusion.setdefault(motion, {})
        row[answer] = row.get(answer, 0) + 1
    motions = {
        motion: wilson_share(row.get(motion, 0), sum(row.values()))
        for motion, row in confusion.items()
    }
    shown = sum(share.shown for share in motions.values())
    return Fidelity(wilson_share(shown, len(asked)), motions, confusion)

"""Training the motion classifier so that it judges motion, and judges soft generated clips fairly.

Invariant: a clip whose frames stand still or come in a random order carries no label. A share of
every batch is such clips, and the network is trained to spread its belief evenly over them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from motive.evaluation.motion_classifier import MotionClassifier, classify

_SMOOTHING = 0.05  # of the labels
_SHIFT = 6  # pixels at most, up or down and sideways
_WARMUP = 50  # steps


@dataclass(frozen=True)
class ClassifierData:
    """Labelled clips.

    Attributes:
        video: uint8 "n f h w 3", or for a latent classifier float "n 16 f h w".
        labels: int64 "n", index into the motions; -1 marks a clip without motion of its own
            (a decoy), on which the classifier should know nothing.
        copies: Other versions of the same clips and labels, in the same layout (for example what
            the autoencoder makes of them); each training clip is drawn from one version.
    """

    video: torch.Tensor
    labels: torch.Tensor
    copies: tuple[torch.Tensor, ...] = ()


def train_motion_classifier(
    model: MotionClassifier,
    data: ClassifierData,
    *,
    steps: int,
    batch_size: int = 32,
    rate: float = 2e-3,
    still_share: float = 0.2,
    seed: int = 0,
    on_step: Callable[[int, float], object] | None = None,
) -> None:
    """Train in place; the model is left in evaluation mode.

    Args:
        model: The classifier.
        data: Labelled clips; see `ClassifierData`.
        steps: Optimisation steps.
        batch_size: Clips per step.
        rate: Peak learning rate of AdamW (one-cycle).
        still_share: Share of each batch that is frozen or shuffled, half and half.
        seed: Seed of everything random.
        on_step: Told the step and its loss.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    versions = (data.video, *data.copies)
    still = round(batch_size * still_share)
    model.train()
    for step in range(steps):
        warm = min(1.0, (step + 1) / _WARMUP)
        for group in optimizer.param_groups:
            group["lr"] = rate * warm * (1.0 - step / steps)
        rows = torch.randint(len(data.labels), (batch_size,), generator=generator)
        choice = torch.randint(len(versions), (batch_size,), generator=generator)
        clips = torch.stack([versions[int(v)][r] for v, r in zip(choice, rows, strict=True)])
        clips = as_video(clips) if model.kind == "pixel" else clips.float()
        clips[:still] = without_motion(clips[:still], generator)
        if model.kind == "pixel":
            clips = augmented(clips, generator)
        loss = _loss(model(clips), data.labels[rows], still)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if on_step is not None:
            on_step(step + 1, float(loss.detach()))
    model.eval()


def accuracy(model: MotionClassifier, video: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of clips whose most probable motion is the label; uint8 clips are converted."""
    video = as_video(video) if video.dtype == torch.uint8 else video
    return float((classify(model, video).argmax(dim=1) == labels).float().mean())


def as_video(pixels: torch.Tensor) -> torch.Tensor:
    """Uint8 "n f h w 3" -> float "n 3 f h w" in [-1, 1]."""
    return pixels.permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0


def frozen(video: torch.Tensor, frames: int | None = None) -> torch.Tensor:
    """The first frame of "n c f h w", repeated to `frames` (its own number by default)."""
    return video[:, :, :1].repeat(1, 1, frames or video.shape[2], 1, 1)


def shuffled(video: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each clip's frames in a random order of its own; "n c f h w"."""
    orders = torch.rand(len(video), video.shape[2], generator=generator).argsort(dim=1)
    return torch.stack([clip[:, order] for clip, order in zip(video, orders, strict=True)])


def without_motion(video: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Half of the clips frozen at a random frame, the other half shuffled; "n c f h w"."""
    half = len(video) // 2
    still = int(torch.randint(video.shape[2], (), generator=generator))
    return torch.cat(
        [frozen(video[:half, :, still:], video.shape[2]), shuffled(video[half:], generator)]
    )


def augmented(video: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror, shift, recolour and blur each clip as a whole, over all of its frames alike."""
    out = []
    for clip in video:
        draw = torch.rand(8, generator=generator)
        if draw[0] < 0.5:
            clip = clip.flip(-1)
        clip = clip[torch.randperm(3, generator=generator)]
        clip = clip * (0.6 + 0.6 * draw[1]) + 0.5 * (draw[2] - 0.5)
        down, right = (round(float(2.0 * d - 1.0) * _SHIFT) for d in draw[3:5])
        clip = _shifted(clip, down, right)
        if draw[5] < 0.5:
            clip = _blurred(clip, 0.5 + float(draw[6]))
        if draw[7] < 0.5:
            clip = clip + 0.06 * torch.randn(clip.shape, generator=generator)
        out.append(clip.clamp(-1.0, 1.0))
    return torch.stack(out)


def _shifted(clip: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """Move the picture, repeating its border; "c f h w"."""
    height, width = clip.shape[-2:]
    rows = (torch.arange(height) - down).clamp(0, height - 1)
    columns = (torch.arange(width) - right).clamp(0, width - 1)
    return clip[:, :, rows][:, :, :, columns]


def _blurred(clip: torch.Tensor, radius: float) -> torch.Tensor:
    """Gaussian blur of five taps in both directions; "c f h w"."""
    taps = torch.exp(-0.5 * (torch.arange(-2.0, 3.0) / radius).square())
    taps = taps / taps.sum()
    frames = clip.flatten(0, 1)[:, None]
    frames = F.conv2d(F.pad(frames, (2, 2, 2, 2), mode="replicate"), taps.view(1, 1, 5, 1))
    return F.conv2d(frames, taps.view(1, 1, 1, 5)).view_as(clip)


def _loss(logits: torch.Tensor, labels: torch.Tensor, still: int) -> torch.Tensor:
    """Cross-entropy; against the even distribution for the first `still` clips and for decoys."""
    log_probabilities = logits.log_softmax(dim=1)
    known = labels >= 0
    known[:still] = False
    target = torch.full_like(log_probabilities, 1.0 / logits.shape[1])
    sharp = F.one_hot(labels.clamp(min=0), logits.shape[1]).to(target)
    target = torch.where(known[:, None], (1.0 - _SMOOTHING) * sharp + _SMOOTHING * target, target)
    return -(target * log_probabilities).sum(dim=1).mean()

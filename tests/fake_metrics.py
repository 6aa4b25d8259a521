"""Extractors whose answers are known, and frames to show them."""

from __future__ import annotations

from itertools import pairwise
from types import MappingProxyType

import numpy as np
import torch

from motive.evaluation.metrics import Opened


class MeanColour:
    """A frame's feature is its mean colour: three numbers."""

    settings = MappingProxyType({"fake": "mean colour"})

    def __call__(self, frames):
        return frames.float().mean(dim=(1, 2))


class ConstantFlow:
    """Everything moves by the same (dx, dy) from frame to frame; `steps` gives it per pair."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.calls = 0

    @property
    def settings(self):
        return {"fake": self.steps}

    def consecutive(self, frames):
        """The frames' first pixel says which frame it is."""
        numbers = [int(frame[0, 0, 0]) for frame in frames]
        self.calls += len(frames) - 1
        flow = torch.zeros(*frames.shape[:3], 2)
        for place, (here, there) in enumerate(pairwise(numbers)):
            sign = 1 if there > here else -1
            flow[place] = sign * torch.tensor(self.steps[min(here, there)], dtype=torch.float32)
        return flow


def numbered(count, height=16, width=24):
    """Grey frames; every pixel of frame i is i."""
    return np.stack([np.full((height, width, 3), i, np.uint8) for i in range(count)])


def shown(measure, frames, *, fps=8.0, chunk=3, motion=None):
    """What a measure says of frames given a few at a time."""
    tally = measure.begin(Opened("video.mp4", fps, *frames.shape[1:3], motion))
    for first in range(0, len(frames), chunk):
        tally.add(frames[first : first + chunk])
    return tally.finish()


def drifting(count, step, *, size=(64, 96), seed=0, edge=40):
    """A smooth random texture that moves by `step` pixels to the right per frame (bilinear)."""
    import cv2

    generator = np.random.default_rng(seed)
    noise = generator.random((size[0], size[1] + 2 * edge, 3), dtype=np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 2.0)
    texture = 255 * (texture - texture.min()) / np.ptp(texture)
    x, y = np.meshgrid(np.arange(size[1]), np.arange(size[0]))
    moves = np.cumsum([0.0] + [step(i) if callable(step) else step for i in range(count - 1)])
    frames = [
        cv2.remap(
            texture, (x + edge - moved).astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR
        )
        for moved in moves
    ]
    return np.clip(np.stack(frames) + 0.5, 0, 255).astype(np.uint8)

"""MotionZoo clips with their exact motion, and displacements beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from motive.clips import Clip, ClipStandard, DecodedClip, decode_clip
from motive.motion import (
    FileTracker,
    get_tracker,
)
from motive.zoo.truth import GroundTruth, load_truth, truth_path

STANDARD = ClipStandard(frames=17, fps=16, height=64, width=64)
CAMERAS = ("static", "pan", "zoom", "orbit", "shake")


@dataclass(frozen=True)
class Sample:
    """One clip, its truth, and where its moving objects are ("f h w")."""

    name: str
    camera: str
    decoy: str | None
    clip: Clip
    decoded: DecodedClip
    truth: GroundTruth
    moving: np.ndarray


def samples(folder: Path, count: int) -> Iterator[Sample]:
    """Clips in equal parts of still and moving cameras, and decoys in which no object moves."""
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    rows = [row for row in rows if truth_path(folder / row["video"]).exists()]
    chosen = []
    for camera in CAMERAS:
        share = count // 2 if camera == "static" else count // 8
        fitting = [r for r in rows if r["factors"]["camera"] == camera and r["decoy"] is None]
        chosen += fitting[:share]
    for decoy in ("static", "camera"):
        chosen += [row for row in rows if row["decoy"] == decoy][: count // 6]
    for row in chosen:
        clip = Clip(str(folder / row["video"]))
        truth = load_truth(truth_path(folder / row["video"]))
        yield Sample(
            Path(row["video"]).stem,
            row["factors"]["camera"],
            row["decoy"],
            clip,
            decode_clip(clip, STANDARD),
            truth,
            moving_objects(row, truth),
        )


def moving_objects(row: dict[str, Any], truth: GroundTruth) -> np.ndarray:
    """Pixels "f h w" of objects that move in the world, whatever the camera does."""
    factors = row["factors"]
    mask = np.zeros(truth.objects.shape, bool)
    if row["motion"] == "none":
        return mask
    drifts = iter(factors["distractors"])
    for number, name in enumerate(truth.object_names):
        moves = name == "body"
        if name == "rod":
            moves = factors["rod"] == "drifting" or row["motion"] == "swing"
        elif name == "distractor":
            moves = next(drifts)["drift"] != 0
        if moves:
            mask |= truth.objects == number
    return mask


class Known:
    """A tracker that gives displacements measured before, so that options share them."""

    name = "known"
    settings: dict[str, Any] = {"name": "known"}  # noqa: RUF012

    def __init__(self, steps: torch.Tensor, anchored: torch.Tensor | None) -> None:
        self.steps, self.anchored = steps, anchored

    def consecutive(self, frames: torch.Tensor) -> torch.Tensor:
        """The steps, whatever the frames."""
        return self.steps

    def anchor(self, frames: torch.Tensor) -> torch.Tensor:
        """The cumulative displacements, whatever the frames."""
        assert self.anchored is not None
        return self.anchored


def track(name: str, options: dict[str, Any], sample: Sample) -> tuple[Known, float]:
    """Both displacements of a clip, and the seconds that the steps took."""
    tracker, pixels = get_tracker(name, **options), sample.decoded.pixels
    began = time.process_time()
    if isinstance(tracker, FileTracker):
        size = (STANDARD.height, STANDARD.width)
        steps = tracker.consecutive_in_file(sample.clip, sample.decoded.provenance, size)
        return Known(steps, None), time.process_time() - began
    steps = tracker.consecutive(pixels)
    seconds = time.process_time() - began
    return Known(steps, tracker.anchor(pixels)), seconds


def exact(sample: Sample) -> Known:
    """The truth as a tracker: what the options make of perfect flow."""
    steps = np.concatenate([sample.truth.step_flow, sample.truth.step_flow[-1:]])
    starts = np.concatenate([np.zeros_like(steps[:1]), sample.truth.start_flow])
    return Known(torch.from_numpy(steps), torch.from_numpy(starts))


def errors(found: Known, sample: Sample) -> dict[str, float]:
    """Mean end-point error in pixels, where the point stays visible."""
    truth, moving = sample.truth, sample.moving
    off = np.linalg.norm(found.steps[:-1].numpy() - truth.step_flow, axis=-1)
    result = {
        "all": float(off[truth.step_visible].mean()),
        "objects": float(off[truth.step_visible & moving[:-1]].mean()),
        "rest": float(off[truth.step_visible & ~moving[:-1]].mean()),
    }
    if found.anchored is not None:
        off = np.linalg.norm(found.anchored[1:].numpy() - truth.start_flow, axis=-1)
        result["anchored"] = float(off[truth.start_visible].mean())
    return result

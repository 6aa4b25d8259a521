"""Trackers and weighting options against MotionZoo's exact flow and moving-object masks.

    motive zoo make zoo/candidates --clips 420 --decoys 0.1 --truth
    python benchmarks/motion_trackers.py --data zoo/candidates
    python benchmarks/motion_trackers.py --data zoo/candidates --alltracker alltracker_tiny.pth

End-point error of every tracker that runs here, and what its weights are worth: average precision
of the weight map against the objects that move, on pixels and on the latent grid, and the share of
the weight that lies on them. Half of the clips have a camera that stands still. Intervals are
bootstrapped over clips. `--table` writes the last result into docs/trackers.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch

from measuring import RESULTS, save
from motive.influence.retrieval import bootstrap_interval
from motive.motion import (
    TRACKERS,
    CameraMotion,
    Motion,
    MotionConfig,
    TrackerCard,
    fit_camera,
    latent_motion_weights,
    measure_motion,
    normalised_weights,
)
from tracker_tables import (
    CHANGES,
    MOVING,
    PAGE,
    RAW,
    STILL,
    WORTH,
    leaderboard_table,
    tables,
    write_table,
)
from zoo_samples import Known, Sample, errors, exact, samples, track

GROUPS = [[0], *[list(range(i, i + 4)) for i in range(1, 17, 4)]]  # Wan's VAE, 17 frames
GRID = (8, 8)

# What is varied, and how; every option on DIS, the trackers only with the first four.
OPTIONS: dict[str, dict[str, Any]] = {
    RAW: {},
    "raw, evidence": {"evidence": True},
    "residual without evidence": {"weight_by": "residual", "evidence": False},
    "residual": {"weight_by": "residual"},
    "residual, homography": {"weight_by": "residual", "camera_model": "homography"},
    "residual, floor 0.3 px": {"weight_by": "residual", "noise_floor": 0.3},
    "raw, robust 99 %": {"normalise": "robust"},
    "residual, robust 99 %": {"weight_by": "residual", "normalise": "robust"},
    "residual, robust 99.9 %": {
        "weight_by": "residual",
        "normalise": "robust",
        "percentile": 99.9,
    },
    "residual, pooled by maximum": {"weight_by": "residual", "pool": "max"},
    "raw, plain bilinear": {"antialias": False},
    "paper (anchor coordinates, plain bilinear)": {
        "displacement": "anchor-literal",
        "antialias": False,
    },
    "anchor coordinates": {"displacement": "anchor-literal"},
    "anchor, placed": {"displacement": "anchor"},
    "anchor coordinates, residual": {"displacement": "anchor-literal", "weight_by": "residual"},
    "anchor, placed, residual": {"displacement": "anchor", "weight_by": "residual"},
}
FOR_ALL = tuple(OPTIONS)[:4]
AFTERWARDS = {"normalise": "minmax", "percentile": 99.0, "pool": "mean", "antialias": True}


def average_precision(weights: np.ndarray, mask: np.ndarray) -> float:
    """Area under precision over recall; a cell that is half object counts half. Ties are joined."""
    order = np.argsort(-weights, axis=None, kind="stable")
    return _precision(weights.ravel()[order], mask.ravel()[order], np.ones(weights.size))


def _precision(falling: np.ndarray, mask: np.ndarray, times: np.ndarray) -> float:
    """Average precision of falling weights of which each counts several times."""
    last = np.append(falling[1:] != falling[:-1], True)
    hits, seen = np.cumsum(mask * times)[last], np.cumsum(times)[last]
    shares = np.diff(hits, prepend=0.0) / np.maximum(seen, 1)
    return float((shares * hits).sum() / hits[-1])


class Judge:
    """Judges the weights of one clip made from known displacements.

    Options that only treat the magnitude afterwards share one measurement, and all of one
    displacement and camera model share the fit of the camera: most of the time at this size.
    """

    def __init__(self, found: Known, sample: Sample) -> None:
        self.found, self.sample = found, sample
        self.measured: dict[str, Motion] = {}
        self.cameras: dict[tuple[bool, str], CameraMotion] = {}
        mask = torch.from_numpy(sample.moving).float()
        self.cells = latent_motion_weights(mask, GROUPS, GRID, antialias=True).numpy()

    def judge(self, options: dict[str, Any]) -> dict[str, Any]:
        """What the weights are worth, and the clip's facts."""
        config = MotionConfig(tracker="known", **options)
        magnitude, facts = self._motion(config)
        weights = normalised_weights(magnitude, config)
        latent = latent_motion_weights(
            weights, GROUPS, GRID, pool=config.pool, antialias=config.antialias
        ).numpy()
        result = {"facts": facts, "latent": latent, "cells": self.cells}
        if self.sample.moving.any():
            result["pixel_ap"] = average_precision(weights.numpy(), self.sample.moving)
            result["latent_ap"] = average_precision(latent, self.cells)
            result["mass"] = float((latent * self.cells).sum() / max(latent.sum(), 1e-12))
        return result

    def _motion(self, config: MotionConfig) -> tuple[torch.Tensor, dict[str, Any]]:
        measuring = replace(config, **AFTERWARDS)
        key = repr(measuring)
        if key not in self.measured:
            card = TrackerCard("known", lambda: self.found, "displacements measured before")
            kind = (config.displacement == "consecutive", config.camera_model)
            TRACKERS["known"] = card
            with mock.patch("motive.motion.measure.fit_camera", partial(self._fit, kind)):
                self.measured[key] = measure_motion(self.sample.decoded.pixels, measuring)
        motion = self.measured[key]
        return motion.magnitude, asdict(motion.facts)

    def _fit(self, kind: tuple[bool, str], *given: Any, **options: Any) -> CameraMotion:
        if kind not in self.cameras:
            self.cameras[kind] = fit_camera(*given, **options)
        return self.cameras[kind]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and 95 % interval over clips of every number that all rows have."""
    names = [name for name, value in rows[0].items() if isinstance(value, float)]
    out: dict[str, Any] = {"clips": len(rows)}
    for name in names:
        values = np.array([row[name] for row in rows])
        out[name] = [float(values.mean()), *bootstrap_interval(values)]
    return out


@dataclass(frozen=True)
class Judged:
    """What was measured on one clip: end-point errors by tracker, weights by tracker and option."""

    camera: str
    decoy: str | None
    moving: bool
    errors: dict[str, dict[str, float]]
    weights: dict[str, dict[str, Any]]

    @property
    def side(self) -> str:
        """Whether its camera stands still or moves."""
        return STILL if self.camera == "static" else MOVING


def measure(sample: Sample, trackers: dict[str, dict[str, Any]]) -> Judged:
    """Every tracker and option on one clip."""
    off: dict[str, dict[str, float]] = {}
    weights: dict[str, dict[str, Any]] = {}
    for name, options in trackers.items():
        found, seconds = track(name, options, sample)
        if sample.moving.any():
            off[name] = errors(found, sample) | {"seconds": seconds}
        judge = Judge(found, sample)
        for option in OPTIONS if name == "dis" else FOR_ALL:
            weights[f"{name}: {option}"] = judge.judge(OPTIONS[option])
    judge = Judge(exact(sample), sample)
    for option in FOR_ALL:
        weights[f"exact flow: {option}"] = judge.judge(OPTIONS[option])
    return Judged(sample.camera, sample.decoy, bool(sample.moving.any()), off, weights)


def by_camera(clips: list[Judged], what: str) -> dict[str, Any]:
    """Summaries of "errors" or "weights" for still and for moving cameras, clips with movers."""
    moving = [clip for clip in clips if clip.moving]
    return {
        name: {
            side: summary([getattr(clip, what)[name] for clip in moving if clip.side == side])
            for side in (STILL, MOVING)
        }
        for name in getattr(moving[0], what)
    }


def difference(clips: list[Judged], name: str) -> dict[str, list[float]]:
    """Latent average precision minus that of raw weights, clip by clip: mean and 95 % interval."""
    raw = f"{name.partition(':')[0]}: {RAW}"
    out = {}
    for side in (STILL, MOVING):
        pairs = [clip.weights for clip in clips if clip.moving and clip.side == side]
        values = np.array([pair[name]["latent_ap"] - pair[raw]["latent_ap"] for pair in pairs])
        out[side] = [float(values.mean()), *bootstrap_interval(values)]
    return out


def comparable(clips: list[Judged], name: str) -> list[float]:
    """Average precision over the latent cells of all clips together, decoys included.

    Unlike the mean over clips it asks whether a weight means the same in every clip.
    """
    weights = np.stack([clip.weights[name]["latent"] for clip in clips])
    mask = np.stack([clip.weights[name]["cells"] for clip in clips]).ravel()
    order = np.argsort(-weights, axis=None, kind="stable")
    falling, mask, clip_of = weights.ravel()[order], mask[order], order // weights[0].size
    drawn = np.random.default_rng(0).multinomial(len(clips), [1 / len(clips)] * len(clips), 400)
    spread = [_precision(falling, mask, times[clip_of]) for times in drawn]
    low, high = np.quantile(spread, [0.025, 0.975])
    return [_precision(falling, mask, np.ones(len(mask))), float(low), float(high)]


def facts(clips: list[Judged]) -> dict[str, Any]:
    """How well the facts name what the clips are known to be."""
    kinds = {"static": "static", "pan": "pan", "zoom": "zoom", "orbit": "rotation"}
    kinds |= {"shake": "shake"}
    named: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    flags: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    uniform: dict[str, list[float]] = defaultdict(list)
    right = 0
    for clip in clips:
        found = clip.weights[f"dis: {RAW}"]["facts"]
        group = f"decoy {clip.decoy}" if clip.decoy else f"moving objects, {clip.camera}"
        named[clip.camera][found["camera"]] += 1
        right += found["camera"] == kinds[clip.camera]
        flags[group]["clips"] += 1
        for flag in ("static", "camera_only", "micro_motion"):
            flags[group][flag] += found[flag]
        flags[group]["cuts"] += bool(found["cuts"])
        uniform[group].append(found["uniformity"])
    return {
        "camera_named_right": right / len(clips),
        "camera_named": named,
        "flags": flags,
        "mean_uniformity": {group: float(np.mean(v)) for group, v in uniform.items()},
    }


def result(clips: list[Judged]) -> dict[str, Any]:
    """The result file, but for machine and command."""
    weights = by_camera(clips, "weights")
    for name, found in weights.items():
        found["all clips together"] = comparable(clips, name)
    return {
        "clips": {"number": len(clips), "size": [64, 64], "frames": 17, "latent_grid": list(GRID)},
        "end_point_error": by_camera(clips, "errors"),
        "weights": weights,
        "difference_to_raw": {name: difference(clips, name) for name in weights},
        "facts": facts(clips),
    }


def run(folder: Path, count: int, trackers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Measure everything on `count` clips (and decoys)."""
    clips, began = [], time.perf_counter()
    for sample in samples(folder, count):
        clips.append(measure(sample, trackers))
        print(f"{len(clips)}: {sample.name}, {time.perf_counter() - began:.0f} s", flush=True)
    return result(clips)


def main() -> None:
    """Measure and write the result file, or print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("zoo/candidates"))
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--alltracker", help="Checkpoint; without it AllTracker is left out.")
    parser.add_argument("--cotracker", help="Local copy of CoTracker3's repository.")
    parser.add_argument("--table", action="store_true", help="Write the last result to the docs.")
    options = parser.parse_args()
    if options.table:
        results = json.loads((RESULTS / "motion_trackers.json").read_text())
        board = json.loads((RESULTS / "attribution_board.json").read_text())
        write_table(PAGE, WORTH, tables(results))
        write_table(PAGE, CHANGES, leaderboard_table(board))
        return
    trackers: dict[str, dict[str, Any]] = {"dis": {}, "farneback": {}, "codec": {}}
    if not TRACKERS["raft"].missing():
        trackers["raft"] = {}
    if options.alltracker:
        trackers["alltracker"] = {"weights": options.alltracker}
    if options.cotracker:
        trackers["cotracker3"] = {"repository": options.cotracker}
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    save("motion_trackers", run(options.data, options.clips, trackers))


if __name__ == "__main__":
    main()

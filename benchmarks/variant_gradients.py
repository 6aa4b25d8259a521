"""Gradients of every condition that the study of variants looks at, computed once and kept.

One forward pass per clip and condition (timestep, noise, caption, view) serves several losses, and
the gradient of each part of the network is projected by itself.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from motive.bench.context import Bench
from motive.bench.views import View
from motive.clips import Clip
from motive.files import whole_file
from motive.gradients import fixed_noise
from motive.influence import unit_rows
from motive.motion import MotionConfig, get_tracker, motion_magnitude, weights_from_magnitude
from motive.processes import one_thread
from motive.projection import BlockedFastfood
from motive.runs.prepare import PreparedClip
from motive.zoo.truth import load_truth, truth_path

DIM, BLOCK = 512, 1024
PAIR = ("mask", "no mask")
LOSSES = (*PAIR, "change", "change, no mask")
MASKS = (
    "mask, max pooled",
    "mask, narrow",
    "mask, wide",
    "mask, displaced",
    "mask, camera removed",
    "mask, ground truth",
)
PARTS = {
    "all parameters": ".*",
    "patch embedding": "^patch_embedding",
    "time and text embedding": "^condition_embedder",
    "self-attention": r"\.attn1\.",
    "cross-attention": r"\.attn2\.",
    "feed-forward": r"\.ffn\.",
    "first block": r"^blocks\.0\.",
    "last block": r"^blocks\.{last}\.",
    "output layer": "^proj_out|^scale_shift_table",
}


@dataclass(frozen=True)
class Condition:
    """Under what one pass over all clips is made."""

    timestep: float
    noise_seed: int = 0
    view: View = "moving"
    caption: bool = True
    losses: tuple[str, ...] = LOSSES

    @property
    def name(self) -> str:
        """File stem."""
        caption = "caption" if self.caption else "empty"
        kind = "masks" if self.losses == MASKS else f"{len(self.losses)}-losses"
        return f"t{self.timestep:g}-noise{self.noise_seed}-{self.view}-{caption}-{kind}"

    @property
    def frozen(self) -> Condition:
        """The same on clips that stand still."""
        return dataclasses.replace(self, view="frozen")


def conditions() -> Iterator[Condition]:
    """What is computed, the most telling first."""
    chosen = [Condition(751.0), Condition(300.0)]
    chosen += [Condition(300.0, seed, losses=PAIR) for seed in (1, 2)]
    chosen += [Condition(300.0, losses=MASKS)]
    chosen += [Condition(t, caption=False, losses=PAIR) for t in (751.0, 300.0)]
    chosen += [Condition(t, losses=PAIR) for t in (150.0, 550.0, 900.0)]
    chosen += [Condition(300.0, seed, caption=False, losses=PAIR) for seed in (1, 2)]
    chosen += [Condition(751.0, seed, losses=PAIR) for seed in (1, 2)]
    for condition in chosen:
        yield condition
        yield condition.frozen


class Gradients:
    """Projected gradients of every clip, loss and group of parameters, from disk if there."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench, self.folder = bench, folder
        self.projection = BlockedFastfood(DIM, 0, BLOCK)
        self.model = bench.backbone.transformer
        self.names = [name for name, _ in self.model.named_parameters()]
        self.groups = sorted({_group(name) for name in self.names})
        self.last = max(int(n.split(".")[1]) for n in self.names if n.startswith("blocks."))
        self._read: dict[Condition, np.ndarray] = {}

    def missing(self, condition: Condition) -> bool:
        """Whether it would have to be computed."""
        return not (self.folder / f"{condition.name}.npy").exists()

    def compute(self, condition: Condition) -> None:
        """Queries, then candidates: "clip loss group d"."""
        work = self.bench.view(condition.view).work
        problem, rows = self.bench.problem, []
        self.model.requires_grad_(True)
        with one_thread():
            for clip in (*problem.queries, *problem.candidates):
                prepared = work.prepare(clip.clip)
                if not condition.caption:
                    prepared = dataclasses.replace(prepared, text=work.preparer.text(""))
                masks = _masks(self.bench, clip.clip, prepared, condition.losses)
                rows.append(self._clip(prepared, condition, masks))
        with whole_file(self.folder / f"{condition.name}.npy") as partial:
            np.save(partial, np.stack(rows))

    def features(self, condition: Condition, loss: str, part: str = "all parameters") -> np.ndarray:
        """Unit projected gradients of one loss and part, "clip d"."""
        pattern = PARTS[part].replace("{last}", str(self.last))
        chosen = [n for n, group in enumerate(self.groups) if re.search(pattern, group)]
        if condition not in self._read:
            self._read = {condition: np.load(self.folder / f"{condition.name}.npy")}
        values = self._read[condition][:, condition.losses.index(loss)][:, chosen].sum(axis=1)
        return unit_rows(values)

    def _clip(
        self, clip: PreparedClip, condition: Condition, masks: dict[str, torch.Tensor]
    ) -> np.ndarray:
        backbone, sigma = self.bench.backbone, condition.timestep / 1000.0
        latents = clip.latents[None]
        noise = fixed_noise(tuple(latents.shape), condition.noise_seed)
        noisy = backbone.add_noise(latents, noise, sigma)
        residual = backbone.predict(noisy, sigma, clip.text.padded()[None])
        residual = (residual - backbone.target(latents, noise, sigma))[0]
        found = np.zeros((len(condition.losses), len(self.groups), DIM), np.float32)
        parameters = list(self.model.parameters())
        for place, loss in enumerate(condition.losses):
            weights = masks[loss]
            if loss.startswith("change"):
                value = (weights[1:] * residual.diff(dim=1).square().mean(0)).mean()
            else:
                value = (weights * residual.square().mean(0)).mean()
            gradients = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
            for name, gradient in zip(self.names, gradients, strict=True):
                if gradient is not None:
                    group = self.groups.index(_group(name))
                    found[place, group] += self.projection.partial(name, gradient).numpy()
        return found


def _group(name: str) -> str:
    """Block and kind of layer of a parameter: sums of groups give every part in `PARTS`."""
    kind = re.match(r"(blocks\.\d+\.)(attn1\.|attn2\.|ffn\.)?", name)
    if kind:
        return kind.group(0)
    return name.split(".")[0]


def _masks(
    bench: Bench, clip: Clip, prepared: PreparedClip, losses: tuple[str, ...]
) -> dict[str, torch.Tensor]:
    """The weights of each loss, "f h w"; those of the moving clip, whatever the view."""
    weights = prepared.weights
    if losses != MASKS:
        ones = torch.ones_like(weights)
        return {"mask": weights, "change": weights, "no mask": ones, "change, no mask": ones}
    found = {
        "mask, narrow": weights**3,
        "mask, wide": weights ** (1 / 3),
        # The same shape half a picture away: it holds little of what moves.
        "mask, displaced": weights.roll((weights.shape[1] // 2, weights.shape[2] // 2), (1, 2)),
    }
    standard = bench.work.standard
    pixels = bench.view("moving").work.pixels(clip)
    flow = get_tracker("dis").consecutive(pixels)
    magnitudes = {
        "mask, max pooled": motion_magnitude(flow),
        "mask, camera removed": motion_magnitude(_without_camera(flow)),
        "mask, ground truth": _true_magnitude(clip, flow),
    }
    for name, magnitude in magnitudes.items():
        found[name] = weights_from_magnitude(
            magnitude,
            bench.backbone.temporal_groups(standard.frames),
            bench.backbone.latent_grid(standard)[1:],
            MotionConfig(pool="max" if name == "mask, max pooled" else "mean"),
        )
    return found


def _without_camera(flow: torch.Tensor) -> torch.Tensor:
    """Flow "f h w 2" minus each frame's dominant affine motion, fitted robustly."""
    height, width = flow.shape[1:3]
    places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 2)
    places = places.astype(np.float32)
    left = []
    for frame in flow.numpy().reshape(len(flow), -1, 2):
        affine, _ = cv2.estimateAffine2D(places, places + frame, ransacReprojThreshold=0.5)
        camera = 0.0 if affine is None else places @ (affine[:, :2].T - np.eye(2)) + affine[:, 2]
        left.append((frame - camera).reshape(height, width, 2))
    return torch.from_numpy(np.stack(left).astype(np.float32))


def _true_magnitude(clip: Clip, flow: torch.Tensor) -> torch.Tensor:
    """The body's own motion by the simulator, camera removed, "f h w" in px; 0 elsewhere.

    Raises:
        DatasetError: There is no ground truth beside the clip.
    """
    truth = load_truth(truth_path(Path(clip.source)))
    steps = torch.from_numpy(np.concatenate([truth.step_flow, -truth.step_flow[-1:]]))
    body = torch.from_numpy(truth.objects == 1)
    return motion_magnitude(_without_camera(steps.float())) * body


# -- what is compared ------------------------------------------------------------------------

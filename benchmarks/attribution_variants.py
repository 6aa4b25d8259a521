"""Why a score finds motion or does not: variants of MOTIVE on one problem, each beside its control.

One forward pass per clip and condition (timestep, noise, caption, view) serves several losses, and
the gradient of each part of the network is projected by itself. Projections are linear, so masks,
parts, noise averages and moving-minus-frozen differences can all be compared afterwards without
another gradient. Conditions are kept on disk: an interrupted run continues, and `--conditions`
limits how many are computed now.

    python benchmarks/attribution_variants.py --data data/motionzoo --model wan-nano-base
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from measuring import save
from motive.backbones.cache import cache_key
from motive.bench.context import Bench
from motive.bench.problem import Problem, load_problem, quick_problem
from motive.bench.retrieval import RetrievalRow, measure_retrieval, paired_difference
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


Features = tuple[np.ndarray, np.ndarray]  # unit rows of queries and of candidates
Lookup = Callable[[int, str], Features]  # number of the condition, loss
Combine = Callable[[list[Features]], np.ndarray]


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    Attributes:
        family: What is varied.
        name: Its value.
        conditions: Needed, as moving views; the frozen control takes the same, frozen.
        scores: Features of one view -> scores "q n".
        unmasked: The same without the mask, if this one has a mask.
    """

    family: str
    name: str
    conditions: tuple[Condition, ...]
    scores: Callable[[Lookup], np.ndarray]
    part: str = "all parameters"
    unmasked: str | None = None


class Table:
    """Scores and measures variants whose conditions are there."""

    def __init__(self, gradients: Gradients, problem: Problem) -> None:
        self.gradients, self.problem = gradients, problem
        self.queries = len(problem.queries)
        self.static = [q.factors.get("camera") == "static" for q in problem.queries]
        self.measured: dict[str, RetrievalRow] = {}

    def row(self, variant: Variant) -> dict[str, object] | None:
        """The numbers of a variant; None while something it needs is not computed."""
        if any(self.gradients.missing(condition) for condition in variant.conditions):
            return None
        scores = self._scores(variant, "moving")
        found = measure_retrieval(scores, self.problem)
        motion = self.measured[variant.name] = found.motion
        per_query = np.array(motion.per_query, dtype=float)
        result: dict[str, object] = {
            "family": variant.family,
            "variant": variant.name,
            "mean_average_precision": motion.average_precision,
            "interval": motion.average_precision_interval,
            "chance": motion.chance,
            "static_camera_queries": float(per_query[self.static].mean()),
            "leakage": {name: row.lift for name, row in found.factors.items()},
        }
        if not any(self.gradients.missing(c.frozen) for c in variant.conditions):
            control = measure_retrieval(self._scores(variant, "frozen"), self.problem).motion
            difference = paired_difference(motion, control)
            result["frozen"] = control.average_precision
            result["frozen_interval"] = control.average_precision_interval
            result["minus_frozen"] = (difference.mean, *difference.interval)
        if variant.unmasked in self.measured:
            difference = paired_difference(motion, self.measured[variant.unmasked])
            result["minus_no_mask"] = (difference.mean, *difference.interval)
        return result

    def _scores(self, variant: Variant, view: View) -> np.ndarray:
        def lookup(index: int, loss: str) -> Features:
            condition = variant.conditions[index]
            condition = condition.frozen if view == "frozen" else condition
            found = self.gradients.features(condition, loss, variant.part)
            return found[: self.queries], found[self.queries :]

        return variant.scores(lookup)


def variants() -> Iterator[Variant]:
    """All rows, in the order of the table."""

    def single(
        family: str, name: str, condition: Condition, loss: str, part: str = "all parameters"
    ) -> Variant:
        bare = "change, no mask" if loss == "change" else "no mask"
        unmasked = name.replace(loss, bare) if "no mask" not in loss else None
        return Variant(
            family,
            name,
            (condition,),
            lambda get: _cosine(*get(0, loss)),
            part,
            unmasked,
        )

    for loss in ("no mask", "mask"):
        for timestep in (150, 300, 550, 751, 900):
            full = timestep in (300, 751)
            condition = Condition(float(timestep), losses=LOSSES if full else PAIR)
            yield single("timestep", f"t={timestep}, {loss}", condition, loss)
    for loss in ("change, no mask", "change"):
        for timestep in (300, 751):
            yield single("timestep", f"t={timestep}, {loss}", Condition(float(timestep)), loss)
    for timestep in (300, 751):
        for part in list(PARTS)[1:]:
            for loss in ("no mask", "mask"):
                condition = Condition(float(timestep))
                yield single("part", f"t={timestep}, {part}, {loss}", condition, loss, part)
    for timestep in (300, 751):
        for loss in ("no mask", "mask"):
            condition = Condition(float(timestep), caption=False, losses=PAIR)
            yield single("caption", f"t={timestep}, empty caption, {loss}", condition, loss)
            name = f"t={timestep}, feed-forward, empty caption, {loss}"
            yield single("caption", name, condition, loss, "feed-forward")
    for loss in MASKS:
        yield single("mask", f"t=300, {loss}", Condition(300.0, losses=MASKS), loss)
        yield single(
            "mask", f"t=300, feed-forward, {loss}", Condition(300.0, losses=MASKS), loss,
            "feed-forward",
        )  # fmt: skip
    yield from _noise_variants()


def _noise_variants() -> Iterator[Variant]:
    """Three noise draws: what is averaged, and what happens if they are not shared."""
    for timestep, caption in ((300, True), (300, False), (751, True)):
        sigma, said = float(timestep), "" if caption else ", empty caption"
        draws = (
            Condition(sigma, caption=caption, losses=LOSSES if caption else PAIR),
            *(Condition(sigma, seed, caption=caption, losses=PAIR) for seed in (1, 2)),
        )
        for part in ("all parameters", "feed-forward"):
            for loss in ("no mask", "mask"):
                kinds = {
                    "mean of 3 gradients": _mean_of_gradients,
                    "mean of 3 scores": _mean_of_scores,
                    "query and clip under other noise": _other_noise,
                }
                for kind, combine in kinds.items():
                    name = f"t={timestep}{said}, {part}, {kind}, {loss}"
                    unmasked = name.replace(", mask", ", no mask") if loss == "mask" else None
                    scores = partial(_combined, combine, loss)
                    yield Variant("noise", name, draws, scores, part, unmasked)


def _combined(combine: Combine, loss: str, get: Lookup) -> np.ndarray:
    return combine([get(index, loss) for index in range(3)])


def _mean_of_gradients(draws: list[Features]) -> np.ndarray:
    return _cosine(*(unit_rows(np.mean(side, axis=0)) for side in zip(*draws, strict=True)))


def _mean_of_scores(draws: list[Features]) -> np.ndarray:
    scores: np.ndarray = np.mean([_cosine(*draw) for draw in draws], axis=0)
    return scores


def _other_noise(draws: list[Features]) -> np.ndarray:
    pairs = [(a, b) for a in range(len(draws)) for b in range(len(draws)) if a != b]
    scores: np.ndarray = np.mean([_cosine(draws[a][0], draws[b][1]) for a, b in pairs], axis=0)
    return scores


def _cosine(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    return queries @ candidates.T


def main() -> None:
    """Compute what is missing, print the table, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Problem folder with truth/.")
    parser.add_argument("--model", default="wan-nano-base")
    parser.add_argument("--cache", type=Path, default=Path("runs/variants"))
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--conditions", type=int, default=1000, help="Computed now at most.")
    options = parser.parse_args()
    problem = quick_problem(load_problem(options.data), options.candidates, options.queries)
    bench = Bench(problem, model=options.model, cache=options.cache)
    key = cache_key(bench.backbone.fingerprint(), problem.digest(), DIM, BLOCK)
    gradients = Gradients(bench, options.cache / "gradients" / key)
    missing = [condition for condition in conditions() if gradients.missing(condition)]
    for condition in missing[: options.conditions]:
        gradients.compute(condition)
        print(f"computed {condition.name}", flush=True)
    table = Table(gradients, problem)
    rows = [row for row in map(table.row, variants()) if row is not None]
    for row in rows:
        numbers = {name: row.get(name) for name in ("mean_average_precision", "interval", "frozen")}
        print(f"{row['variant']:64s} {numbers}")
    facts = {
        "model": options.model,
        "candidates": len(problem.candidates),
        "queries": len(problem.queries),
        "problem": problem.digest(),
        "projected_dimension": DIM,
    }
    save("attribution_variants", {**facts, "rows": rows})


if __name__ == "__main__":
    main()

"""What retraining says about scores: do they predict it, and does their choice of clips pay?

Every retrained model starts from the same base and gets the same number of updates. The models of
random sets serve all methods; those trained on a method's own choice are kept in the same bank, so
two methods that choose the same clips share them.

Invariant: positive is good in every number. A high score says that a clip helps the query, so the
sum of scores over a set predicts minus its loss, and plus the log-probability of its motion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from motive.bench.context import Bench
from motive.bench.problem import Problem
from motive.bench.selections import Selections
from motive.evaluation.bank import Bank, Plan, Progress, SubsetTargets
from motive.evaluation.datamodel import (
    MeanScore,
    NoiseFloor,
    linear_datamodeling_score,
    noise_floor,
)
from motive.evaluation.examining import Examination
from motive.evaluation.motion_classifier import MotionClassifier, load_motion_classifier
from motive.evaluation.retraining import HeldOutClips, Recipe, TrainingClips
from motive.report import Estimate

UNIT = "percent of the base model's motion-weighted loss on the queries"


@dataclass(frozen=True)
class BankSettings:
    """How large the bank is and how its models are trained and judged.

    Attributes:
        plan: The random sets.
        recipe: Every fine-tuning.
        sigmas: Noise levels of the loss on queries; its mean over them is the target.
        noise_seed: Of the loss's noise; not that of the attributed gradients, so that no method
            gains from having seen it.
        prompts_per_motion: Clips generated per model and motion; 0 leaves generation out.
        sampling_steps: Of the generation.
        guidance: Of the generation.
        share: Of the candidates in a selection.
        selection_seeds: Training seeds of selections; none leaves selections out.
        motions: Motions that selections are made for, as far as queries show them; if none does,
            those of all queries. A choice can pay only where the base has something to learn.
    """

    plan: Plan = field(default_factory=Plan)
    recipe: Recipe = field(default_factory=Recipe)
    sigmas: tuple[float, ...] = (0.5, 0.65, 0.75, 0.85)
    noise_seed: int = 1000
    prompts_per_motion: int = 5
    sampling_steps: int = 10
    guidance: float = 3.0
    share: float = 0.1
    selection_seeds: tuple[int, ...] = (0, 1)
    motions: tuple[str, ...] = ()


POOR_MOTIONS = ("bounce", "spin", "stretch", "swing", "explode")  # wan-nano-base saw little of
FULL_BANK = BankSettings(motions=POOR_MOTIONS)
QUICK_BANK = BankSettings(
    plan=Plan(subsets=8),
    recipe=Recipe(steps=12, warmup=4),
    sigmas=(0.6, 0.8),
    prompts_per_motion=0,
    selection_seeds=(),
)


@dataclass(frozen=True)
class Counterfactual:
    """What the board shows of retraining.

    Attributes:
        rows: Method -> "lds_loss", "lds_motion", "gain", "tail" (what was measured of them).
        labels: The same two scores for a score that is 1 where the motion label agrees and 0
            elsewhere: how much of retraining the label alone explains.
        ceilings: "lds_loss", "lds_motion": what a perfect prediction would reach.
        agreement: The same keys: rank correlation between two training seeds.
        references: Name -> loss taken off the base model's, in `unit`.
        shown: Name or method -> probability of the asked motion in generated clips.
        models: How many were trained on random sets. subsets, seeds, fraction: of these.
        updates: Optimiser steps of every fine-tuning.
        unit: Of gain, tail and references.
    """

    rows: Mapping[str, Mapping[str, Estimate]]
    labels: Mapping[str, Estimate]
    ceilings: Mapping[str, Estimate]
    agreement: Mapping[str, Estimate]
    references: Mapping[str, Estimate]
    shown: Mapping[str, Estimate]
    models: int
    subsets: int
    seeds: int
    fraction: float
    updates: int
    unit: str = UNIT


def open_bank(
    path: Path, bench: Bench, settings: BankSettings, classifier: MotionClassifier | None = None
) -> Bank:
    """The bank of a problem and a base model; continued if the file is there.

    Args:
        path: Parquet file.
        bench: Gives latents, captions and motion weights.
        settings: See `BankSettings`.
        classifier: Judge of generated clips; None takes the one inside the package.

    Raises:
        FingerprintError: The file belongs to another experiment.
        MotiveError: The file is damaged, a clip cannot be read, ...
    """
    problem = bench.problem
    prompts = _prompts(problem, settings.prompts_per_motion)
    candidates, queries = bench.prepared("candidates"), bench.prepared("queries")
    examination = Examination(
        TrainingClips(
            tuple(problem.clip_ids),
            torch.stack([clip.latents for clip in candidates]),
            tuple(clip.text for clip in candidates),
        ),
        HeldOutClips(
            tuple(problem.query_ids),
            torch.stack([clip.latents for clip in queries]),
            tuple(clip.text for clip in queries),
            torch.stack([clip.weights for clip in queries]),
        ),
        settings.recipe,
        settings.sigmas,
        settings.noise_seed,
        bench.work.standard,
        prompts,
        (classifier or load_motion_classifier()) if prompts else None,
        settings.sampling_steps,
        settings.guidance,
    )
    config = bench.work.setting.config
    conditions = {"motion": config.motion_config().settings}
    return Bank(path, bench.backbone, examination, conditions=conditions, device=config.device)


def measure_counterfactual(
    problem: Problem,
    bank: Bank,
    scores: Mapping[str, np.ndarray],
    settings: BankSettings,
    *,
    workers: int = 1,
    on_progress: Progress | None = None,
) -> Counterfactual:
    """Train what is missing in the bank, and hold every method's scores against it.

    Args:
        problem: Names the motions of queries and candidates.
        bank: See `open_bank`.
        scores: Method -> "q n" in the problem's order.
        settings: Those the bank was opened with.
        workers: Processes that train.
        on_progress: Called as (stage, done, total).

    Raises:
        UsageError: Scores do not fit, or a motion to select for has no query.
        MotiveError: See `Bank.train_on`.
    """
    targets = bank.fill(settings.plan, workers=workers, on_progress=on_progress)
    rows = {name: datamodel_scores(problem, found, targets) for name, found in scores.items()}
    floors = noise_floors(problem, targets) if len(settings.plan.seeds) > 1 else {}
    choices = Selections(problem, bank, settings.share, settings.selection_seeds, settings.motions)
    if settings.selection_seeds:
        choices.train(scores, workers, on_progress)
        for name in scores:
            rows[name] |= choices.gain_and_tail(name)
    seeds, subsets = targets.losses.shape[:2]
    return Counterfactual(
        rows,
        datamodel_scores(problem, label_scores(problem), targets),
        {key: Estimate(floor.ceiling, *floor.ceiling_interval) for key, floor in floors.items()},
        {key: _estimate(floor.single) for key, floor in floors.items()},
        choices.references(),
        choices.shown(),
        seeds * subsets,
        subsets,
        seeds,
        settings.plan.fraction,
        settings.recipe.steps,
    )


def datamodel_scores(
    problem: Problem, scores: np.ndarray, targets: SubsetTargets
) -> dict[str, Estimate]:
    """Linear datamodeling scores: "lds_loss" and, if clips were generated, "lds_motion".

    The loss is each query's own. What is generated belongs to a motion, not to a query: scores are
    averaged over a motion's queries, log-probabilities over its prompts.
    """
    losses, motions = _per_query(targets), _per_motion(problem, targets)
    found = {
        "lds_loss": _estimate(linear_datamodeling_score(scores, targets.masks, losses.mean(axis=0)))
    }
    if motions.shape[-1]:
        rows = [scores[members].mean(axis=0) for members, _ in _groups(problem, targets)]
        score = linear_datamodeling_score(np.stack(rows), targets.masks, motions.mean(axis=0))
        found["lds_motion"] = _estimate(score)
    return found


def noise_floors(problem: Problem, targets: SubsetTargets) -> dict[str, NoiseFloor]:
    """Agreement of retraining with itself, for the same targets as `datamodel_scores`."""
    floors = {"lds_loss": noise_floor(_per_query(targets))}
    motions = _per_motion(problem, targets)
    if motions.shape[-1]:
        floors["lds_motion"] = noise_floor(motions)
    return floors


def label_scores(problem: Problem) -> np.ndarray:
    """1 where a candidate has the query's motion and is no decoy, else 0: "q n"."""
    asked = np.array([query.motion for query in problem.queries])[:, None]
    shown = np.array([c.motion if c.decoy is None else "" for c in problem.candidates])[None, :]
    return (asked == shown).astype(np.float64)


def _per_query(targets: SubsetTargets) -> np.ndarray:
    """Minus the loss of every query, mean over noise levels: "r m q"."""
    return -targets.losses.mean(axis=-1)


def _per_motion(problem: Problem, targets: SubsetTargets) -> np.ndarray:
    """Mean log-probability of every motion over its prompts: "r m k"; k is 0 without clips."""
    columns = [targets.motions[..., group].mean(axis=-1) for _, group in _groups(problem, targets)]
    return np.stack(columns, axis=-1) if columns else np.zeros((*targets.motions.shape[:2], 0))


def _groups(problem: Problem, targets: SubsetTargets) -> list[tuple[list[int], list[int]]]:
    """For every motion that has both: rows of its queries, columns of its prompts."""
    groups: dict[str, tuple[list[int], list[int]]] = {}
    for column, motion in enumerate(targets.prompt_motions):
        groups.setdefault(motion, ([], []))[1].append(column)
    for row, query in enumerate(problem.queries):
        if query.motion in groups:
            groups[query.motion][0].append(row)
    return [group for group in groups.values() if group[0]]


def _estimate(score: MeanScore) -> Estimate:
    return Estimate(score.value, *score.interval)


def _prompts(problem: Problem, per_motion: int) -> tuple[tuple[str, str], ...]:
    """The first prompts of every motion that has queries."""
    kept: dict[str, list[tuple[str, str]]] = {query.motion: [] for query in problem.queries}
    for caption, motion in problem.prompts:
        if len(kept.get(motion, [])) < per_motion and motion in kept:
            kept[motion].append((caption, motion))
    return tuple(prompt for prompts in kept.values() for prompt in prompts)

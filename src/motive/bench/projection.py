"""What the projection costs: projected scores against a second seed, and against exact ones.

A projected cosine is the true one plus noise of about 1/√D'. Two questions follow: do two random
projections agree with each other (all one can ask of a model too large for more), and do they agree
with the *unprojected* cosines (method §6)? Both are answered from one backward pass per clip. The
exact inner products need the full gradients of the queries only, and those are held in memory: a
candidate's gradient is streamed through `GradientRows`, a projection whose rows they are.

Invariant: every projection, and the exact score, sees the very same gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import torch
from scipy.stats import spearmanr

from motive.backbones import Backbone, TensorCache
from motive.backbones.cache import cache_key
from motive.bench.problem import Problem
from motive.bench.retrieval import measure_retrieval
from motive.errors import UsageError
from motive.gradients import Featurizer, Objective, ZeroGradientError
from motive.influence import bootstrap_interval, count_of_share, ranks
from motive.projection import BlockedFastfood, Projection
from motive.report import Estimate
from motive.runs.prepare import PreparedClip

DIMS = (128, 512, 2048, 8192)  # D': what the paper reports and four times more
SEEDS = (0, 1)
_CACHE_KIND = "projection-ceiling"


class Stacked:
    """Several projections of one gradient in one backward pass, end to end in one vector.

    Attributes:
        parts: The projections.
        dim: Sum of their sizes.
    """

    def __init__(self, parts: Sequence[Projection]) -> None:
        self.parts = tuple(parts)
        self.dim = sum(part.dim for part in self.parts)

    def identity(self) -> dict[str, object]:
        """The identity of every part."""
        return {"kind": "stacked", "parts": [part.identity() for part in self.parts]}

    def partial(self, name: str, gradient: torch.Tensor) -> torch.Tensor:
        """The contributions of one parameter, one after the other: "sum of d"."""
        return torch.cat([part.partial(name, gradient) for part in self.parts])

    def finish(self, accumulated: torch.Tensor) -> torch.Tensor:
        """Finish each part of the sum."""
        pieces = self.split(accumulated)
        return torch.cat(
            [part.finish(piece) for part, piece in zip(self.parts, pieces, strict=True)]
        )

    def split(self, stacked: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The parts of a stacked vector."""
        return stacked.split([part.dim for part in self.parts])


@dataclass(eq=False)
class GradientRows:
    """Keeps whole gradients, then acts as the matrix whose rows they are: exact inner products.

    Attributes:
        dim: How many gradients (q) it holds in the end.
        rows: Parameter name -> float32 "q p".
    """

    dim: int
    rows: dict[str, torch.Tensor] = field(default_factory=dict)

    def identity(self) -> dict[str, object]:
        """The rows are data, so only their number identifies them; never stored."""
        return {"kind": "gradient rows", "rows": self.dim}

    def recorder(self, row: int) -> RowRecorder:
        """A stand-in projection that stores the next gradient as row number `row`."""
        return RowRecorder(self, row)

    def partial(self, name: str, gradient: torch.Tensor) -> torch.Tensor:
        """Inner products of one parameter's gradient with that of each row: "q"."""
        flat = gradient.detach().reshape(-1).float()
        if name not in self.rows:  # no query's gradient reaches this parameter
            return flat.new_zeros(self.dim)
        return self.rows[name].to(flat) @ flat

    def finish(self, accumulated: torch.Tensor) -> torch.Tensor:
        """Nothing is left to do."""
        return accumulated


class RowRecorder:
    """Stores the gradient that passes by in a row of a `GradientRows`; contributes one zero."""

    dim = 1

    def __init__(self, target: GradientRows, row: int) -> None:
        self.target, self.row = target, row

    def identity(self) -> dict[str, object]:
        """Not a projection of its own."""
        return {"kind": "recorder"}

    def partial(self, name: str, gradient: torch.Tensor) -> torch.Tensor:
        """Store the piece; returns one zero."""
        flat = gradient.detach().reshape(-1).float()
        if name not in self.target.rows:
            self.target.rows[name] = flat.new_zeros(self.target.dim, flat.numel())
        self.target.rows[name][self.row] = flat
        return flat.new_zeros(1)

    def finish(self, accumulated: torch.Tensor) -> torch.Tensor:
        """Nothing is left to do."""
        return accumulated


@dataclass(frozen=True)
class ProjectedScores:
    """Cosines of the same gradients, exact and projected.

    Attributes:
        exact: Cosines of the unprojected gradients, float64 "q n".
        projected: (D', seed) -> cosines after that projection, float64 "q n".
        parameters: D, the number of attributed parameters.
    """

    exact: np.ndarray
    projected: Mapping[tuple[int, int], np.ndarray]
    parameters: int


@dataclass(frozen=True)
class CeilingRow:
    """Agreement at one D', mean over queries with 95 % bootstrap intervals.

    Attributes:
        dim: D'.
        seeds_spearman: Rank correlation between two projection seeds.
        exact_spearman: Rank correlation with the unprojected scores (mean over seeds).
        seeds_overlap: Share of the top clips common to two seeds.
        exact_overlap: Share of the top clips common to projected and unprojected scores.
        average_precision: Mean average precision of the motion label (mean over seeds).
    """

    dim: int
    seeds_spearman: Estimate
    exact_spearman: Estimate
    seeds_overlap: Estimate
    exact_overlap: Estimate
    average_precision: Estimate


@dataclass(frozen=True)
class ProjectionCeiling:
    """What a projection keeps of the exact scores.

    Attributes:
        rows: One per D', ascending.
        exact_average_precision: Of the unprojected scores: what no projection can be blamed for.
        candidates: n. queries: q. top: k of the overlap. parameters: D. seeds: Projection seeds.
    """

    rows: tuple[CeilingRow, ...]
    exact_average_precision: Estimate
    candidates: int
    queries: int
    top: int
    parameters: int
    seeds: tuple[int, ...]


class ProjectionProbe:
    """Computes `ProjectedScores`; every candidate is cached, so an interrupted probe continues.

    Args:
        backbone: The model.
        objective: The loss; one (t, ε) pair only, because averaging normalised gradients is not
            linear in the stacked projections.
        frames: F, pixel frames of every clip.
        dims: Sizes D' to try.
        seeds: At least two projection seeds.
        parameters: Regular expression of attributed parameters.
        cache: Where vectors of clips are kept.
    """

    def __init__(
        self,
        backbone: Backbone,
        objective: Objective,
        frames: int,
        *,
        dims: Sequence[int] = DIMS,
        seeds: Sequence[int] = SEEDS,
        parameters: str = ".*",
        cache: TensorCache,
    ) -> None:
        if len(set(seeds)) < 2:
            raise UsageError(f"projection seeds {list(seeds)}: give two different ones to compare")
        if len(objective.timesteps) != 1:
            raise UsageError("the projection is probed at one timestep; give one")
        self.backbone, self.objective, self.frames = backbone, objective, frames
        self.dims, self.seeds = tuple(sorted(set(dims))), tuple(dict.fromkeys(seeds))
        self.parameters, self.cache = parameters, cache
        self._fastfoods = [BlockedFastfood(dim, seed) for dim in self.dims for seed in self.seeds]

    def measure(
        self,
        candidates: Mapping[str, Callable[[], PreparedClip]],
        queries: Mapping[str, Callable[[], PreparedClip]],
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> ProjectedScores:
        """Exact and projected cosines of every query with every candidate.

        Args:
            candidates: Clip id -> what gives its inputs (called only where nothing is cached).
            queries: The same for queries; their full gradients are held in memory together.
            on_progress: Called with (done, total) clips.
        """
        keys = {name: self._key(name, queries) for name in (*candidates, *queries)}
        found = {name: self._stored(key) for name, key in keys.items()}
        missing = [name for name in candidates if found[name] is None]
        if missing or any(found[name] is None for name in queries):
            # The rows must be whole before the first inner product, whatever is cached.
            rows = GradientRows(len(queries))
            work: list[tuple[str, Callable[[], PreparedClip], Projection]]
            work = [(name, queries[name], rows.recorder(i)) for i, name in enumerate(queries)]
            work += [(name, candidates[name], rows) for name in missing]
            for done, (name, inputs, exact) in enumerate(work, start=1):
                found[name] = self._computed(keys[name], inputs(), exact)
                on_progress(done, len(work))
        whole = {name: parts for name, parts in found.items() if parts is not None}
        return self._scores(whole, list(candidates), list(queries))

    def _stored(self, key: str) -> dict[str, torch.Tensor] | None:
        stored = self.cache.get(_CACHE_KIND, key)
        return None if stored is None else stored[0]

    def _key(self, name: str, queries: Mapping[str, object]) -> str:
        return cache_key(
            name,
            list(queries),
            self.backbone.fingerprint(),
            vars(self.objective),
            [part.identity() for part in self._fastfoods],
            self.parameters,
            self.frames,
        )

    def _computed(self, key: str, clip: PreparedClip, exact: Projection) -> dict[str, torch.Tensor]:
        """One backward pass: all projections, and either the row kept or the inner products."""
        stacked = Stacked([*self._fastfoods, exact])
        featurizer = Featurizer(self.backbone, stacked, self.objective, parameters=self.parameters)
        try:
            with featurizer.ready():
                feature = featurizer.feature(clip.latents, clip.text, clip.weights, self.frames)
            vector, norm = feature.vector * feature.projected_norm, feature.gradient_norm
        except ZeroGradientError:  # nothing moves under the mask: no direction, cosine 0
            vector, norm = torch.zeros(stacked.dim), 0.0
        *projected, dots = stacked.split(vector)
        parts = {
            "projected": torch.cat(projected),
            "dots": dots.clone(),
            "norm": torch.tensor([norm]),
        }
        self.cache.put(_CACHE_KIND, key, parts, {})
        return parts

    def _scores(
        self,
        found: Mapping[str, dict[str, torch.Tensor]],
        candidates: list[str],
        queries: list[str],
    ) -> ProjectedScores:
        def stacked(names: list[str], part: str) -> np.ndarray:
            return torch.stack([found[name][part] for name in names]).double().numpy()

        norms = stacked(queries, "norm") * stacked(candidates, "norm").T
        exact = stacked(candidates, "dots").T / np.where(norms > 0, norms, 1.0)
        left, right = stacked(queries, "projected"), stacked(candidates, "projected")
        projected, start = {}, 0
        for part in self._fastfoods:
            span = slice(start, start + part.dim)
            start += part.dim
            projected[part.dim, part.seed] = _unit(left[:, span]) @ _unit(right[:, span]).T
        return ProjectedScores(exact, projected, self._size())

    def _size(self) -> int:
        return Featurizer(
            self.backbone, self._fastfoods[0], self.objective, parameters=self.parameters
        ).collector.size


def projection_ceiling(scores: ProjectedScores, problem: Problem) -> ProjectionCeiling:
    """Agreement of projections with each other and with the exact scores, per D'.

    Args:
        scores: From `ProjectionProbe`, for exactly the problem's candidates and queries in order.
        problem: Gives ids, which break ties, and motions.
    """
    ids = problem.clip_ids
    top = count_of_share(0.1, len(ids))
    dims = sorted({dim for dim, _ in scores.projected})
    seeds = tuple(sorted({seed for _, seed in scores.projected}))

    def precision(matrix: np.ndarray) -> np.ndarray:
        found = measure_retrieval(matrix, problem).motion.per_query
        return np.array([value for value in found if value is not None])

    def overlap(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return top_overlap(left, right, ids, top)

    rows = []
    for dim in dims:
        each = [scores.projected[dim, seed] for seed in seeds]
        pairs = list(combinations(each, 2))
        against = [(matrix, scores.exact) for matrix in each]
        rows.append(
            CeilingRow(
                dim=dim,
                seeds_spearman=_mean(pairs, rank_correlation),
                exact_spearman=_mean(against, rank_correlation),
                seeds_overlap=_mean(pairs, overlap),
                exact_overlap=_mean(against, overlap),
                average_precision=estimate(np.mean([precision(m) for m in each], axis=0)),
            )
        )
    return ProjectionCeiling(
        rows=tuple(rows),
        exact_average_precision=estimate(precision(scores.exact)),
        candidates=len(ids),
        queries=len(problem.queries),
        top=top,
        parameters=scores.parameters,
        seeds=seeds,
    )


def rank_correlation(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each row, "q n" and "q n" -> "q"; 0 where a row is constant."""
    values = [
        0.0 if np.ptp(a) == 0 or np.ptp(b) == 0 else float(spearmanr(a, b).statistic)
        for a, b in zip(left, right, strict=True)
    ]
    return np.array(values)


def top_overlap(
    left: np.ndarray, right: np.ndarray, clip_ids: Sequence[str], top: int
) -> np.ndarray:
    """Share of each row's `top` best clips that both score matrices have in common, "q"."""
    both = (ranks(left, clip_ids) < top) & (ranks(right, clip_ids) < top)
    return np.asarray(both.sum(axis=1) / top)


def estimate(per_query: np.ndarray, seed: int = 0) -> Estimate:
    """Mean over queries with its 95 % bootstrap interval."""
    return Estimate(float(np.mean(per_query)), *bootstrap_interval(per_query, seed))


def _mean(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Estimate:
    return estimate(np.mean([measure(a, b) for a, b in pairs], axis=0))


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows at unit length; zero rows stay zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0))

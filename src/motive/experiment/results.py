"""The numbers: one cell per condition and metric, and the main condition's paired differences.

Invariant: an interval draws whole prompts, because videos of one prompt resemble each other; and a
difference counts as shown only if its interval excludes zero and every training seed agrees on its
sign. What is not shown is said to be not shown, in either direction.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats

from motive.errors import MotiveError
from motive.evaluation.fidelity import wilson_share
from motive.evaluation.metrics import BY_KEY, DIMENSIONS, Metric, clustered_interval
from motive.experiment.about import About
from motive.report import Estimate

#: The question the table answers; where the motion is not known, the continuous dynamic degree.
QUESTIONS = ("motion_shown", "dynamic_margin", "dynamic_margin_dis", "official_dynamic_degree")
_Z95 = 1.959963984540054  # 97.5 % quantile of the standard normal
FEWEST_PROMPTS = 10  # fewer show nothing: no interval of so few is to be trusted
FEWEST_SEEDS = 2  # one training shows nothing: what another gives is not known
#: What stands in for a dimension of VBench that could not be measured.
_STANDING_IN = {
    "motion_smoothness": "interpolation_smoothness",
    "dynamic_degree": "dynamic_degree_dis",
}
_ALSO = ("motion_probability", "dynamic_margin", "dynamic_margin_dis")


@dataclass(frozen=True)
class JudgedVideo:
    """One video with its numbers.

    Attributes:
        condition: Name.
        prompt: Text.
        motion: That the prompt asks for; "" if not known.
        seed: Of the training and the video.
        path: The file, below the experiment's folder.
        values: Metric -> number.
        why: Metric -> why there is none.
    """

    condition: str
    prompt: str
    motion: str
    seed: int
    path: str
    values: Mapping[str, float]
    why: Mapping[str, str]


@dataclass(frozen=True)
class ResultCell:
    """One metric of one condition.

    Attributes:
        condition: Name.
        key: Metric.
        estimate: Mean or share with its 95 % interval.
        videos: How many were measured.
        seeds: Seed -> its mean.
        motions: Motion -> its estimate; empty where no motion is known.
    """

    condition: str
    key: str
    estimate: Estimate
    videos: int
    seeds: dict[int, float]
    motions: dict[str, Estimate]


@dataclass(frozen=True)
class ResultDifference:
    """The main condition minus another, over videos of the same prompt and seed.

    Attributes:
        other: The condition that is subtracted.
        key: Metric.
        estimate: Mean with its 95 % interval.
        pairs: Of videos.
        prompts: Different ones among them.
        seeds: Seed -> its mean.
    """

    other: str
    key: str
    estimate: Estimate
    pairs: int
    prompts: int
    seeds: dict[int, float]

    @property
    def shown(self) -> bool:
        """Whether the interval excludes zero, and all seeds agree on the sign."""
        low, high = self.estimate.low, self.estimate.high
        if low is None or high is None or low * high <= 0:
            return False
        if self.prompts < FEWEST_PROMPTS or len(self.seeds) < FEWEST_SEEDS:
            return False
        return all(value * self.estimate.value > 0 for value in self.seeds.values())


@dataclass(frozen=True)
class Results:
    """All numbers of an experiment.

    Attributes:
        about: What they rest on.
        videos: Every video that was judged.
        keys: Metrics with a number, in the catalogue's order.
        columns: Those of the main table: the asked motion, then VBench's dimensions or what stands
            in for them.
        question: The metric of the headline; "" if none of them was measured.
        cells: One per condition and metric.
        differences: One per other condition and metric.
        unmeasured: Metric -> why it has no number.
    """

    about: About
    videos: list[JudgedVideo]
    keys: list[str]
    columns: list[str]
    question: str
    cells: list[ResultCell]
    differences: list[ResultDifference]
    unmeasured: dict[str, str]

    def cell(self, condition: str, key: str) -> ResultCell | None:
        """One of the cells; None if nothing was measured for it."""
        found = (c for c in self.cells if (c.condition, c.key) == (condition, key))
        return next(found, None)

    def difference(self, other: str, key: str) -> ResultDifference | None:
        """One of the differences; None if there are no pairs."""
        found = (d for d in self.differences if (d.other, d.key) == (other, key))
        return next(found, None)


def read_videos(out: Path) -> list[JudgedVideo]:
    """What the evaluation measured.

    Raises:
        MotiveError: The table is missing or damaged.
    """
    path = out / "evaluate" / "all" / "videos.parquet"
    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        first = str(error).splitlines()[0]
        raise MotiveError(f"{path}: cannot be read ({first:.120}); run the experiment") from None
    found = []
    for row in rows:
        place = Path(row["video"])
        values = {k: row[k] for k in BY_KEY if row.get(k) is not None}
        found.append(
            JudgedVideo(
                row["condition"],
                row["prompt"],
                row["motion"] or "",
                int(row["seed"] or 0),
                f"generate/{place.parent.name}/{place.name}",
                values,
                json.loads(row["not_measured"] or "{}"),
            )
        )
    return found


def results_of(about: About, videos: Sequence[JudgedVideo]) -> Results:
    """Every cell and difference.

    Args:
        about: Names conditions, seeds and the main condition.
        videos: From `read_videos`.
    """
    keys = [k for k in BY_KEY if k in about.metrics and any(k in v.values for v in videos)]
    of = {c.name: [v for v in videos if v.condition == c.name] for c in about.conditions}
    cells = [_cell(name, key, mine) for name, mine in of.items() for key in keys]
    differences = [
        _difference(name, key, of[about.main], mine)
        for name, mine in of.items()
        if name != about.main
        for key in keys
    ]
    question = next((key for key in QUESTIONS if key in keys), "")
    return Results(
        about,
        list(videos),
        keys,
        table_columns(keys, question),
        question,
        [cell for cell in cells if cell is not None],
        [found for found in differences if found is not None],
        _unmeasured(about, videos, keys),
    )


def table_columns(keys: Sequence[str], question: str) -> list[str]:
    """Metrics of the main table."""
    found = [question] if question else []
    for name in DIMENSIONS:
        options = (f"official_{name}", name, _STANDING_IN.get(name, ""))
        found += [key for key in options[:2] if key in keys][:1] or [
            key for key in options[2:] if key in keys
        ]
    found += [key for key in _ALSO if key in keys]
    if len(found) < 4:  # too little to look like a table: whatever else there is
        found += [key for key in keys if BY_KEY[key].better]
    return list(dict.fromkeys(found))


def prompt_interval(values: Sequence[float], prompts: Sequence[str]) -> tuple[float, float] | None:
    """95 % interval of the mean that draws whole prompts; None for a single prompt.

    Percentile bootstrap at the expanded level of Hesterberg (2015), Φ(−√(n/(n−1)) t_{n−1}) on each
    side for n prompts: the plain one is too narrow where prompts are few.
    """
    count = len(set(prompts))
    if count < 2:
        return None
    reach = math.sqrt(count / (count - 1)) * stats.t.ppf(0.975, count - 1)
    return clustered_interval(values, prompts, level=float(1 - 2 * stats.norm.cdf(-reach)))


def estimate_of(metric: Metric, values: Sequence[float], prompts: Sequence[str]) -> Estimate:
    """Mean with its interval over prompts.

    For a share the interval also covers Wilson's, which does not shrink to a point where all videos
    agree.
    """
    mean = float(np.mean(values))
    low, high = prompt_interval(values, prompts) or (None, None)
    if metric.kind == "share" and low is not None and high is not None:
        wilson = wilson_share(round(sum(values)), len(values))
        low, high = min(low, wilson.low), max(high, wilson.high)
    return Estimate(mean, low, high)


def difference_of(metric: Metric, values: Sequence[float], prompts: Sequence[str]) -> Estimate:
    """Mean of paired differences with its interval over prompts.

    For a share, whose differences are -1, 0 and 1, the interval also covers that of Agresti and Min
    (2005): half a pair is added to each of the four outcomes, so it has a width where all agree.
    """
    mean = float(np.mean(values))
    low, high = prompt_interval(values, prompts) or (None, None)
    if metric.kind == "share" and low is not None and high is not None:
        more, less = (sum(v * sign > 0 for v in values) + 0.5 for sign in (1, -1))
        total = len(values) + 2
        middle = (more - less) / total
        half = _Z95 * math.sqrt((more + less) / total - middle**2) / math.sqrt(total)
        low, high = min(low, middle - half), max(high, middle + half)
    return Estimate(mean, low, high)


def _cell(condition: str, key: str, videos: Sequence[JudgedVideo]) -> ResultCell | None:
    measured = [video for video in videos if key in video.values]
    if not measured:
        return None
    metric = BY_KEY[key]

    def estimate(some: Sequence[JudgedVideo]) -> Estimate:
        return estimate_of(metric, [v.values[key] for v in some], [v.prompt for v in some])

    motions = dict.fromkeys(video.motion for video in measured if video.motion)
    return ResultCell(
        condition,
        key,
        estimate(measured),
        len(measured),
        _by_seed((v.seed, v.values[key]) for v in measured),
        {m: estimate([v for v in measured if v.motion == m]) for m in motions},
    )


def _difference(
    other: str, key: str, main: Sequence[JudgedVideo], videos: Sequence[JudgedVideo]
) -> ResultDifference | None:
    known = {(v.prompt, v.seed): v.values[key] for v in videos if key in v.values}
    pairs = [
        (v.prompt, v.seed, v.values[key] - known[v.prompt, v.seed])
        for v in main
        if key in v.values and (v.prompt, v.seed) in known
    ]
    if not pairs:
        return None
    values = [value for _, _, value in pairs]
    prompts = [prompt for prompt, _, _ in pairs]
    return ResultDifference(
        other,
        key,
        difference_of(BY_KEY[key], values, prompts),
        len(pairs),
        len(set(prompts)),
        _by_seed((seed, value) for _, seed, value in pairs),
    )


def _by_seed(pairs: Any) -> dict[int, float]:
    found: dict[int, list[float]] = {}
    for seed, value in pairs:
        found.setdefault(seed, []).append(value)
    return {seed: float(np.mean(values)) for seed, values in sorted(found.items())}


def _unmeasured(about: About, videos: Sequence[JudgedVideo], keys: Sequence[str]) -> dict[str, str]:
    found = {}
    for key in about.metrics:
        if key not in keys:
            reasons = (video.why[key] for video in videos if key in video.why)
            found[key] = next(reasons, "not measured")
    return found

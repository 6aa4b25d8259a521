"""Where a number depends on something that is no property of the motion: one line for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from motive.evaluation.metrics.evaluating import VideoRow
from motive.evaluation.metrics.formulas import SAMPLED_FPS, needed_pairs, sampling_interval
from motive.evaluation.metrics.summary import Summary, frame_weighted

_LONGEST = 5.0  # seconds; what VBench's custom mode is meant for
_CONSISTENCY = ("subject_consistency", "background_consistency")
_DYNAMIC = ("dynamic_degree", "dynamic_degree_dis", "official_dynamic_degree")
_PER_FRAME = ("flow_smoothness", "flow_jerk", "warping_error", "temporal_consistency", "flicker")
_SMALL = 100  # videos; below, dynamic degree moves in visible steps
_SHOWN = 1e-4  # a difference that the table shows


def cautions(rows: Sequence[VideoRow], summary: Summary, *, flow: str = "raft") -> list[str]:
    """What a reader should know before comparing the numbers with others.

    Args:
        rows: Of all conditions.
        summary: Of the rows.
        flow: Tracker behind `dynamic_degree`.
    """
    measured = {cell.key for cell in summary.cells if cell.value is not None}
    found = [
        *_of_rate(rows, measured),
        *_of_size(rows, measured),
        *_of_length(rows, measured),
        *_of_counts(summary, measured),
        *_of_pairs(rows, summary),
    ]
    if "dynamic_degree" in measured and flow != "raft":
        found.append(f"dynamic degree: flow from {flow}, VBench's own is RAFT; not its number.")
    found += _of_weighting(rows, summary, measured)
    return found


def _of_rate(rows: Sequence[VideoRow], measured: set[str]) -> list[str]:
    rates = Counter(round(row.facts.fps, 3) for row in rows if row.facts)
    found = []
    if measured & set(_DYNAMIC):
        for fps in sorted(rates):
            sampled = fps / sampling_interval(fps)
            if fps and abs(sampled - SAMPLED_FPS) > 0.05 * SAMPLED_FPS:
                found.append(
                    f"dynamic degree: {fps:g} fps is sampled at {sampled:g} instead of 8 frames "
                    "per second, and the threshold stays 6 px per sampled frame; write 8, 16 or "
                    "24 fps."
                )
        if 0 in rates:
            found.append(f"{rates[0]} videos state no frame rate; every frame was sampled.")
    if len(rates) > 1 and measured & {*_DYNAMIC, *_PER_FRAME, *_CONSISTENCY}:
        listed = ", ".join(f"{fps:g}" for fps in sorted(rates))
        found.append(
            f"videos of {listed} fps: scores between neighbouring frames rise with the frame rate; "
            "compare videos of one rate."
        )
    return found


def _of_size(rows: Sequence[VideoRow], measured: set[str]) -> list[str]:
    sizes = Counter((row.facts.width, row.facts.height) for row in rows if row.facts)
    if len(sizes) < 2 or not measured - {"motion_shown", "motion_probability"}:
        return []
    listed = ", ".join(f"{width}x{height}" for (width, height), _ in sizes.most_common(3))
    return [
        f"videos of {len(sizes)} sizes ({listed}): VBench's dynamic degree has a threshold that "
        "grows with the shorter side, and its imaging quality shrinks large frames; compare videos "
        "of one size."
    ]


def _of_length(rows: Sequence[VideoRow], measured: set[str]) -> list[str]:
    found = []
    long = sum(1 for row in rows if row.facts and row.facts.seconds >= _LONGEST)
    if long:
        found.append(
            f"{long} of {len(rows)} videos last 5 s or more (81 frames at 16 fps are 5.06 s): "
            "VBench's custom mode is meant for less; longer ones belong to VBench-Long, whose "
            "numbers differ."
        )
    gifs = sum(1 for row in rows if row.facts and row.facts.kind == ".gif")
    if gifs:
        found.append(f"{gifs} GIFs: vbench itself judges neither their smoothness nor dynamics.")
    if measured & set(_DYNAMIC):
        always = sum(1 for row in rows if row.facts and row.facts.frames > 1 and _needs_none(row))
        if always:
            found.append(
                f"{always} videos have two frames at 8 fps: VBench's dynamic degree then always "
                "says yes."
            )
    return found


def _needs_none(row: VideoRow) -> bool:
    facts = row.facts
    if facts is None:
        return False
    return needed_pairs(-(-facts.frames // sampling_interval(facts.fps))) == 0


def _of_counts(summary: Summary, measured: set[str]) -> list[str]:
    counts = [
        cell.videos
        for cell in summary.cells
        if cell.key in measured & set(_DYNAMIC) and cell.value is not None
    ]
    if not counts or min(counts) >= _SMALL:
        return []
    return [
        f"dynamic degree of {min(counts)} videos moves in steps of {100 / min(counts):.2g} %: read "
        "its interval, and the margin beside it."
    ]


def _of_pairs(rows: Sequence[VideoRow], summary: Summary) -> list[str]:
    found = []
    of = {n: {r.pair for r in rows if r.video.condition == n} for n in summary.conditions}
    reference = summary.conditions[0]
    for name in summary.conditions[1:]:
        shared = len(of[name] & of[reference])
        if shared < max(len(of[name]), len(of[reference])):
            found.append(
                f"{name}: {shared} of its {len(of[name])} videos have a partner among the "
                f"{len(of[reference])} of {reference}; differences are of those alone."
            )
    prompts = Counter((row.video.condition, row.video.prompt) for row in rows if row.video.prompt)
    if prompts and max(prompts.values()) > 1:
        found.append(
            "several videos per prompt: bootstrap intervals draw prompts; Wilson intervals of "
            "shares take videos as independent, which is too narrow if a prompt decides."
        )
    return found


def _of_weighting(rows: Sequence[VideoRow], summary: Summary, measured: set[str]) -> list[str]:
    found = []
    for name in summary.conditions:
        mine = [row for row in rows if row.video.condition == name]
        for key in _CONSISTENCY:
            weighted = frame_weighted(mine, key) if key in measured else None
            shown = summary.cell(name, key).value if weighted is not None else None
            if weighted is None or shown is None or abs(weighted - shown) < _SHOWN:
                continue
            found.append(
                f"{key.replace('_', ' ')} of {name}: {100 * shown:.2f} is the mean over videos; "
                f"weighted by frames, as vbench states it on one GPU, it is {100 * weighted:.2f}."
            )
    return found

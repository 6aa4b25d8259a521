"""Choosing clips of a ranked run by any method, and writing down why."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from motive.clips import Clip, write_diffsynth_jsonl
from motive.errors import UsageError
from motive.index.manifest import TRAIN
from motive.runs.baselines import Baseline, baseline, mean_of_draws
from motive.runs.entries import clip_of
from motive.runs.run import Run
from motive.selection import (
    Diversity,
    Selection,
    majority_vote,
    parse_top,
    write_selection_csv,
)

_LOG = logging.getLogger(__name__)


def select_run(
    run: Run,
    top: str | int = "10%",
    *,
    by: str = "motive",
    percentile: float | None = None,
    bottom: bool = False,
    diverse: float = 0.0,
    encoder: str | None = None,
    seed: int = 0,
    device: str = "auto",
    draws: Sequence[Run] = (),
    out: Path | None = None,
) -> Selection:
    """Majority vote over the queries on a method's scores; writes a CSV, and a list for trainers.

    Args:
        run: A ranked run.
        top: "10%" or a count.
        by: A method of `motive.runs.baselines.METHODS`.
        percentile: τ_q's percentile; default the one that `top` implies.
        bottom: The lowest instead of the highest, as a control.
        diverse: λ in [0, 1] of `motive.selection.diversify`; 0 takes the vote's order. Likeness is
            measured in the method's own vectors, or in gradients where it has none.
        encoder: For "embedding": folder or hub id.
        seed: For "random".
        device: Of the encoder.
        draws: Runs that differ from this one in the noise seed; scores are averaged over all.
        out: CSV to write, with a .jsonl beside it; default `selection_path`.

    Raises:
        UsageError: No scores yet, or an option out of range.
        MotiveError: See `motive.runs.baselines.baseline`; or a file cannot be written.
    """
    if not 0 <= diverse <= 1:
        raise UsageError(f"--diverse {diverse}: must be between 0 and 1")
    target = out or selection_path(run, by, bottom=bottom)
    if target.suffix != ".csv":
        raise UsageError(f"--out {target}: name a .csv file; the list goes beside it")
    run.warn_of_added()
    found = mean_of_draws(
        [baseline(one, by, encoder=encoder, seed=seed, device=device) for one in (run, *draws)]
    )
    ranking = found.ranking
    selection = majority_vote(
        ranking.scores,
        ranking.clip_ids,
        ranking.query_ids,
        parse_top(top, len(ranking.clip_ids)),
        percentile,
        method=_named(found, bottom, diverse),
        bottom=bottom,
        diversity=Diversity(diverse, found.features()) if diverse else None,
    )
    _write(run, target, selection)
    if target == selection_path(run):
        asked = {"top": str(top), "percentile": percentile}
        run.keep_selection({**asked, "diverse": diverse} if diverse else asked)
    return selection


def selection_path(run: Run, by: str = "motive", *, bottom: bool = False) -> Path:
    """Where a selection is written: `selection.csv` for MOTIVE's own, else `selection-METHOD.csv`.

    A control never takes the place of the run's own selection.
    """
    if by == "motive" and not bottom:
        return run.folder / "selection.csv"
    return run.folder / f"selection-{by}{'-bottom' if bottom else ''}.csv"


def _named(found: Baseline, bottom: bool, diverse: float) -> str:
    parts = [found.method]
    parts += ["from the bottom"] if bottom else []
    parts += [f"diversity {diverse:g}"] if diverse else []
    return ", ".join(parts)


def _write(run: Run, path: Path, selection: Selection) -> None:
    records = run.records(TRAIN)
    facts = {
        name: {
            "source": r.source,
            "start": f"{r.start:g}" if r.start else "",
            "end": "" if r.end is None else f"{r.end:g}",
            "caption": r.caption,
            "label": r.label or "",
        }
        for name, r in records.items()
    }
    write_selection_csv(path, selection, facts)
    chosen = [clip_of(records[choice.clip_id]) for choice in selection.choices]
    _warn_of_spans(chosen, path)
    write_diffsynth_jsonl(path.with_suffix(".jsonl"), chosen)


def _warn_of_spans(chosen: list[Clip], path: Path) -> None:
    spans = sum(bool(clip.start) or clip.end is not None for clip in chosen)
    if spans:
        _LOG.warning(
            "%d selected clips are spans of longer videos: %s says which, %s cannot; cut them out "
            "before training on it",
            spans,
            path.name,
            path.with_suffix(".jsonl").name,
        )

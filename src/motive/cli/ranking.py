"""`motive index`, `rank`, `select` and `report`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from motive.cli.console import emit, list_problems, progress_bars
from motive.cli.options import Common, RunOptions, command_line, given_or_stored, open_run
from motive.errors import MotiveError, UsageError
from motive.index.manifest import QUERY, TRAIN
from motive.influence import top_clips
from motive.ranks import launched
from motive.runs import Run, follow, report_run
from motive.runs.baselines import METHODS
from motive.runs.selecting import select_run, selection_path
from motive.selection import Selection

Shard = Annotated[
    bool,
    Parameter(help="Spread the model over the processes of torchrun.", negative=""),
]


def _listed_methods() -> str:
    return "; ".join(f"{name} ({about})" for name, about in METHODS.items())


def index(
    run: Path,
    *,
    data: Annotated[str | None, Parameter(help="Folder of videos, or CSV / JSON / JSONL.")] = None,
    config: Annotated[
        Path | None, Parameter(help="Start from the config.yaml of another run.")
    ] = None,
    shard: Shard = False,
    options: RunOptions = RunOptions(),  # type: ignore[valid-type]  # noqa: B008
    common: Common = Common(),  # noqa: B008
) -> None:
    """Compute one projected, motion-weighted gradient per training clip.

    Clips that are already indexed are skipped: run the same command again to continue after an
    interruption, or with more clips.

    For example:

        motive index runs/mine --data videos/
        motive index runs/wan --data clips.csv --model path/to/Wan2.1-T2V-1.3B-Diffusers
        torchrun --nproc-per-node 8 -m motive index runs/wan --shard

    Args:
        run: Run folder; made if missing. Without options it continues as it was started.
    """
    with launched(shard, options.device or "auto") as ranks, progress_bars(common.json) as bars:
        if ranks is not None and not ranks.leads:
            follow(ranks)
            return
        opened = open_run(run, options, config, on_progress=bars, ranks=ranks)
        result = opened.index(given_or_stored(data, opened, "data", "--data"))
    lines = [
        f"{len(result.clips)} training clips indexed in {run} ({result.computed} new, "
        f"{result.reused} already there) in {result.seconds:.1f} s",
        *list_problems(result.errors, result.duplicates),
        f"next: motive rank {run} --query YOUR_QUERY_CLIPS",
    ]
    emit(
        {
            "run": str(run),
            "clips": len(result.clips),
            "computed": result.computed,
            "reused": result.reused,
            "errors": [{"source": s, "error": e} for s, e in result.errors],
            "duplicates": [{"source": s, "same_as": f} for s, f in result.duplicates],
            "seconds": round(result.seconds, 3),
            "fingerprint": opened.fingerprint.digest,
        },
        common.json,
        lines,
    )


def rank(
    run: Path,
    *,
    query: Annotated[
        str | None, Parameter(help="A video, a folder of videos, or a list, showing the motion.")
    ] = None,
    shown: Annotated[int, Parameter(help="Clips printed per query and side.")] = 3,
    shard: Shard = False,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Score every indexed clip for every query; show the most positive and most negative.

    For example:

        motive rank runs/mine --query queries/
        motive rank runs/mine --query spinning-coin.mp4 --shown 10

    Args:
        run: An indexed run folder.
    """
    if shown < 0:
        raise UsageError(f"--shown {shown}: must not be negative")
    with launched(shard) as ranks, progress_bars(common.json) as bars:
        if ranks is not None and not ranks.leads:
            follow(ranks)
            return
        opened = open_run(run, on_progress=bars, ranks=ranks)
        ranking = opened.rank(given_or_stored(query, opened, "queries", "--query"))
    train, queries = opened.records(TRAIN), opened.records(QUERY)
    lines, found = [], []
    for row, query_id in enumerate(ranking.query_ids):
        scores = ranking.scores[row]
        positive, negative = top_clips(scores, ranking.clip_ids, shown)
        lines.append(f"{Path(queries[query_id].source).name}: {queries[query_id].caption}")
        for sign, positions in (("+", positive), ("-", negative)):
            for n in positions:
                record = train[ranking.clip_ids[n]]
                name = Path(record.source).name
                lines.append(f"  {sign} {scores[n]:+.3f}  {name}  {record.caption:.70}")
        found.append(
            {
                "query": queries[query_id].source,
                "positive": _listed(positive, scores, ranking.clip_ids, train),
                "negative": _listed(negative, scores, ranking.clip_ids, train),
            }
        )
    lines += list_problems(ranking.errors, [])
    lines.append(f"all scores: {run / 'scores.parquet'}; next: motive select {run} --top 10%")
    emit(
        {
            "run": str(run),
            "clips": len(ranking.clip_ids),
            "queries": found,
            "errors": [{"source": s, "error": e} for s, e in ranking.errors],
        },
        common.json,
        lines,
    )


def select(
    run: Path,
    *,
    top: Annotated[str, Parameter(help="How many clips: a count or a share.")] = "10%",
    by: Annotated[str, Parameter(help=f"Method: {_listed_methods()}.")] = "motive",
    percentile: Annotated[
        float | None,
        Parameter(help="Vote threshold as a percentile of each query's scores; default: by --top."),
    ] = None,
    bottom: Annotated[
        bool, Parameter(help="The lowest instead of the highest: a control.", negative="")
    ] = False,
    diverse: Annotated[
        float, Parameter(help="0 to 1: how much to avoid clips that resemble each other.")
    ] = 0.0,
    encoder: Annotated[
        str | None,
        Parameter(help="Folder or hub id of V-JEPA 2, CLIP or DINO, for --by embedding."),
    ] = None,
    seed: Annotated[int, Parameter(help="Of --by random.")] = 0,
    out: Annotated[
        Path | None,
        Parameter(help="CSV to write [default: selection.csv, or selection-METHOD.csv, in RUN]."),
    ] = None,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Choose the clips worth fine-tuning on by majority vote over the queries.

    Writes selection.csv (why each clip was chosen) and selection.jsonl (DiffSynth-Studio metadata).
    Other methods choose clips to compare with; theirs are called selection-METHOD.csv.

    For example:

        motive select runs/mine --top 10%
        motive select runs/mine --by random --seed 1
        motive select runs/mine --by embedding --encoder path/to/vjepa2-vitl-fpc64-256
        motive select runs/mine --bottom

    Args:
        run: A ranked run folder.
    """
    with progress_bars(common.json) as bars:
        opened = open_run(run, on_progress=bars)
        selection = select_run(
            opened,
            top,
            by=by,
            percentile=percentile,
            bottom=bottom,
            diverse=diverse,
            encoder=encoder,
            seed=seed,
            device=opened.config.device,
            out=out,
        )
    _tell_selection(opened, selection, out or selection_path(opened, by, bottom=bottom), common)


def _tell_selection(run: Run, selection: Selection, table: Path, common: Common) -> None:
    records = run.records(TRAIN)
    lines = [
        f"{c.rank:4d}  {c.votes:3d} votes  mean rank {c.mean_rank:7.1f}  "
        f"{Path(records[c.clip_id].source).name}"
        for c in selection.choices[:10]
    ]
    if len(selection.choices) > 10:
        lines.append(f"      ... {len(selection.choices)} clips in all")
    lines.append(f"chosen by {selection.method}")
    lines.append(f"written: {table} and {table.with_suffix('.jsonl')}")
    emit(
        {
            "run": str(run.folder),
            "method": selection.method,
            "table": str(table),
            "selected": [
                {**asdict(c), "source": records[c.clip_id].source} for c in selection.choices
            ],
            "thresholds": selection.thresholds,
        },
        common.json,
        lines,
    )


def report(
    run: Path,
    *,
    top: Annotated[
        str | None,
        Parameter(help="Size of the selected set; default: that of `motive select`, else 10%."),
    ] = None,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Write report/index.html: queries, their most positive and negative clips, the selection.

    For example:

        motive report runs/mine

    Args:
        run: A ranked run folder.
    """
    with progress_bars(common.json) as bars:
        opened = open_run(run, on_progress=bars)
        last = opened.stored.get("selection") or {}  # what `motive select` was asked for
        selection = (
            select_run(
                opened,
                str(last.get("top", "10%")),
                percentile=last.get("percentile"),
                diverse=float(last.get("diverse", 0.0)),
            )
            if top is None
            else opened.select(top)
        )
        page = report_run(opened, selection, command=command_line())
    emit({"run": str(run), "report": str(page)}, common.json, [f"open {page}"])


def _listed(
    positions: list[int], scores: np.ndarray, ids: list[str], records: Any
) -> list[dict[str, Any]]:
    if not np.isfinite(scores).all():
        raise MotiveError("scores are not finite; run `motive rank` again")
    return [
        {
            "clip_id": ids[n],
            "source": records[ids[n]].source,
            "score": float(scores[n]),
            "caption": records[ids[n]].caption,
        }
        for n in positions
    ]

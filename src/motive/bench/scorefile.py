"""Read scores that another program computed, and line them up with the problem.

* .npy: scores "q n", in the problem's order (candidates sorted by id).
* .npz: `scores` "q n", or features `train` "n d" and `query` "q d" to compare by cosine; with
  optional `clip_ids` and `query_ids`.
* .csv, .parquet: a column `clip_id`, and one column per query.

Ids may be content ids or file stems. With ids the order is free, without them it is the problem's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from motive.bench.problem import BenchClip, Problem
from motive.bench.retrieval import check_scores
from motive.errors import MotiveError, UsageError
from motive.influence import cosine_scores

_ID_COLUMN = "clip_id"


def read_scores(path: Path, problem: Problem) -> np.ndarray:
    """Scores of every candidate for every query, in the problem's order.

    Args:
        path: .npy, .npz, .csv or .parquet.
        problem: Gives the order and the names.

    Returns:
        float64 "q n".

    Raises:
        UsageError: No such file, an unknown kind, a wrong shape, ids that are unknown, missing or
            given twice, or scores that are not finite numbers. One line.
        MotiveError: The file is damaged.
    """
    readers = {".npy": _npy, ".npz": _npz, ".csv": _table, ".parquet": _table}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path}: scores must be {', '.join(readers)}")
    if not path.is_file():
        raise UsageError(f"{path}: no such file; check the path")
    scores = reader(path, problem)
    check_scores(scores, problem, str(path))
    return scores


def _npy(path: Path, problem: Problem) -> np.ndarray:
    return _numbers(_load(path)[""], path, "scores")


def _npz(path: Path, problem: Problem) -> np.ndarray:
    arrays = _load(path)
    clip_ids, query_ids = (_ids(arrays, name) for name in ("clip_ids", "query_ids"))
    if "scores" in arrays:
        scores = _numbers(arrays["scores"], path, "scores")
    elif {"train", "query"} <= set(arrays):
        train, query = (_numbers(arrays[name], path, name) for name in ("train", "query"))
        scores = _cosine(query, train, path)
    else:
        raise UsageError(
            f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}; give `scores`, or `train` "
            "and `query` features"
        )
    expected = (
        len(problem.queries) if query_ids is None else len(query_ids),
        len(problem.candidates) if clip_ids is None else len(clip_ids),
    )
    if scores.shape != expected:
        raise UsageError(
            f"{path}: scores of shape {scores.shape} for {expected[0]} queries x {expected[1]} "
            "clips; must be queries x clips"
        )
    if query_ids is not None:
        scores = scores[_positions(query_ids, problem.queries, path, "query")]
    if clip_ids is not None:
        scores = scores[:, _positions(clip_ids, problem.candidates, path, "clip")]
    return scores


def _table(path: Path, problem: Problem) -> np.ndarray:
    try:
        if path.suffix.lower() == ".csv":
            # Ids such as 0042 or 1e5 are names, not numbers.
            options = pyarrow.csv.ConvertOptions(column_types={_ID_COLUMN: pa.string()})
            table = pyarrow.csv.read_csv(path, convert_options=options)
        else:
            table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise MotiveError(f"{path}: cannot be read ({str(error).splitlines()[0]:.160})") from None
    if _ID_COLUMN not in table.column_names:
        raise UsageError(f"{path}: no column {_ID_COLUMN!r}; name the candidate of each row in it")
    names = [name for name in table.column_names if name != _ID_COLUMN]
    rows = _positions(
        [str(name) for name in table[_ID_COLUMN].to_pylist()], problem.candidates, path, "clip"
    )
    columns = _positions(names, problem.queries, path, "query")
    scores = []
    for column in columns:
        name = names[column]
        values = table[table.column_names.index(name)]
        if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
            raise UsageError(f"{path}: column {name!r} holds {values.type}, not numbers")
        scores.append(values.cast(pa.float64()).to_numpy()[rows])  # empty cells become NaN
    return np.stack(scores)


def _load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz, or the one of an .npy under the name ""."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise MotiveError(f"{path}: cannot be read ({str(error).splitlines()[0]:.160})") from None


def _numbers(values: np.ndarray, path: Path, name: str) -> np.ndarray:
    if values.dtype.kind not in "fiub":
        raise UsageError(f"{path}: {name} holds {values.dtype}, not real numbers")
    if values.ndim != 2:
        raise UsageError(f"{path}: {name} has shape {values.shape}; must have two axes")
    return values.astype(np.float64)


def _cosine(query: np.ndarray, train: np.ndarray, path: Path) -> np.ndarray:
    norms = [np.linalg.norm(rows, axis=1, keepdims=True) for rows in (query, train)]
    if not all(np.isfinite(norm).all() and (norm > 0).all() for norm in norms):
        raise UsageError(f"{path}: a feature is zero or not finite; it has no cosine")
    try:
        return cosine_scores(query / norms[0], train / norms[1])
    except MotiveError as error:
        raise UsageError(f"{path}: {error}") from None


def _ids(arrays: Mapping[str, np.ndarray], name: str) -> list[str] | None:
    return [str(value) for value in arrays[name].ravel()] if name in arrays else None


def _positions(
    names: Sequence[str], clips: Sequence[BenchClip], path: Path, what: str
) -> list[int]:
    """Where each clip of the problem stands among the names."""
    stems = Counter(clip.name for clip in clips)
    known = {clip.id: n for n, clip in enumerate(clips)}
    known |= {clip.name: n for n, clip in enumerate(clips) if stems[clip.name] == 1}
    position: dict[int, int] = {}
    for place, name in enumerate(names):
        if name not in known:
            unclear = "stands for several clips" if name in stems else "is not in the problem"
            raise UsageError(f"{path}: {what} {name!r} {unclear}; give content ids or file stems")
        if known[name] in position:
            raise UsageError(f"{path}: {what} {name!r} is given twice; keep one")
        position[known[name]] = place
    missing = [n for n in range(len(clips)) if n not in position]
    if missing:
        raise UsageError(
            f"{path}: no scores for {len(missing)} of {len(clips)} "
            f"{'queries' if what == 'query' else 'clips'}, first {clips[missing[0]].name}"
        )
    return [position[n] for n in range(len(clips))]

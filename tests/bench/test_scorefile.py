"""Score files are lined up by id, and anything that does not fit is refused in one line."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from motive.bench.scorefile import read_scores
from motive.errors import MotiveError, UsageError


@pytest.fixture
def scores(problem):
    shape = len(problem.queries), len(problem.candidates)
    return np.random.default_rng(0).standard_normal(shape)


def table_of(problem, scores, clip_names, query_names):
    return {"clip_id": clip_names} | {name: scores[q] for q, name in enumerate(query_names)}


def test_a_plain_matrix_is_read_in_the_problems_order(problem, scores, tmp_path):
    path = tmp_path / "scores.npy"
    np.save(path, scores)
    np.testing.assert_array_equal(read_scores(path, problem), scores)


@pytest.mark.parametrize("names", ["id", "name"])
@pytest.mark.parametrize("kind", ["npz", "csv", "parquet"])
def test_named_scores_are_put_in_the_problems_order(problem, scores, tmp_path, names, kind):
    clips = [getattr(clip, names) for clip in problem.candidates]
    queries = [getattr(clip, names) for clip in problem.queries]
    c, q = np.random.default_rng(1).permutation(len(clips)), np.array([1, 0])
    turned = scores[np.ix_(q, c)]
    clips, queries = [clips[n] for n in c], [queries[n] for n in q]
    path = tmp_path / f"scores.{kind}"
    if kind == "npz":
        np.savez(path, scores=turned, clip_ids=clips, query_ids=queries)
    elif kind == "parquet":
        pq.write_table(pa.table(table_of(problem, turned, clips, queries)), path)
    else:
        rows = [",".join(["clip_id", *queries])]
        rows += [
            ",".join([clip, *(repr(float(v)) for v in turned[:, n])])
            for n, clip in enumerate(clips)
        ]
        path.write_text("\n".join(rows))
    np.testing.assert_allclose(read_scores(path, problem), scores)


def test_features_are_compared_by_cosine(problem, tmp_path):
    rng = np.random.default_rng(2)
    train = rng.standard_normal((len(problem.candidates), 5))
    query = rng.standard_normal((len(problem.queries), 5))
    path = tmp_path / "features.npz"
    np.savez(path, train=train, query=query)
    expected = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in train] for a in query]
    np.testing.assert_allclose(read_scores(path, problem), expected, atol=1e-6)


def saved(tmp_path, name, *arrays, **named):
    path = tmp_path / name
    (np.savez if named else np.save)(path, *arrays, **named)
    return path


def test_matrices_that_do_not_fit_are_refused_in_one_line(problem, scores, tmp_path):
    cases = {
        "transpose them": saved(tmp_path, "turned.npy", scores.T),
        r"shape \(2, 5\)": saved(tmp_path, "short.npy", scores[:, 1:]),
        "must have two axes": saved(tmp_path, "flat.npy", scores.ravel()),
        "not real numbers": saved(tmp_path, "text.npy", scores.astype(str)),
        "first for query queries-01": saved(
            tmp_path, "nan.npy", np.where(np.arange(2)[:, None], np.nan, scores)
        ),
        "holds other; give": saved(tmp_path, "other.npz", other=scores),
        "D' must agree": saved(tmp_path, "dims.npz", train=np.ones((6, 4)), query=np.ones((2, 3))),
        "zero or not finite": saved(
            tmp_path, "zero.npz", train=np.zeros((6, 4)), query=np.ones((2, 4))
        ),
        "for 2 queries x 3 clips": saved(
            tmp_path, "ids.npz", scores=scores, clip_ids=problem.clip_ids[:3]
        ),
    }
    for message, path in cases.items():
        with pytest.raises(UsageError, match=message) as caught:
            read_scores(path, problem)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_ids_that_do_not_fit_are_named(problem, scores, tmp_path):
    ids = problem.clip_ids

    def with_ids(changed):
        return saved(tmp_path, "ids.npz", scores=scores[:, : len(changed)], clip_ids=changed)

    with pytest.raises(UsageError, match="clip 'nobody' is not in the problem"):
        read_scores(with_ids(["nobody", *ids[1:]]), problem)
    with pytest.raises(UsageError, match="is given twice"):
        read_scores(with_ids([ids[1], *ids[1:]]), problem)
    with pytest.raises(UsageError, match="no scores for 1 of 6 clips"):
        read_scores(with_ids(ids[:-1]), problem)


def test_tables_that_do_not_fit_are_refused_in_one_line(problem, scores, tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("name,a\nx,1\n")
    with pytest.raises(UsageError, match="no column 'clip_id'"):
        read_scores(path, problem)
    names = [clip.name for clip in problem.candidates]
    path.write_text("clip_id,queries-00,queries-01\n" + "".join(f"{name},1,\n" for name in names))
    with pytest.raises(UsageError, match="queries-01"):
        read_scores(path, problem)
    path.write_text(
        "clip_id,queries-00,queries-01\n" + "".join(f"{name},1,high\n" for name in names)
    )
    with pytest.raises(UsageError, match="not numbers"):
        read_scores(path, problem)


def test_files_that_cannot_be_read_are_named(problem, tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_scores(tmp_path / "gone.npy", problem)
    with pytest.raises(UsageError, match=r"scores must be \.npy"):
        read_scores(tmp_path / "scores.txt", problem)
    for name in ("bad.npy", "bad.npz", "bad.parquet"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(MotiveError, match="cannot be read"):
            read_scores(tmp_path / name, problem)
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(MotiveError, match="cannot be read"):
        read_scores(tmp_path / "pickled.npy", problem)

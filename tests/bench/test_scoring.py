"""A cached score matrix is used exactly when nothing that decides it has changed."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest

from motive.bench import scoring
from motive.bench.context import Bench
from motive.bench.methods import FromFile
from motive.bench.methods.motive import MOTIVE
from motive.bench.methods.no_mask import NO_MASK
from motive.bench.methods.random_scores import RANDOM
from motive.bench.problem import Problem
from motive.bench.scoring import ScoreBook, method_identity
from motive.errors import UsageError
from motive.runs import RunConfig


@dataclasses.dataclass(frozen=True)
class Counting:
    """Adds the view to a list whenever its scores are computed."""

    name: str = "counting"
    key: str = "counting"
    about: str = "A test."
    uses_pixels: bool = True
    quick: bool = True
    offset: float = 0.0
    calls: ClassVar[list] = []

    def scores(self, bench):
        self.calls.append(bench.work.setting.view)
        shape = len(bench.problem.queries), len(bench.problem.candidates)
        return np.arange(np.prod(shape)).reshape(shape) + self.offset


@pytest.fixture(autouse=True)
def no_calls():
    Counting.calls.clear()


@pytest.fixture
def bench(problem, bench_model, tmp_path):
    return Bench(problem, config=RunConfig(model=str(bench_model), block=4096), cache=tmp_path)


def test_scores_are_computed_once_per_view(bench):
    method, book = Counting(), ScoreBook(bench)
    first = book.scores(method)
    again = ScoreBook(bench).scores(method)
    assert (first.cached, again.cached) == (False, True)
    assert np.array_equal(first.scores, again.scores)
    assert again.seconds == pytest.approx(first.seconds)
    book.scores(method, "frozen")
    assert method.calls == ["moving", "frozen"]


def test_other_settings_other_clips_and_another_model_are_other_scores(bench, tiny_wan, tmp_path):
    method, book = Counting(), ScoreBook(bench)
    book.scores(method)
    book.scores(dataclasses.replace(method, offset=1.0))
    fewer = Problem(bench.problem.candidates[1:], bench.problem.queries)
    ScoreBook(Bench(fewer, config=bench.config, cache=bench.cache)).scores(method)
    other = bench.config.updated(model=str(tiny_wan), frames=5, fps=8.0, height=32, width=32)
    changed = bench.config.updated(displacement="anchor")
    for config in (other, changed):
        ScoreBook(Bench(bench.problem, config=config, cache=bench.cache)).scores(method)
    assert len(method.calls) == 5


def test_changed_code_is_another_method_but_another_methods_file_is_not(monkeypatch):
    before = method_identity(MOTIVE), method_identity(RANDOM)
    source = scoring._source

    def edited(module):
        text = source(module)
        return text + "# edited" if module.endswith("methods.gradients") else text

    monkeypatch.setattr(scoring, "_source", edited)
    assert method_identity(MOTIVE) != before[0]
    assert method_identity(RANDOM) == before[1]
    assert method_identity(MOTIVE) != method_identity(NO_MASK)


def test_a_damaged_cache_file_is_made_again(bench, tmp_path):
    method = Counting()
    first = ScoreBook(bench).scores(method).scores
    (file,) = (tmp_path / "scores").rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:40])
    assert np.array_equal(ScoreBook(bench).scores(method).scores, first)
    assert len(method.calls) == 2


def test_scores_that_are_not_finite_are_refused_by_name_and_not_kept(bench):
    method = Counting(offset=float("nan"))
    with pytest.raises(UsageError, match="counting: 12 scores are not finite"):
        ScoreBook(bench).scores(method)
    with pytest.raises(UsageError, match="counting"):
        ScoreBook(bench).scores(method)


def test_a_score_file_is_read_every_time(bench, tmp_path):
    path = tmp_path / "mine.npy"
    method, book = FromFile("mine", path), ScoreBook(bench)
    for value in (1.0, 2.0):
        np.save(path, np.full((2, 6), value))
        assert (book.scores(method).scores == value).all()

"""What docs/attribution-bench.md tells a newcomer to write is run here, as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest

from motive.bench.context import Bench
from motive.bench.scorefile import read_scores
from motive.bench.scoring import ScoreBook, method_identity
from motive.runs import RunConfig

DOCS = Path(__file__).parents[2] / "docs" / "attribution-bench.md"


def block(containing):
    """The Python block of the page that contains a text."""
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    (found,) = [code for code in blocks if containing in code]
    return found


@pytest.fixture(scope="module")
def distance(tmp_path_factory):
    """The documented method, as a module of its own."""
    import importlib.util
    import sys

    path = tmp_path_factory.mktemp("docs") / "documented_method.py"
    path.write_text(block("class GradientDistance"))
    spec = importlib.util.spec_from_file_location("documented_method", path)
    module = sys.modules["documented_method"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.DISTANCE
    del sys.modules["documented_method"]


def test_the_documented_method_is_a_file_of_at_most_fifty_lines():
    assert len(block("class GradientDistance").splitlines()) <= 50


def test_the_documented_method_scores_every_view(distance, problem, bench_model, tmp_path):
    config = RunConfig(model=str(bench_model), block=4096, device="cpu")
    book = ScoreBook(Bench(problem, config=config, cache=tmp_path))
    for view in ("moving", "frozen"):
        scores = book.scores(distance, view).scores
        assert scores.shape == (2, 6)
        assert (scores < 0).all()
    assert book.scores(distance).cached
    assert method_identity(distance) == method_identity(type(distance)())


def test_the_documented_score_file_is_read_back(problem, problem_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = block("np.savez").replace("runs/bench/motionzoo", str(problem_folder))
    names = {}
    exec(code, names)
    assert np.array_equal(read_scores(tmp_path / "mine.npz", problem), names["scores"])

"""Fixtures of the benchmark's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench_world import write_problem
from motive.bench.problem import Problem, load_problem
from moving_squares import small_model


@pytest.fixture(scope="module")
def problem_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six candidates (one of them static) and two queries of moving squares."""
    return write_problem(tmp_path_factory.mktemp("problem"))


@pytest.fixture(scope="module")
def problem(problem_folder: Path) -> Problem:
    """The same, read."""
    return load_problem(problem_folder)


@pytest.fixture(scope="session")
def bench_model(tiny_wan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model for 5 frames of 32x32."""
    return small_model(tiny_wan, tmp_path_factory.mktemp("bench-model") / "model")

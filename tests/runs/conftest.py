"""A tiny model, folders of moving squares, and runs on them."""

from pathlib import Path

import pytest

from motive.runs import Run, RunConfig
from moving_squares import small_model, square_videos


@pytest.fixture(scope="session")
def model(tiny_wan, tmp_path_factory) -> Path:
    return small_model(tiny_wan, tmp_path_factory.mktemp("model") / "small")


@pytest.fixture(scope="session")
def videos(tmp_path_factory) -> Path:
    return square_videos(tmp_path_factory.mktemp("videos"), range(6))


@pytest.fixture(scope="session")
def queries(tmp_path_factory) -> Path:
    return square_videos(tmp_path_factory.mktemp("queries"), (21, 22))


@pytest.fixture(scope="session")
def config(model) -> RunConfig:
    # Two clips per pass: small enough to be interrupted within the six.
    return RunConfig(model=str(model), dim=64, block=4096, device="cpu", batch=2)


@pytest.fixture(scope="session")
def indexed(config, videos, tmp_path_factory) -> Path:
    """A run folder with features of all videos: copy it, do not write into it."""
    folder = tmp_path_factory.mktemp("indexed") / "run"
    Run(folder, config).index(videos)
    return folder


@pytest.fixture(scope="session")
def ranked(indexed, queries, tmp_path_factory) -> Path:
    """The same, ranked and selected."""
    import shutil

    folder = shutil.copytree(indexed, tmp_path_factory.mktemp("ranked") / "run")
    run = Run(folder)
    run.rank(queries)
    run.select("50%")
    return folder

"""A finished study folder to copy, and an open one."""

import shutil

import pytest

from motive.study import StudyStore
from study_world import small_study


@pytest.fixture(scope="session")
def made_study(tmp_path_factory):
    """Three prompts, two conditions, two checks, two annotators: copy it, do not write into it."""
    return small_study(tmp_path_factory.mktemp("study world"))


@pytest.fixture
def folder(made_study, tmp_path):
    return shutil.copytree(made_study, tmp_path / "study")


@pytest.fixture
def store(folder):
    with StudyStore(folder) as opened:
        yield opened

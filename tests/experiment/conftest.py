"""One experiment that is run once, and numbers of some that never were."""

import json

import pytest

from experiment_world import World, invented_results


@pytest.fixture(scope="session")
def world(tiny_wan, tmp_path_factory):
    return World(tmp_path_factory.mktemp("experiment with späces"), tiny_wan)


@pytest.fixture(scope="session")
def finished(world):
    """A finished experiment: copy it, do not write into it."""
    out = world.root / "finished"
    world.run(out)
    return out


def steps_of(out):
    """Names of the steps that were ever finished, in order."""
    return [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def done():
    return steps_of


@pytest.fixture
def invented():
    return invented_results

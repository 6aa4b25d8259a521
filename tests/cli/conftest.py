"""Commands run in this process, and a small world for them."""

import json
import shutil

import pytest

from motive.cli.main import main
from moving_squares import small_model, square_videos


class Outcome:
    """What one command did: exit code, and what it wrote."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        """The one object on stdout."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out, parse_constant=pytest.fail)

    def error(self, code):
        """The one line of a failure."""
        assert (self.code, self.out) == (code, ""), (self.code, self.out, self.err)
        assert self.err.count("motive: ") == 1
        assert "Traceback" not in self.err
        last = self.err.splitlines()[-1]
        assert last.startswith("motive: ")
        return last


@pytest.fixture
def motive(capfd):
    """Runs `motive ARGUMENTS`; file descriptors are captured, so stray prints are seen too."""

    def run(*arguments):
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def world(tiny_wan, tmp_path_factory):
    """A folder with a model, videos and queries."""
    root = tmp_path_factory.mktemp("world with späces")
    small_model(tiny_wan, root / "model")
    square_videos(root / "videos", range(6))
    square_videos(root / "queries", (21, 22))
    return root


@pytest.fixture(scope="session")
def finished(world):
    """A run folder after index, rank and select: copy it, do not write into it."""
    run = world / "finished"
    shape = ["--model", str(world / "model"), "--dim", "64", "--block", "4096", "--device", "cpu"]
    assert main(["index", str(run), "--data", str(world / "videos"), *shape]) == 0
    assert main(["rank", str(run), "--query", str(world / "queries")]) == 0
    assert main(["select", str(run), "--top", "50%"]) == 0
    return run


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run."""
    return shutil.copytree(finished, tmp_path / "run é")

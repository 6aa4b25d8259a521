"""`torchrun -m motive index --shard`: two processes make one run folder, with equal features."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch.distributed as dist

from motive.index.manifest import QUERY, TRAIN
from motive.runs import Run
from moving_squares import square_video
from tiny_families import TINY, save_tiny

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not dist.is_available() or not dist.is_gloo_available(),
        reason="no torch.distributed with gloo",
    ),
]


def torchrun(*arguments):
    """Run `motive ARGUMENTS --shard` as two CPU processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*launcher, "--nproc-per-node", "2", "-m", "motive", *map(str, arguments), "--shard"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as started:
        try:
            out, err = started.communicate(timeout=280)
        except BaseException:  # whatever it was, no process may stay behind
            os.killpg(started.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, started.returncode, out, err)


def vectors(run, role):
    table = run.features(role).load()
    return dict(zip(table.ids, table.vectors, strict=True))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for kind in range(2):
        square_video(folder / f"{kind}.mp4", kind, frames=20, size=(64, 64))
    (folder / "broken.mp4").write_bytes(b"nothing")
    return folder


@pytest.fixture(params=["wan-nano", "ltx-i2v"])
def options(request, tmp_path):
    """A model, and the shape of its clips."""
    if request.param == "wan-nano":
        return ["--model", request.param, "--device", "cpu"]
    shape = TINY[request.param].standard
    size = ["--frames", shape.frames, "--height", shape.height, "--width", shape.width]
    return ["--model", save_tiny(request.param, tmp_path / "model"), "--device", "cpu", *size]


def test_two_processes_index_and_rank_like_one(motive, videos, tmp_path, options):
    done = torchrun("index", tmp_path / "two", "--data", videos, *options, "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()  # the leader's alone
    assert json.loads(line)["computed"] == 2
    assert len(json.loads(line)["errors"]) == 1
    ranked = torchrun("rank", tmp_path / "two", "--query", videos / "0.mp4", "--json")
    assert ranked.returncode == 0, ranked.stderr
    assert motive("index", tmp_path / "one", "--data", videos, *options).code == 0
    assert motive("rank", tmp_path / "one", "--query", videos / "0.mp4").code == 0
    two, one = Run(tmp_path / "two"), Run(tmp_path / "one")
    assert two.fingerprint == one.fingerprint
    for role in (TRAIN, QUERY):
        found, expected = vectors(two, role), vectors(one, role)
        assert found.keys() == expected.keys()
        for name in found:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


def test_a_failure_of_the_leader_ends_the_followers(tmp_path):
    done = torchrun("index", tmp_path / "run", "--data", tmp_path / "nowhere", "--device", "cpu")
    assert done.returncode == 1
    assert "no such file or folder" in done.stderr

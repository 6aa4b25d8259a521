"""Worker processes give back results, errors, and their own death."""

import math
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from motive.errors import MotiveError
from motive.processes import Workers, as_completed, one_thread


def test_every_call_gives_its_result_and_a_dead_worker_is_one_line():
    with Workers(1) as workers:
        found = dict(workers.as_completed(math.sqrt, [(4.0,), (9.0,), (16.0,)]))
        assert found == {0: 2.0, 1: 3.0, 2: 4.0}
        assert dict(workers.as_completed(torch.get_num_threads, [()])) == {0: 1}
        with pytest.raises(ValueError, match="math domain error"):
            list(workers.as_completed(math.sqrt, [(-1.0,)]))
        with pytest.raises(MotiveError, match="a worker process died") as caught:
            list(workers.as_completed(os._exit, [(1,)]))
        assert "\n" not in str(caught.value)


ORPHANS = """
import os, time
from motive.processes import Workers

if __name__ == "__main__":
    workers = Workers(2)
    for _, number in workers.as_completed(os.getpid, [()]):
        print(number, flush=True)
    time.sleep(600)
"""


def alive(process):
    """Whether a process runs; one that has ended but was not waited for does not."""
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks processes up in /proc")
def test_workers_of_a_killed_parent_end(tmp_path):
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        assert alive(worker)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)


def test_no_calls_start_no_process():
    assert list(as_completed(2, math.sqrt, [])) == []


def test_one_thread_lasts_as_long_as_the_block_even_if_it_fails():
    before = torch.get_num_threads()
    seen = []

    def failing():
        with one_thread():
            seen.append(torch.get_num_threads())
            raise RuntimeError("inside")

    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError, match="inside"):
            failing()
        assert [*seen, torch.get_num_threads()] == [1, 2]
    finally:
        torch.set_num_threads(before)


def test_calls_are_taken_shortly_before_they_are_needed():
    taken = []

    def calls():
        for number in range(50):
            taken.append(number)
            yield (float(number),)

    for done, _ in enumerate(as_completed(1, math.sqrt, calls()), start=1):
        assert len(taken) <= done + 3
    assert len(taken) == 50

"""17 annotators, 50 videos, a server that is killed: nothing lost, nothing doubled."""

import hashlib
import http.client
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from motive.study import StudyStore, study_results
from motive.study.store import DATABASE
from study_world import Client, small_study

ANNOTATORS, PROMPTS, CHECKS = 17, 50, 2
SERVER = (
    "import sys; from pathlib import Path; from motive.study import serve_study;"
    "serve_study(Path(sys.argv[1]), port=int(sys.argv[2]),"
    " on_ready=lambda serving: print(serving.address, flush=True))"
)


class Server:
    """A real server process."""

    def __init__(self, folder, port=0):
        self.folder = folder
        self.start(port)

    def start(self, port):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self.folder), str(port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address = self.process.stdout.readline().strip()
        assert self.address, "the server did not start"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def restart(self):
        self.kill()
        self.start(int(self.address.rpartition(":")[2]))


class Person:
    """One annotator's browser: keeps its answers, sends them until the server has them."""

    def __init__(self, address, key):
        self.start = f"/a/{key}"
        self.address = address
        self.client = Client(address)
        self.answers = {}
        self.counted = 0
        self.undone = 0

    def reach(self, path, body=None, client=None):
        """Ask until there is an answer, as the page does."""
        end = time.monotonic() + 240
        while True:
            try:
                status, value = (client or self.client).json(self.start + path, body)
            except (OSError, http.client.HTTPException):
                assert time.monotonic() < end, "the server never came back"
                time.sleep(0.1)
                continue
            assert status == 200, (path, body, status, value)
            return value

    def vote(self, trial, choice, key):
        self.answers[trial] = choice
        body = {"key": key, "choice": choice, "comment": f"about {trial}", "seconds": 1.0}
        return lambda client=None: self.reach(f"/votes/{trial}", body, client)

    def judge_all(self, on_answer):
        while trial := self.reach("/standing")["current"]:
            self.judge(trial["id"])
            on_answer()
        self.client.close()

    def judge(self, trial):
        habit = hashlib.sha256(trial.encode()).digest()
        choice = ("left", "right", "tie")[habit[0] % 3]
        send = self.vote(trial, choice, f"key-{trial}")
        if habit[1] % 5 == 0:  # a double click: both at once
            with ThreadPoolExecutor(2) as clicks:
                twin = Client(self.address)
                told = [clicks.submit(send), clicks.submit(send, twin)]
                self.counted += sum(click.result()["counted"] for click in told)
                twin.close()
            return
        self.counted += send()["counted"]
        if habit[1] % 5 == 1:  # a reload, and a retry of what was sent already
            self.reach("/standing")
            assert send()["counted"] is False
        elif habit[1] % 5 == 2:  # a change of mind, and the first answer arriving once more
            self.undone += self.reach(f"/undos/{trial}", {"key": f"undo-{trial}"}) is not None
            assert send()["counted"] is False
            other = "tie" if choice != "tie" else "left"
            self.counted += self.vote(trial, other, f"again-{trial}")()["counted"]


@pytest.fixture(scope="module")
def paper_study(tmp_path_factory):
    """The published size: 17 annotators x 50 videos are 850 judgements per pairing."""
    names = [f"annotator-{i:02d}" for i in range(1, ANNOTATORS + 1)]
    return small_study(
        tmp_path_factory.mktemp("paper"), prompts=PROMPTS, annotators=names, checks=CHECKS
    )


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_study_of_published_size_survives_crowds_double_clicks_reloads_and_kills(paper_study):
    total = ANNOTATORS * (PROMPTS + CHECKS)
    server = Server(paper_study)
    with StudyStore(paper_study) as store:
        people = [Person(server.address, annotator.key) for annotator in store.annotators()]
    answered = threading.Semaphore(0)
    pool = ThreadPoolExecutor(ANNOTATORS)
    work = [pool.submit(person.judge_all, answered.release) for person in people]
    try:
        for _ in range(2):  # killed at about one third and two thirds
            for _ in range(total // 3):
                assert answered.acquire(timeout=240)
            server.restart()
        for done in work:
            done.result(timeout=240)
    finally:
        pool.shutdown(cancel_futures=True)
        server.kill()
    sent = {trial: choice for person in people for trial, choice in person.answers.items()}
    with sqlite3.connect(paper_study / DATABASE) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        stored = db.execute("SELECT trial, choice, comment FROM votes").fetchall()
        events = dict(db.execute("SELECT kind, count(*) FROM events GROUP BY 1").fetchall())
    assert len(stored) == len(sent) == total
    assert {trial: choice for trial, choice, _ in stored} == sent
    assert all(comment == f"about {trial}" for trial, _, comment in stored)
    undone = sum(person.undone for person in people)
    assert events == {"vote": total + undone, "undo": undone}
    assert undone > 50
    # A kill may swallow the "counted" of an answer that the retry then finds stored; never more.
    counted = sum(person.counted for person in people)
    assert total + undone - 2 * ANNOTATORS <= counted <= total + undone
    with StudyStore(paper_study) as store:
        results = study_results(store)
    assert [tally.judgements for tally in results.tallies] == [850, 425, 425]
    assert all(entry.done == entry.total == PROMPTS + CHECKS for entry in results.annotators)


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_server_leaves_no_lock_and_a_living_one_keeps_it(folder):
    server = Server(folder)
    try:
        second = subprocess.run(
            [sys.executable, "-c", SERVER, str(folder), "0"], capture_output=True, text=True
        )
        assert second.returncode != 0
        assert f"is being served already at {server.address}" in second.stderr
        server.restart()
    finally:
        server.kill()

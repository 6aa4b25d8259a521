"""A judgement counts exactly once or not at all."""

import sqlite3
import threading

import pytest

from motive.errors import MotiveError, UsageError
from motive.study import (
    StorageError,
    StudyStore,
    UnknownAnnotatorError,
    UnknownTrialError,
    Vote,
    VoteConflictError,
)
from motive.study.design import COMPARISON
from motive.study.store import DATABASE, VIDEOS


def events(store):
    with sqlite3.connect(store.folder / DATABASE) as db:
        return db.execute("SELECT kind, choice FROM events ORDER BY at, rowid").fetchall()


def test_a_vote_moves_on_and_counts_once_however_often_it_is_sent(store):
    first = store.standing("anna").current
    assert first.number == 1
    assert store.standing("anna").last is None
    vote = Vote("key-00001", "left", "a bit fast", 2.5)
    assert store.vote("anna", first.id, vote) is True
    assert store.vote("anna", first.id, vote) is False
    assert store.vote("anna", first.id, Vote("key-00002", "left", "a bit fast")) is False
    after = store.standing("anna")
    assert (after.done, after.total, after.current.number, after.last) == (1, 5, 2, first.id)
    assert after.following.number == 3
    assert store.standing("ben").done == 0
    (judgement,) = store.judgements()
    assert (judgement.choice, judgement.comment, judgement.seconds) == ("left", "a bit fast", 2.5)
    assert events(store) == [("vote", "left")]


def test_the_first_answer_stays_until_it_is_undone(store):
    trial = store.standing("anna").current.id
    store.vote("anna", trial, Vote("key-00001", "left", "first"))
    for vote in (Vote("key-00002", "right", "first"), Vote("key-00003", "left", "other words")):
        with pytest.raises(VoteConflictError, match="first answer stays"):
            store.vote("anna", trial, vote)
    assert store.undo("anna", trial, "undo-0001") == Vote("key-00001", "left", "first", None)
    assert store.standing("anna").current.id == trial
    assert store.judgements() == []
    assert store.undo("anna", trial, "undo-0001") is None  # sent again
    assert store.undo("anna", trial, "undo-0002") is None  # nothing left
    assert store.vote("anna", trial, Vote("key-00004", "right")) is True
    assert store.undo("anna", trial, "undo-0001") is None  # late, and must not take this one back
    assert store.vote("anna", trial, Vote("key-00001", "left", "first")) is False  # late as well
    assert [judgement.choice for judgement in store.judgements()] == ["right"]
    assert events(store) == [("vote", "left"), ("undo", None), ("vote", "right")]
    assert store.corrections() == {"anna": 1}


def test_votes_outside_the_study_are_refused(store):
    trial = store.standing("anna").current.id
    vote = Vote("key-00001", "left")
    for annotator, name in (("ben", trial), ("anna", "0" * 16), ("nobody", trial)):
        with pytest.raises(UnknownTrialError):
            store.vote(annotator, name, vote)
        with pytest.raises(UnknownTrialError):
            store.undo(annotator, name, "undo-0001")
        with pytest.raises(UnknownTrialError):
            store.video(annotator, name, "left")
    with pytest.raises(UsageError, match="must be left, right or tie"):
        store.vote("anna", trial, Vote("key-00001", "both"))
    with pytest.raises(UsageError, match="side"):
        store.video("anna", trial, "../study.db")
    with pytest.raises(UnknownAnnotatorError, match="belongs to no annotator"):
        store.annotator("guess")
    assert store.judgements() == []


def test_a_key_stands_for_one_answer_only(store):
    standing = store.standing("anna")
    store.vote("anna", standing.current.id, Vote("key-00001", "left"))
    with pytest.raises(VoteConflictError, match="another answer"):
        store.vote("anna", standing.following.id, Vote("key-00001", "left"))
    with pytest.raises(VoteConflictError, match="another answer"):
        store.undo("anna", standing.current.id, "key-00001")
    assert len(store.judgements()) == 1


def test_sides_and_outcomes_agree(store):
    """Whoever always prefers the second file of every pair makes the second always win."""
    with sqlite3.connect(store.folder / DATABASE) as db:
        second = {row[0] for row in db.execute("SELECT second FROM pairs WHERE kind = ?",
                                               (COMPARISON,))}  # fmt: skip
    while trial := store.standing("anna").current:
        sides = {side: store.video("anna", trial.id, side).name for side in ("left", "right")}
        wanted = next((side for side, name in sides.items() if name in second), "tie")
        store.vote("anna", trial.id, Vote(f"key-{trial.id}", wanted))
    outcomes = [j.outcome for j in store.judgements() if j.kind == COMPARISON]
    assert outcomes == [-1, -1, -1]
    assert store.standing("anna").current is None


def test_many_threads_and_processes_count_every_vote_once(folder):
    stores = [StudyStore(folder) for _ in range(3)]  # as three processes would
    trials = []
    for name in ("anna", "ben"):
        while trial := stores[0].standing(name).current:
            stores[0].vote(name, trial.id, Vote(f"first-{trial.id}", "tie"))
            trials.append((name, trial.id))
    for name, trial in trials:
        stores[0].undo(name, trial, f"undo-{trial}")
    counted = []

    def send(store, choice):
        for name, trial in trials:
            try:
                if store.vote(name, trial, Vote(f"{choice}-{trial}", choice)):
                    counted.append((trial, choice))
            except VoteConflictError:
                continue

    threads = [
        threading.Thread(target=send, args=(store, choice))
        for store in stores
        for choice in ("left", "right", "left")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted) == len(trials) == 10
    assert {j.choice for j in stores[1].judgements()} <= {"left", "right"}
    assert len(stores[2].judgements()) == 10
    for store in stores:
        store.close()


def test_a_full_disk_is_told_and_loses_nothing(store):
    trial = store.standing("anna").current.id
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match=r"cannot be written .*full"):
        store.vote("anna", trial, Vote("key-00001", "left", "long " * 4000))
    assert store.judgements() == []
    store._db.execute("PRAGMA max_page_count = 1000000")
    assert store.vote("anna", trial, Vote("key-00001", "left", "long " * 4000)) is True


def test_annotators_can_join_later_and_names_are_taken_once(store):
    (clara,) = store.add_annotators(["clara"])
    assert (clara.done, clara.total) == (0, 5)
    assert store.annotator(clara.key) == "clara"
    with pytest.raises(UsageError, match="'anna': is in the study already"):
        store.add_annotators(["dora", "anna"])
    assert [annotator.name for annotator in store.annotators()] == ["anna", "ben", "clara"]


def test_what_is_no_study_is_refused_by_name(tmp_path, folder):
    with pytest.raises(UsageError, match="holds no study"):
        StudyStore(tmp_path)
    (tmp_path / DATABASE).write_text("not a database, but long enough to be looked at" * 40)
    with pytest.raises(MotiveError, match="cannot be read as a study"):
        StudyStore(tmp_path)
    with sqlite3.connect(folder / DATABASE) as db:
        db.execute("UPDATE study SET value = '99' WHERE field = 'format'")
    with pytest.raises(MotiveError, match="study format 99, this version reads 1"):
        StudyStore(folder)


def test_a_video_that_is_gone_or_outside_is_told(store):
    trial = store.standing("anna").current.id
    with sqlite3.connect(store.folder / DATABASE) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("UPDATE pairs SET first = '../study.db', second = '../study.db'")
    with pytest.raises(MotiveError, match="is missing"):
        store.video("anna", trial, "left")
    store.check_videos()
    next((store.folder / VIDEOS).iterdir()).unlink()
    with pytest.raises(MotiveError, match="1 of 7 videos are missing"):
        store.check_videos()

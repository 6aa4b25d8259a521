"""The study's SQLite file: who judges what, and every judgement.

Invariant: a judgement counts exactly once or not at all. A vote is one transaction, synced to disk
before it is acknowledged; it carries a key made by the browser, so sending it again (double click,
reload, retry after a crash) changes nothing; and a pair that has a vote takes another one only
after an undo. Every vote and undo stays in `events`, whatever followed.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from motive.errors import MotiveError, UsageError
from motive.study.design import COMPARISON, Pair, arrange
from motive.study.records import (
    CHOICES,
    LEFT,
    RIGHT,
    Annotator,
    Judgement,
    Standing,
    StorageError,
    Trial,
    UnknownAnnotatorError,
    UnknownTrialError,
    Vote,
    VoteConflictError,
)

DATABASE = "study.db"
VIDEOS = "videos"
FORMAT = "1"
_BUSY_SECONDS = 30.0

SCHEMA = """
CREATE TABLE study (field TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE conditions (
    name TEXT PRIMARY KEY, position INTEGER NOT NULL UNIQUE, source TEXT NOT NULL) STRICT;
CREATE TABLE prompts (
    id TEXT PRIMARY KEY, position INTEGER NOT NULL UNIQUE,
    text TEXT NOT NULL, motion TEXT NOT NULL) STRICT;
CREATE TABLE videos (
    file TEXT PRIMARY KEY, prompt TEXT NOT NULL REFERENCES prompts,
    condition TEXT NOT NULL REFERENCES conditions, spoilt INTEGER NOT NULL,
    source TEXT NOT NULL, seconds REAL NOT NULL, width INTEGER NOT NULL,
    height INTEGER NOT NULL) STRICT;
CREATE TABLE pairs (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, prompt TEXT NOT NULL REFERENCES prompts,
    first_condition TEXT NOT NULL REFERENCES conditions,
    second_condition TEXT NOT NULL REFERENCES conditions,
    first TEXT NOT NULL REFERENCES videos, second TEXT NOT NULL REFERENCES videos) STRICT;
CREATE TABLE annotators (name TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE trials (
    id TEXT PRIMARY KEY, annotator TEXT NOT NULL REFERENCES annotators,
    position INTEGER NOT NULL, pair INTEGER NOT NULL REFERENCES pairs,
    swapped INTEGER NOT NULL,
    UNIQUE (annotator, position), UNIQUE (annotator, pair)) STRICT;
CREATE TABLE events (
    key TEXT PRIMARY KEY, trial TEXT NOT NULL REFERENCES trials, kind TEXT NOT NULL,
    choice TEXT, comment TEXT, seconds REAL, at REAL NOT NULL) STRICT;
CREATE TABLE votes (
    trial TEXT PRIMARY KEY REFERENCES trials, key TEXT NOT NULL UNIQUE REFERENCES events,
    choice TEXT NOT NULL CHECK (choice IN ('left', 'right', 'tie')),
    comment TEXT NOT NULL, seconds REAL, at REAL NOT NULL) STRICT;
"""


class StudyStore:
    """An open study. Safe to use from several threads; several processes may open one study."""

    def __init__(self, folder: Path) -> None:
        """Open a study folder.

        Raises:
            UsageError: There is no study in the folder.
            MotiveError: Its file is damaged or of another version.
        """
        self.folder = folder
        self._lock = threading.Lock()
        path = folder / DATABASE
        if not path.is_file():
            raise UsageError(
                f"{folder}: holds no study ({DATABASE} is missing); make one with motive study new"
            )
        try:
            self._db = _connect(path)
            found = dict(self._db.execute("SELECT field, value FROM study").fetchall())
        except sqlite3.Error as error:
            raise MotiveError(f"{path}: cannot be read as a study ({error})") from None
        if found.get("format") != FORMAT:
            raise MotiveError(
                f"{path}: study format {found.get('format')}, this version reads {FORMAT}; use "
                "the MOTIVE version that made it"
            )
        self.facts: Mapping[str, str] = found

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> StudyStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of the block, on disk, or nothing."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise StorageError(
                    f"{self.folder / DATABASE}: cannot be written ({error}); nothing was changed, "
                    "make room or wait, then send it again"
                ) from error
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise StorageError(
                    f"{self.folder / DATABASE}: cannot be read ({error}); check the disk and try "
                    "again"
                ) from error

    def _read(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._reading() as db:
            return db.execute(query, values).fetchall()

    # Annotators

    def add_annotators(self, names: Sequence[str]) -> list[Annotator]:
        """New annotators with their order of all pairs.

        Raises:
            UsageError: A name is taken.
        """
        pairs = [
            Pair(*row)
            for row in self._read(
                "SELECT number, kind, prompt, first_condition, second_condition FROM pairs"
            )
        ]
        with self._writing() as db:
            for name in names:
                if db.execute("SELECT 1 FROM annotators WHERE name = ?", (name,)).fetchone():
                    raise UsageError(f"annotator {name!r}: is in the study already")
                db.execute(
                    "INSERT INTO annotators VALUES (?, ?)", (name, secrets.token_urlsafe(12))
                )
                order = arrange(pairs, name, int(self.facts["seed"]))
                db.executemany(
                    "INSERT INTO trials VALUES (?, ?, ?, ?, ?)",
                    [
                        (secrets.token_hex(8), name, position, placed.pair, placed.swapped)
                        for position, placed in enumerate(order, 1)
                    ],
                )
        return [annotator for annotator in self.annotators() if annotator.name in set(names)]

    def annotators(self) -> list[Annotator]:
        """All annotators by the order in which they were added."""
        rows = self._read(
            "SELECT a.name, a.key, count(v.trial), count(t.id) FROM annotators a"
            " LEFT JOIN trials t ON t.annotator = a.name LEFT JOIN votes v ON v.trial = t.id"
            " GROUP BY a.name ORDER BY a.rowid"
        )
        return [Annotator(*row) for row in rows]

    def annotator(self, key: str) -> str:
        """The name that a link's key belongs to.

        Raises:
            UnknownAnnotatorError: It belongs to nobody.
        """
        rows = self._read("SELECT name FROM annotators WHERE key = ?", (key,))
        if not rows:
            raise UnknownAnnotatorError(
                "this link belongs to no annotator of this study; open the link exactly as you "
                "received it"
            )
        return str(rows[0][0])

    def standing(self, annotator: str) -> Standing:
        """Where an annotator is."""
        with self._reading() as db:
            done, total = db.execute(
                "SELECT count(v.trial), count(t.id) FROM trials t"
                " LEFT JOIN votes v ON v.trial = t.id WHERE t.annotator = ?",
                (annotator,),
            ).fetchone()
            open_trials = db.execute(
                "SELECT t.id, t.position, p.text, p.motion FROM trials t"
                " JOIN pairs ON pairs.number = t.pair JOIN prompts p ON p.id = pairs.prompt"
                " LEFT JOIN votes v ON v.trial = t.id"
                " WHERE t.annotator = ? AND v.trial IS NULL ORDER BY t.position LIMIT 2",
                (annotator,),
            ).fetchall()
            last = db.execute(
                "SELECT t.id FROM trials t JOIN votes v ON v.trial = t.id"
                " WHERE t.annotator = ? ORDER BY v.rowid DESC LIMIT 1",
                (annotator,),
            ).fetchone()
        shown = [Trial(*row) for row in open_trials] + [None, None]
        return Standing(done, total, shown[0], shown[1], last[0] if last else None)

    # Judging

    def vote(self, annotator: str, trial: str, vote: Vote) -> bool:
        """Count a judgement; False if it was counted before.

        Raises:
            UnknownTrialError: The pair is none of this annotator's.
            VoteConflictError: The pair is judged differently, or the key was used for something
                else; what is stored stays.
            UsageError: The choice is none of `CHOICES`.
            StorageError: The file cannot be written.
        """
        if vote.choice not in CHOICES:
            raise UsageError(f"choice {vote.choice!r}: must be left, right or tie")
        now = time.time()
        with self._writing() as db:
            _own(db, annotator, trial)
            if _was_seen(db, vote.key, trial, "vote"):
                return False
            stored = db.execute(
                "SELECT choice, comment FROM votes WHERE trial = ?", (trial,)
            ).fetchone()
            if stored is not None:
                if tuple(stored) == (vote.choice, vote.comment):
                    return False
                raise VoteConflictError(
                    "this pair is judged already and the first answer stays; undo it to answer "
                    "again"
                )
            row = (vote.choice, vote.comment, vote.seconds, now)
            db.execute(
                "INSERT INTO events VALUES (?, ?, 'vote', ?, ?, ?, ?)", (vote.key, trial, *row)
            )
            db.execute("INSERT INTO votes VALUES (?, ?, ?, ?, ?, ?)", (trial, vote.key, *row))
        return True

    def undo(self, annotator: str, trial: str, key: str) -> Vote | None:
        """Take a judgement back; returns it, or None if there is none (any more).

        Raises:
            UnknownTrialError: The pair is none of this annotator's.
            VoteConflictError: The key was used for something else.
            StorageError: The file cannot be written.
        """
        with self._writing() as db:
            _own(db, annotator, trial)
            if _was_seen(db, key, trial, "undo"):
                return None
            stored = db.execute(
                "SELECT key, choice, comment, seconds FROM votes WHERE trial = ?", (trial,)
            ).fetchone()
            if stored is None:
                return None
            db.execute(
                "INSERT INTO events VALUES (?, ?, 'undo', NULL, NULL, NULL, ?)",
                (key, trial, time.time()),
            )
            db.execute("DELETE FROM votes WHERE trial = ?", (trial,))
        return Vote(*stored)

    def video(self, annotator: str, trial: str, side: str) -> Path:
        """File of the video on one side ("left" or "right") of an annotator's pair.

        Raises:
            UnknownTrialError: The pair is none of this annotator's.
            UsageError: There is no such side.
            MotiveError: The file is gone from the study's folder.
        """
        if side not in (LEFT, RIGHT):
            raise UsageError(f"side {side!r}: must be left or right")
        with self._reading() as db:
            row = _own(db, annotator, trial)
            column = "first" if (side == LEFT) != bool(row["swapped"]) else "second"
            (name,) = db.execute(
                f"SELECT {column} FROM pairs WHERE number = ?",  # noqa: S608 (one of two constants)
                (row["pair"],),
            ).fetchone()
        folder = (self.folder / VIDEOS).resolve()
        path = (folder / name).resolve()
        if path.parent != folder or not path.is_file():
            raise MotiveError(f"{self.folder / VIDEOS}: the study's video {name} is missing")
        return path

    def check_videos(self) -> None:
        """See that no video is lost, before annotators do.

        Raises:
            MotiveError: One or more are; the message says how many and which was first.
        """
        names = [row[0] for row in self._read("SELECT file FROM videos ORDER BY file")]
        lost = [name for name in names if not (self.folder / VIDEOS / name).is_file()]
        if lost:
            raise MotiveError(
                f"{self.folder / VIDEOS}: {len(lost)} of {len(names)} videos are missing (first: "
                f"{lost[0]}); copy the whole study folder again"
            )

    # Reporting

    def judgements(self) -> list[Judgement]:
        """All counted votes, by annotator and position."""
        rows = self._read(
            "SELECT t.annotator, t.position AS number, p.kind, p.prompt, prompts.motion,"
            " p.first_condition AS first, p.second_condition AS second, t.swapped, v.choice,"
            " v.comment, v.seconds, v.at FROM votes v"
            " JOIN trials t ON t.id = v.trial JOIN pairs p ON p.number = t.pair"
            " JOIN prompts ON prompts.id = p.prompt JOIN annotators a ON a.name = t.annotator"
            " ORDER BY a.rowid, t.position"
        )
        return [Judgement(**{**row, "swapped": bool(row["swapped"])}) for row in rows]

    def pairings(self) -> list[tuple[str, str]]:
        """(first, second) conditions of all comparisons, in the order of the plan."""
        rows = self._read(
            "SELECT first_condition, second_condition FROM pairs WHERE kind = ?"
            " GROUP BY 1, 2 ORDER BY min(number)",
            (COMPARISON,),
        )
        return [(row[0], row[1]) for row in rows]

    def corrections(self) -> dict[str, int]:
        """Annotator -> judgements taken back."""
        rows = self._read(
            "SELECT t.annotator, count(*) FROM events e JOIN trials t ON t.id = e.trial"
            " WHERE e.kind = 'undo' GROUP BY 1"
        )
        return {row[0]: row[1] for row in rows}


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")  # an acknowledged vote survives a power cut
    db.execute("PRAGMA foreign_keys = ON")
    return db


def _own(db: sqlite3.Connection, annotator: str, trial: str) -> sqlite3.Row:
    """The row of a trial that must be this annotator's."""
    row: sqlite3.Row | None = db.execute(
        "SELECT pair, swapped FROM trials WHERE id = ? AND annotator = ?", (trial, annotator)
    ).fetchone()
    if row is None:
        raise UnknownTrialError(
            "this pair is not among those of this annotator; reload the page to continue"
        )
    return row


def _was_seen(db: sqlite3.Connection, key: str, trial: str, kind: str) -> bool:
    """Whether this very event is stored; its key on another event is an error."""
    row = db.execute("SELECT trial, kind FROM events WHERE key = ?", (key,)).fetchone()
    if row is None:
        return False
    if tuple(row) != (trial, kind):
        raise VoteConflictError("this key belongs to another answer; reload the page to continue")
    return True


def create_database(folder: Path) -> sqlite3.Connection:
    """An empty study file in a folder, open for filling."""
    db = _connect(folder / DATABASE)
    db.executescript(SCHEMA)
    return db

"""Steps of an experiment: each is known by a digest of its own inputs, and done once.

Invariant: a step's record is written after its result is whole, so what has a record is finished,
and what has none is continued or begun again. A step depends on its inputs alone: another setting
makes another step, and leaves what does not depend on it as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from motive.errors import MotiveError, UsageError
from motive.files import whole_file
from motive.index.fingerprint import differing_fields

RECORD = "step.json"
_STATE, _LOG_FILE, _LOCK = "experiment.json", "log.jsonl", "running.lock"
_SHOWN = 3  # differing inputs that are named

#: Kinds of steps in their order, as the command line calls them.
KINDS = ("features", "select", "finetune", "generate", "evaluate")


@dataclass(frozen=True)
class Step:
    """One piece of work.

    Attributes:
        kind: One of `KINDS`.
        label: Which of its kind ("motive, seed 0"); empty if there is only one.
        inputs: What decides the result, JSON values; it names the folder.
        out: The experiment's folder.
        asked: What may grow in the same folder without making the rest invalid (prompts, videos to
            measure); it decides only whether the step is done.
    """

    kind: str
    label: str
    inputs: Mapping[str, Any]
    out: Path
    asked: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Kind and label."""
        return f"{self.kind} {self.label}".strip()

    @property
    def key(self) -> str:
        """16 hex digits of all that the step depends on."""
        return _digest({**self.inputs, **self.asked})

    @property
    def folder(self) -> Path:
        """Where the result is; other inputs have another folder."""
        slug = re.sub(r"[^A-Za-z0-9.+]+", "-", self.label).strip("-")
        digest = _digest(self.inputs)[:10] if self.inputs else ""
        return self.out / self.kind / ("-".join(filter(None, (slug, digest))) or "all")

    def record(self) -> dict[str, Any] | None:
        """What `finish` wrote, or None if the step is not done."""
        path = self.folder / RECORD
        try:
            found = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return None  # torn by something else than us: the step is done again, and continues
        return found if isinstance(found, dict) and found.get("key") == self.key else None

    def finish(self, seconds: float, **facts: Any) -> dict[str, Any]:
        """Write down that the step is done.

        Raises:
            MotiveError: The disk is full.
        """
        record = {
            "step": self.name,
            "key": self.key,
            "seconds": round(seconds, 3),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **facts,
            "inputs": {**self.inputs, **self.asked},
        }
        with whole_file(self.folder / RECORD) as partial:
            partial.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        return record


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8"), digest_size=8).hexdigest()


class Ledger:
    """Which steps an experiment's folder has seen, for telling what is done again and why.

    Args:
        out: The experiment's folder; made if missing.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._seen: dict[str, dict[str, Any]] = {}
        path = out / _STATE
        if path.exists():
            try:
                self._seen = dict(json.loads(path.read_text("utf-8"))["steps"])
            except (OSError, ValueError, KeyError, TypeError):
                raise MotiveError(
                    f"{path}: damaged; delete this one file, what is done stays done"
                ) from None

    def changed(self, steps: Iterable[Step]) -> list[str]:
        """One line per group of steps that were done with other inputs before, with what changed.

        Steps whose new result is there already are not mentioned.
        """
        groups: dict[tuple[str, str], int] = {}
        for step in steps:
            before = self._seen.get(step.name)
            if before is None or before["key"] == step.key or step.record() is not None:
                continue
            fields = differing_fields(before["inputs"], {**step.inputs, **step.asked})
            said = [f"{name} was {old:.60} and is {new:.60}" for name, old, new in fields[:_SHOWN]]
            said += [f"{len(fields) - _SHOWN} more"] if len(fields) > _SHOWN else []
            reason = "; ".join(said)
            groups[step.kind, reason] = groups.get((step.kind, reason), 0) + 1
        return [
            f"{kind}: {count} step{'s' if count > 1 else ''} again, because {reason}"
            for (kind, reason), count in groups.items()
        ]

    def take(self, step: Step, record: Mapping[str, Any], *, new: bool) -> None:
        """Remember a finished step; `new` if it was finished now.

        Raises:
            MotiveError: The disk is full.
        """
        known = {"key": step.key, "folder": str(step.folder.relative_to(self.out))}
        known |= {name: record[name] for name in ("seconds", "finished", "inputs")}
        if new:
            line = {"step": step.name, "key": step.key, "seconds": record["seconds"]}
            try:
                with (self.out / _LOG_FILE).open("a", encoding="utf-8") as log:
                    log.write(json.dumps({**line, "finished": record["finished"]}) + "\n")
            except OSError as error:
                raise MotiveError(f"{self.out / _LOG_FILE}: {error.strerror}") from error
        if self._seen.get(step.name) == known:
            return
        self._seen[step.name] = known
        with whole_file(self.out / _STATE) as partial:
            partial.write_text(json.dumps({"steps": self._seen}, indent=1) + "\n", "utf-8")

    def forgotten(self, steps: Sequence[Step]) -> list[Path]:
        """Folders of results that none of the steps needs: those of earlier settings."""
        needed = {step.folder for step in steps}
        return [
            folder
            for kind in KINDS
            for folder in sorted((self.out / kind).glob("*"))
            if folder.is_dir() and (folder / RECORD).exists() and folder not in needed
        ]

    def prune(self, steps: Sequence[Step]) -> int:
        """Delete the results of earlier settings; returns how many."""
        folders = self.forgotten(steps)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        return len(folders)


@contextmanager
def only_run(out: Path) -> Iterator[None]:
    """Hold the experiment's folder; the operating system frees it if the process dies.

    Raises:
        UsageError: Another process holds it.
        MotiveError: The folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / _LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"{out}: another process runs this experiment; wait for it, or give another --out"
        ) from None
    except OSError as error:
        raise MotiveError(f"{out}: cannot be written ({error.strerror or error})") from None
    try:
        yield
    finally:
        lock.release()

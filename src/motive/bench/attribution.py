"""The whole benchmark: problem, methods, retrieval, controls, projection, retraining, board.

Invariant: everything expensive is cached under what decides it (features, score matrices, retrained
models), so a killed run continues when it is started again, and a run with one more method computes
that method alone. Score files are read first: bad input is refused before any work is done.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from motive.backbones import TensorCache
from motive.bench.board import BankFacts, Board, Contrast
from motive.bench.context import Bench, Progress
from motive.bench.counterfactual import (
    FULL_BANK,
    QUICK_BANK,
    BankSettings,
    Counterfactual,
    measure_counterfactual,
    open_bank,
)
from motive.bench.markdown import write_board
from motive.bench.methods import METHODS, FromFile, Method
from motive.bench.methods.mean_of_scores import FEED_FORWARD, FEED_FORWARD_NO_MASK
from motive.bench.methods.motive import MOTIVE
from motive.bench.methods.no_caption import NO_CAPTION, NO_CAPTION_NO_MASK
from motive.bench.methods.no_mask import NO_MASK
from motive.bench.methods.weightings import WEIGHTINGS
from motive.bench.page import build_page
from motive.bench.problem import BenchClip, Problem, quick_problem
from motive.bench.projection import DIMS, ProjectionCeiling, ProjectionProbe, projection_ceiling
from motive.bench.rows import CONTROLS, Measured, board_row, contrast, measure_method
from motive.bench.scoring import ScoreBook
from motive.bench.views import View
from motive.errors import MotiveError, UsageError
from motive.files import whole_file
from motive.gradients import Featurizer
from motive.index import Fingerprint
from motive.runs.config import RunConfig, versions
from motive.runs.prepare import PreparedClip

_LOG = logging.getLogger(__name__)

TITLE = "Which score finds motion?"
_IDENTITY = "bench.json"
#: Method -> the same without its mask: the pairs that say what the mask buys.
_TWINS = {
    MOTIVE.key: NO_MASK.key,
    NO_CAPTION.key: NO_CAPTION_NO_MASK.key,
    FEED_FORWARD.key: FEED_FORWARD_NO_MASK.key,
}
_MAX_ROW_BYTES = 2 << 30  # the queries' full gradients while the projection is probed


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        candidates: At most so many candidates; None: all.
        queries: At most so many queries; None: all.
        probe_candidates: Candidates of the projection's check; None: all.
        probe_queries: Queries of that check; their full gradients are held in memory.
        dims: D' of that check.
        controls: Views on which every method that sees pixels is measured again.
    """

    candidates: int | None = None
    queries: int | None = None
    probe_candidates: int | None = None
    probe_queries: int = 20
    dims: tuple[int, ...] = DIMS
    controls: tuple[View, ...] = CONTROLS


FULL = Size()
QUICK = Size(
    60, 10, 30, 10, (128, 512), ("frozen",)
)  # shows that everything works, and little else


@dataclass
class Attribution:
    """One benchmark in one folder.

    Attributes:
        problem: Candidates and queries.
        out: Folder for caches, `board.json`, `board.md` and `index.html`.
        config: Model, clip shape, motion weights and projection block.
        methods: Rows of the board.
        quick: A small problem and the methods that are quick.
        bank: File of retrained models; None leaves the counterfactual columns out.
        workers: Processes.
        command: Goes on the board.
        on_progress: Called as (stage, done, total).
    """

    problem: Problem
    out: Path
    config: RunConfig
    methods: Sequence[Method] = METHODS
    quick: bool = False
    bank: Path | None = None
    workers: int = 1
    command: str = ""
    on_progress: Progress | None = None

    def run(self) -> Board:
        """Measure everything that is not there yet, and write the board and its page.

        Raises:
            UsageError: A score file or a method's scores do not fit the problem.
            FingerprintError: The folder or the bank belongs to another model or other clips.
            MotiveError: A clip cannot be read, the disk is full, ...
        """
        _check_methods(self.methods)
        size = QUICK if self.quick else FULL
        problem = _sized(self.problem, size.candidates, size.queries)
        options: dict[str, Any] = {"on_progress": self.on_progress, "workers": self.workers}
        with Bench(problem, cache=self.out / "cache", config=self.config, **options) as bench:
            identity = self._claim_folder(bench)
            book = ScoreBook(bench)
            for method in self.methods:
                if isinstance(method, FromFile):
                    book.scores(method)  # refused here if bad, before anything is computed
            settings = _asked(QUICK_BANK if self.quick else FULL_BANK, problem)
            # Opened first: a bank of another experiment is refused before any work.
            bank = None if self.bank is None else open_bank(self.bank, bench, settings)
            measured = self._measure(book, size.controls)
            ceiling = self._projection(bench, size)
            bench.close()  # the training needs the memory of its processes
            retrained = None
            if bank is not None:
                retrained = measure_counterfactual(
                    problem,
                    bank,
                    {found.method.key: found.scores for found in measured},
                    settings,
                    workers=self.workers,
                    on_progress=self.on_progress,
                )
        rows = {} if retrained is None else retrained.rows
        board = Board(
            title=TITLE,
            chance=measured[0].retrieval.motion.chance,
            rows=tuple(board_row(m, problem, rows.get(m.method.key)) for m in measured),
            motions=tuple(dict.fromkeys(query.motion for query in problem.queries)),
            contrasts=_contrasts(measured),
            projection=ceiling,
            bank=None if retrained is None else _bank_facts(retrained, self.methods),
            decoy_share=_decoy_share(problem),
            facts=self._facts(problem, retrained),
            settings=self._settings(problem, identity),
            versions=versions(),
            command=self.command,
            notes=self._notes(problem, settings if retrained else None),
        )
        write_board(board, self.out)
        build_page(board, self.out)
        return board

    def _tell(self, stage: str, done: int, total: int) -> None:
        if self.on_progress is not None:
            self.on_progress(stage, done, total)

    def _measure(self, book: ScoreBook, controls: tuple[View, ...]) -> list[Measured]:
        found = []
        for done, method in enumerate(self.methods, start=1):
            found.append(measure_method(method, book, book.bench.problem, controls))
            self._tell("methods", done, len(self.methods))
        return found

    def _claim_folder(self, bench: Bench) -> Fingerprint:
        """Say in the folder what it is about; refuse one that is about something else."""
        work = bench.work
        here = Fingerprint(
            {
                "model": bench.backbone.fingerprint(),
                "clips": bench.problem.digest(),
                "candidates": len(bench.problem.candidates),
                "queries": len(bench.problem.queries),
                "standard": vars(work.standard),
                "motion": work.setting.config.motion_config().settings,
                "block": work.setting.config.block,
            }
        )
        path = self.out / _IDENTITY
        if path.exists():
            try:
                there = Fingerprint.from_json(path.read_text("utf-8"))
            except (OSError, ValueError) as error:
                raise MotiveError(f"{path}: cannot be read ({error}); use another --out") from None
            here.require_same(there, str(self.out))
        else:
            with whole_file(path) as partial_path:
                partial_path.write_text(here.to_json(), "utf-8")
        return here

    def _projection(self, bench: Bench, size: Size) -> ProjectionCeiling | None:
        """Agreement of projections, on a part of the problem if it is large."""
        config, objective = bench.work.setting.config, MOTIVE.spec.objective()
        parameters = Featurizer(
            bench.backbone, config.projection(), objective, parameters=MOTIVE.spec.parameters
        ).collector.size
        queries = min(size.probe_queries, _MAX_ROW_BYTES // (4 * parameters))
        if queries < 2:
            _LOG.warning(
                "projection: %d parameters are too many to hold full gradients; not checked",
                parameters,
            )
            return None
        part = _sized(bench.problem, size.probe_candidates, queries)
        probe = ProjectionProbe(
            bench.backbone,
            objective,
            bench.work.standard.frames,
            dims=size.dims,
            parameters=MOTIVE.spec.parameters,
            cache=TensorCache(bench.cache),
        )
        scores = probe.measure(
            _sources(bench, part.candidates),
            _sources(bench, part.queries),
            partial(self._tell, "projection"),
        )
        return projection_ceiling(scores, part)

    def _facts(
        self, problem: Problem, retrained: Counterfactual | None
    ) -> tuple[tuple[str, str], ...]:
        decoys = sum(clip.decoy is not None for clip in problem.candidates)
        candidates = str(len(problem.candidates)) + (f" ({decoys} decoys)" if decoys else "")
        facts = [
            ("Model", Path(self.config.model).name),
            ("Candidates", candidates),
            ("Queries", str(len(problem.queries))),
            ("Motions", str(len({query.motion for query in problem.queries}))),
            ("Methods", str(len(self.methods))),
        ]
        if retrained is not None:
            facts.append(("Retrained models", str(retrained.models)))
        return tuple(facts)

    def _settings(self, problem: Problem, identity: Fingerprint) -> dict[str, Any]:
        return {
            "quick": self.quick,
            "queries": len(problem.queries),
            "identity": dict(identity.values),
            "seeds": {"noise": 0, "projection": [0, 1], "bootstrap": 0},
            "methods": [method.key for method in self.methods],
        }

    def _notes(self, problem: Problem, bank: BankSettings | None) -> tuple[str, ...]:
        notes = []
        if bank is not None and bank.selection_seeds and bank.motions:
            notes.append(
                f"The best {100 * bank.share:g} % are chosen by the queries that show "
                f"{', '.join(bank.motions)}, and measured on these."
            )
        if self.quick:
            notes.append(
                f"A quick board: {len(problem.candidates)} candidates and {len(problem.queries)} "
                "queries are too few to tell methods apart. Run without --quick for numbers to "
                "quote."
            )
        return tuple(notes)


def _check_methods(methods: Sequence[Method]) -> None:
    keys = [method.key for method in methods]
    if not keys:
        raise UsageError("no method to measure; name at least one")
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise UsageError(f"two methods are called {twice!r}; give each its own name")


def _sized(problem: Problem, candidates: int | None, queries: int | None) -> Problem:
    """The problem, shortened where it has more than so many clips."""
    most = len(problem.candidates), len(problem.queries)
    wanted = tuple(min(m, w or m) for m, w in zip(most, (candidates, queries), strict=True))
    return problem if wanted == most else quick_problem(problem, *wanted)


def _asked(settings: BankSettings, problem: Problem) -> BankSettings:
    """Settings whose selections are made for motions that this problem has."""
    known = {query.motion for query in problem.queries}
    motions = tuple(motion for motion in settings.motions if motion in known)
    return dataclasses.replace(settings, motions=motions)


def _sources(bench: Bench, clips: Sequence[BenchClip]) -> dict[str, partial[PreparedClip]]:
    """Clip id -> what prepares it when its gradient is needed."""
    return {clip.id: partial(bench.work.prepare, clip.clip) for clip in clips}


def _contrasts(measured: Sequence[Measured]) -> tuple[Contrast, ...]:
    """What the mask buys, whether motion is found, what other weights change: paired by query."""
    rows = {found.method.key: found for found in measured}
    found = []
    for key, unmasked in _TWINS.items():
        if key not in rows:
            continue
        name, first = rows[key].method.name, rows[key].retrieval.motion
        end = "" if key == MOTIVE.key else f" of {key}"
        if unmasked in rows:
            title = f"{name} minus {rows[unmasked].method.name}"
            found.append(contrast(f"mask{end}", title, first, rows[unmasked].retrieval.motion))
        if "frozen" in rows[key].controls:
            title = f"{name} minus its frozen control"
            found.append(contrast(f"frozen{end}", title, first, rows[key].controls["frozen"]))
    for other in WEIGHTINGS:
        default = other.score.key
        if other.key in rows and default in rows:
            first, second = rows[other.key].retrieval.motion, rows[default].retrieval.motion
            title = f"{other.name} minus {other.score.name}"
            found.append(contrast(f"weights of {other.key}", title, first, second))
    return tuple(found)


def _bank_facts(found: Counterfactual, methods: Sequence[Method]) -> BankFacts:
    names = {method.key: method.name for method in methods}

    def spoken(name: str) -> str:
        """A name such as "without best KEY" with the method's name on the board."""
        start, best, key = name.rpartition("best ")
        return f"{start}{best}of {names[key]}" if best and key in names else name

    return BankFacts(
        models=found.models,
        subsets=found.subsets,
        seeds=found.seeds,
        fraction=found.fraction,
        updates=found.updates,
        ceilings=found.ceilings,
        agreement=found.agreement,
        labels=found.labels,
        references=found.references,
        shown={spoken(name): estimate for name, estimate in found.shown.items()},
        unit=found.unit,
    )


def _decoy_share(problem: Problem) -> float:
    return sum(c.decoy is not None for c in problem.candidates) / len(problem.candidates)

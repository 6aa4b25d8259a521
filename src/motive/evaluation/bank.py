"""A bank of retrained models: trained once, kept as numbers, shared by every method.

One parquet file: a row per retrained model, that is per (set of clips, seed), with what was
measured on it. Its metadata say under which conditions.

Invariant: a row that is in the file stays valid and is never computed again. The file is written
whole after each model; a bank made under other conditions is refused, not mixed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from motive.backbones import Backbone
from motive.errors import FingerprintError, MotiveError, UsageError
from motive.evaluation.datamodel import random_subsets
from motive.evaluation.examining import Examination, Outcome, examine, examine_in_process
from motive.files import whole_file
from motive.index.fingerprint import differing_fields
from motive.processes import as_completed

Progress = Callable[[str, int, int], None]  # stage, done, total
_KEY = b"motive.bank"
_SCHEMA = pa.schema(
    [
        ("seed", pa.int64()),
        ("clips", pa.list_(pa.bool_())),  # in the order of the candidates in the metadata
        ("losses", pa.list_(pa.float32())),  # query by query, in each the noise levels
        ("motions", pa.list_(pa.float32())),  # log-probability per prompt; empty: not measured
        ("seconds", pa.float32()),
    ]
)


@dataclass(frozen=True)
class Plan:
    """Which random sets are retrained for the linear datamodeling score.

    A plan can be enlarged later: set number i and its models stay the same.

    Attributes:
        subsets: How many random sets.
        fraction: Of the candidates in each.
        seeds: Training seeds, each used for every set; two or more show the noise of training.
        subset_seed: Of the draw of sets.
    """

    subsets: int = 64
    fraction: float = 0.5
    seeds: tuple[int, ...] = (0, 1)
    subset_seed: int = 0

    def __post_init__(self) -> None:
        if self.subsets < 1 or not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UsageError(
                f"{self.subsets} sets, seeds {list(self.seeds)}: at least one set and one seed, "
                "every seed once"
            )


@dataclass(frozen=True)
class SubsetTargets:
    """The models of the plan, as far as they are there: sets of which every seed was trained.

    Attributes:
        masks: Which candidates each set holds, bool "m n".
        losses: float64 "r m q s": seeds, sets, queries, noise levels.
        motions: Log-probabilities of the prompts' motions, float64 "r m p"; p is 0 if nothing was
            generated.
        prompt_motions: The motion that each of the p prompts asks for.
    """

    masks: np.ndarray
    losses: np.ndarray
    motions: np.ndarray
    prompt_motions: tuple[str, ...] = ()


class Bank:
    """The retrained models of one base model, one problem and one examination.

    Args:
        path: Parquet file; continued if it is there, made by the first trained model if not.
        backbone: The base model; its weights are as before after every call.
        examination: How models are retrained and what they are asked.
        conditions: What else decides the numbers (how latents and weights were made), JSON-able.
        device: Where worker processes put the model.

    Raises:
        FingerprintError: The file was made under other conditions; says which.
        MotiveError: The file is no whole bank.
    """

    def __init__(
        self,
        path: Path,
        backbone: Backbone,
        examination: Examination,
        *,
        conditions: dict[str, Any] | None = None,
        device: str = "auto",
    ) -> None:
        self.path, self.backbone, self.examination = Path(path), backbone, examination
        self.device = device
        self.key = bank_key(backbone, examination, conditions or {})
        self._rows: dict[tuple[bytes, int], Outcome] = self._read()

    def __len__(self) -> int:
        """How many models are in the bank."""
        return len(self._rows)

    def planned(self, plan: Plan) -> tuple[np.ndarray, list[tuple[np.ndarray, int]]]:
        """The plan's sets, bool "m n", and what is still to be trained: (set, seed)."""
        count = len(self.examination.candidates.ids)
        masks = random_subsets(count, plan.subsets, plan.fraction, plan.subset_seed)
        todo = [(mask, seed) for mask in masks for seed in plan.seeds]
        return masks, [task for task in todo if _name(*task) not in self._rows]

    def fill(
        self, plan: Plan, *, workers: int = 1, on_progress: Progress | None = None
    ) -> SubsetTargets:
        """Train what is missing of the plan; see `train_on` for arguments and errors."""
        _, missing = self.planned(plan)
        self._train(missing, workers, on_progress)
        return self.targets(plan)

    def targets(self, plan: Plan) -> SubsetTargets:
        """What was measured on the plan's models that are there."""
        masks, missing = self.planned(plan)
        unfinished = {mask.tobytes() for mask, _ in missing}
        done = np.array([mask.tobytes() not in unfinished for mask in masks], dtype=bool)
        rows = [[self._rows[_name(mask, seed)] for mask in masks[done]] for seed in plan.seeds]
        shape = (len(plan.seeds), int(done.sum()))
        losses = np.array([[row.losses for row in of_seed] for of_seed in rows])
        motions = np.array([[row.motions for row in of_seed] for of_seed in rows])
        examination = self.examination
        return SubsetTargets(
            masks[done],
            losses.reshape(*shape, len(examination.queries.ids), len(examination.sigmas)),
            motions.reshape(*shape, len(examination.prompts)),
            tuple(motion for _, motion in examination.prompts),
        )

    def train_on(
        self,
        tasks: Sequence[tuple[Collection[str], int]],
        *,
        workers: int = 1,
        on_progress: Progress | None = None,
    ) -> list[Outcome]:
        """Models trained on given clips, from the bank where they are there.

        Args:
            tasks: (clip ids, training seed). Tasks with the same clips and seed share one model; no
                clips at all stand for the base model itself, whatever the seed.
            workers: Processes; with 1 the bank's own backbone trains here. The numbers do not
                depend on it.
            on_progress: Called as (stage, done, total) for models that are trained now.

        Returns:
            One outcome per task.

        Raises:
            UsageError: A clip is no candidate.
            ModelError: A training diverged.
            MotiveError: The file cannot be written, or a worker died; what is done is kept.
        """
        wanted = [(self._mask(chosen), seed if chosen else 0) for chosen, seed in tasks]
        missing = {_name(*task): task for task in wanted if _name(*task) not in self._rows}
        self._train(list(missing.values()), workers, on_progress)
        return [self._rows[_name(*task)] for task in wanted]

    def _train(
        self, tasks: list[tuple[np.ndarray, int]], workers: int, on_progress: Progress | None
    ) -> None:
        if workers < 1:
            raise UsageError(f"workers {workers}: must be at least 1")
        calls = [(self._chosen(mask), seed) for mask, seed in tasks]
        results: Iterable[tuple[int, Outcome]]
        if workers == 1 or len(calls) < 2:
            results = (
                (number, examine(self.examination, self.backbone, *call))
                for number, call in enumerate(calls)
            )
        else:
            fixed = (self.examination, self.backbone.name, self.device)
            whole = [(*fixed, *call) for call in calls]
            results = as_completed(min(workers, len(calls)), examine_in_process, whole)
        for done, (number, outcome) in enumerate(results, start=1):
            self._rows[_name(*tasks[number])] = outcome
            self._write()
            if on_progress is not None:
                on_progress("retraining", done, len(tasks))

    def _mask(self, chosen: Collection[str]) -> np.ndarray:
        position = self.examination.candidates.position
        strange = next((clip for clip in chosen if clip not in position), None)
        if strange is not None:
            raise UsageError(
                f"clip {strange!r} is not among the {len(position)} candidates of {self.path.name}"
            )
        mask = np.zeros(len(position), dtype=bool)
        mask[[position[clip] for clip in chosen]] = True
        return mask

    def _chosen(self, mask: np.ndarray) -> list[str]:
        ids = self.examination.candidates.ids
        return [ids[row] for row in np.flatnonzero(mask)]

    def _read(self) -> dict[tuple[bytes, int], Outcome]:
        if not self.path.exists():
            return {}
        try:
            table = pq.read_table(self.path)
            key = json.loads((table.schema.metadata or {})[_KEY])
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise MotiveError(
                f"{self.path}: no whole bank of retrained models ({first:.120}); restore the file, "
                "or move it away to train anew"
            ) from None
        _refuse_other(self.path, self.key, key)
        shape = len(self.examination.queries.ids), len(self.examination.sigmas)
        return {
            _name(np.array(row["clips"], dtype=bool), row["seed"]): Outcome(
                np.array(row["losses"], dtype=np.float64).reshape(shape),
                np.array(row["motions"], dtype=np.float64),
                row["seconds"],
            )
            for row in table.to_pylist()
        }

    def _write(self) -> None:
        # Another process may have added models to the file since it was read.
        self._rows = {**self._read(), **self._rows}
        rows = [
            {
                "seed": seed,
                "clips": np.frombuffer(mask, dtype=bool),
                "losses": outcome.losses.ravel(),
                "motions": outcome.motions,
                "seconds": outcome.seconds,
            }
            for (mask, seed), outcome in self._rows.items()
        ]
        schema = _SCHEMA.with_metadata({_KEY: json.dumps(self.key).encode()})
        with whole_file(self.path) as partial:
            pq.write_table(pa.Table.from_pylist(rows, schema), partial, compression="zstd")


def bank_key(
    backbone: Backbone, examination: Examination, conditions: dict[str, Any]
) -> dict[str, Any]:
    """Everything that decides a bank's numbers, as nested JSON values."""
    prompts = examination.prompts
    generation = {
        "prompts": _listing([f"{motion}: {caption}" for caption, motion in prompts]),
        "classifier": _classifier_digest(examination),
        "sampling_steps": examination.sampling_steps,
        "guidance": examination.guidance,
        "sampling_seed": examination.sampling_seed,
    }
    return {
        "base": backbone.fingerprint(),
        "candidates": _listing(examination.candidates.ids),
        "queries": _listing(examination.queries.ids),
        "recipe": dataclasses.asdict(examination.recipe),
        "losses": {"sigmas": list(examination.sigmas), "noise_seed": examination.noise_seed},
        "generation": generation if prompts else None,
        "standard": vars(examination.standard),
        **conditions,
    }


def _refuse_other(path: Path, here: dict[str, Any], there: dict[str, Any]) -> None:
    fields = differing_fields(there, here)
    if fields:
        shown = "; ".join(f"{name} was {old} and is {new}" for name, old, new in fields[:4])
        more = f"; and {len(fields) - 4} more" if len(fields) > 4 else ""
        raise FingerprintError(
            f"{path}: retrained models of another experiment: {shown}{more}; name another file, or "
            "go back to the old settings"
        )


def _name(mask: np.ndarray, seed: int) -> tuple[bytes, int]:
    return mask.astype(bool).tobytes(), seed


def _listing(names: Sequence[str]) -> str:
    digest = hashlib.blake2b(json.dumps(list(names)).encode(), digest_size=8)
    return f"{len(names)} with digest {digest.hexdigest()}"


def _classifier_digest(examination: Examination) -> str | None:
    if examination.classifier is None:
        return None
    digest = hashlib.blake2b(digest_size=8)
    for name, value in examination.classifier.state_dict().items():
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()

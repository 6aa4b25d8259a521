"""The second half: fine-tune a model for one condition and seed, and generate with it.

Invariant: every condition has the same updates, rate, batch and sampling, and the video of a prompt
and seed starts from the same noise in all of them. A call works alone and writes its own records,
so calls run in any number of processes and any order, and the numbers do not depend on it.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from motive.clips import Clip, ClipStandard
from motive.errors import UsageError
from motive.experiment.steps import Step
from motive.finetuning import FinetuneConfig, finetune
from motive.finetuning.finetune import ADAPTERS, PIPELINE
from motive.finetuning.record import RECORD, read_record
from motive.generation import GenerateConfig, PromptList, generate
from motive.processes import one_thread
from motive.runs import Progress

_POINTS = 24  # of a loss curve, for the page


@dataclass(frozen=True)
class Production:
    """One condition and seed; small enough to send to another process.

    Attributes:
        condition: Its name.
        motion: For which it was trained; empty for all.
        seed: Of the training and of the videos.
        train: The fine-tuning; None for the base model.
        make: The generation.
        finetune: Options of the fine-tuning.
        clips: To train on.
        standard: Clip shape of all conditions.
        cache: Folder of latents and embeddings.
        generate: Options of the generation; its model is the base model.
        prompts: To generate from.
        keep_model: Whether the fine-tuned model stays once its videos are there.
    """

    condition: str
    motion: str
    seed: int
    train: Step | None
    make: Step
    finetune: FinetuneConfig
    clips: tuple[Clip, ...]
    standard: ClipStandard
    cache: Path
    generate: GenerateConfig
    prompts: PromptList
    keep_model: bool

    def todo(self) -> list[str]:
        """Kinds of steps that are not done; a model is not needed once its videos are there."""
        if self.make.record() is not None:
            missing = self.train is not None and self.train.record() is None
            return ["finetune"] if missing else []
        if self.train is None or self._trained():
            return ["generate"]
        return ["finetune", "generate"]

    @property
    def model(self) -> Path:
        """Folder of the fine-tuned pipeline, or of its adapters."""
        if self.train is None:
            raise UsageError(f"{self.condition}: is not fine-tuned")
        return self.train.folder / (PIPELINE if self.finetune.lora is None else ADAPTERS)

    def _trained(self) -> bool:
        return self.train is not None and self.train.record() is not None and self.model.is_dir()


@dataclass(frozen=True)
class Produced:
    """Records of the steps that a call finished; None for one that was done, or not asked for."""

    trained: dict[str, Any] | None
    made: dict[str, Any] | None


def produce(
    work: Production, kinds: Collection[str], on_progress: Progress | None = None
) -> Produced:
    """Do what is missing of one condition and seed.

    Args:
        work: What.
        kinds: "finetune", "generate" or both: what may be done now.
        on_progress: Called as (stage, done, total).

    Raises:
        MotiveError: See `finetune` and `generate`.
    """
    todo = [kind for kind in work.todo() if kind in kinds]
    trained = made = None
    with one_thread():  # in this process too, so that the numbers do not depend on the workers
        if "finetune" in todo:
            trained = _train(work, on_progress)
        if "generate" in todo:
            made = _generate(work, on_progress)
    if work.train is not None and not work.keep_model and work.make.record() is not None:
        shutil.rmtree(work.model, ignore_errors=True)
    return Produced(trained, made)


def produce_in_worker(work: Production, kinds: tuple[str, ...]) -> Produced:
    """`produce` in a worker process; with several GPUs each worker keeps to one of them."""
    device = worker_device(work.finetune.device)
    here = dataclasses.replace(
        work,
        finetune=dataclasses.replace(work.finetune, device=device),
        generate=dataclasses.replace(work.generate, device=device),
    )
    return produce(here, kinds)


def worker_device(device: str) -> str:
    """Device of this worker process: the n-th worker takes the n-th GPU where "auto" was asked."""
    if device not in ("auto", "cuda") or not torch.cuda.is_available():
        return device
    number = multiprocessing.current_process().name.rpartition("-")[2]
    place = int(number) - 1 if number.isdecimal() else 0
    return f"cuda:{place % torch.cuda.device_count()}"


def _train(work: Production, on_progress: Progress | None) -> dict[str, Any]:
    assert work.train is not None, "the base model is not trained"
    began, folder = time.perf_counter(), work.train.folder
    record = read_record(folder) if (folder / RECORD).exists() else None
    if record is not None and record["done"] and not work.model.is_dir():
        shutil.rmtree(folder)  # the model was not kept, and is needed again
    tuned = finetune(
        work.finetune,
        work.clips,
        folder,
        cache=work.cache,
        standard=work.standard,
        on_progress=_named(on_progress, work),
    )
    losses = tuned.record["curves"]["losses"]
    return work.train.finish(
        time.perf_counter() - began,
        clips=len(tuned.record["clips"]),
        updates=tuned.steps,
        losses=curve(losses),
    )


def _generate(work: Production, on_progress: Progress | None) -> dict[str, Any]:
    began, config = time.perf_counter(), work.generate
    if work.train is not None and work.finetune.lora is None:
        config = dataclasses.replace(config, model=str(work.model))
    elif work.train is not None:
        config = dataclasses.replace(config, lora=str(work.model))
    made = generate(config, work.prompts, work.make.folder, on_progress=_named(on_progress, work))
    return work.make.finish(time.perf_counter() - began, videos=len(made.videos))


def curve(losses: list[float]) -> list[tuple[float, float]]:
    """(update, mean loss) of at most 24 equal stretches of a training."""
    parts = np.array_split(np.arange(len(losses)), min(_POINTS, len(losses)))
    values = np.asarray(losses)
    return [(float(part.mean()) + 1.0, float(values[part].mean())) for part in parts]


def _named(on_progress: Progress | None, work: Production) -> Progress | None:
    if on_progress is None:
        return None
    return lambda stage, done, total: on_progress(f"{work.make.label}: {stage}", done, total)

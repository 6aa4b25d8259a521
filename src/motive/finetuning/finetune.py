"""`motive finetune`: from a model and clips to a fine-tuned model, resumable at any moment.

Invariant: the same call ends with the same weights, whether it was interrupted or not, and trains
nothing that is already trained.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motive.backbones import Backbone, ClipEncoder, TensorCache, load_backbone
from motive.backbones.loading import chosen_device
from motive.backbones.lora import merge_lora
from motive.clips import Clip, ClipStandard, read_dataset
from motive.errors import UsageError
from motive.finetuning.checkpoints import read_checkpoint, require_same_settings
from motive.finetuning.config import FinetuneConfig
from motive.finetuning.curves import PAGE
from motive.finetuning.group import Group
from motive.finetuning.loop import CHECKPOINTS, Loop, Watching
from motive.finetuning.material import (
    Material,
    Progress,
    Sorted,
    encode_clips,
    require_usable,
    sort_clips,
)
from motive.finetuning.record import RECORD, Curves, ids_digest, model_card, read_record
from motive.finetuning.saving import save_adapters, save_pipeline
from motive.finetuning.trainable import choose_parameters
from motive.finetuning.trainer import Trainer
from motive.generation import Prompt, PromptList, read_prompts

_LOG = logging.getLogger(__name__)

PIPELINE, ADAPTERS, CACHE = "pipeline", "lora", "cache"  # below the output folder
Data = str | os.PathLike[str] | Iterable[Clip]
Prompts = str | os.PathLike[str] | Iterable[str | Prompt] | PromptList


@dataclass(frozen=True)
class Finetuned:
    """What a fine-tuning did.

    Attributes:
        out: The output folder.
        pipeline: Folder of the fine-tuned pipeline; None if only adapters were saved.
        lora: Folder of the adapters; None without LoRA.
        steps: Updates in all.
        resumed_at: Updates that were there already; equal to `steps` if nothing was left to do.
        record: What `finetune.json` holds: settings, clips, clips left out, curves.
        page: HTML page with the curves.
        reports: Whether this process is the one of its group that wrote the files.
    """

    out: Path
    pipeline: Path | None
    lora: Path | None
    steps: int
    resumed_at: int
    record: dict[str, Any]
    page: Path
    reports: bool = True


def finetune(
    config: FinetuneConfig,
    data: Data,
    out: str | os.PathLike[str],
    *,
    held_out: Data | None = None,
    samples: Prompts | None = None,
    cache: Path | None = None,
    standard: ClipStandard | None = None,
    on_progress: Progress | None = None,
) -> Finetuned:
    """Fine-tune a video model on clips; called again, it continues or finds its work done.

    Args:
        config: How.
        data: Folder, list file, single video, or clips (see `read_dataset`).
        out: Folder for the result, checkpoints and record.
        held_out: Clips never trained on, whose loss at fixed (σ, ε) is measured on the way.
        samples: Prompts from which videos are made on the way.
        cache: Folder with latents and embeddings, for example a run's; default below `out`.
        standard: Clip shape where the config asks for none; default the model's own.
        on_progress: Called as (stage, done, total).

    Raises:
        DatasetError: No clip is usable, or some are not and `skip_unusable` is off.
        FingerprintError: `out` holds a training with other settings; says which.
        ModelError: The model cannot be loaded or trained, or the loss is not finite.
        UsageError: An option is out of range, or `out` holds something else.
        MotiveError: The disk is full, or memory is.

    Example:
        config = FinetuneConfig(model="wan-nano-base", steps=96, batch=8, learning_rate=1e-4)
        tuned = finetune(config, "selection.jsonl", "tuned", held_out="queries/")
        tuned.pipeline  # an ordinary diffusers folder
    """
    job = _open(config, Path(out), cache, standard, on_progress)
    chosen = sort_clips(_clips(data), job.encoder, job.progress, "clips")
    given = ids_digest([*chosen.clips, *(source for source, _ in chosen.left_out)])
    job.settings["data"] = given
    finished = _finished(job)
    if finished is not None:
        return finished
    chosen = _usable(job, chosen, data, "clips")
    job.settings["clips"] = ids_digest(chosen.clips)
    watching = _watching(job, chosen, held_out, samples)
    job.group.wait()  # until every process has filled the cache
    job.backbone.release_encoders()
    trainer = Trainer(
        job.backbone,
        choose_parameters(job.backbone, config.lora, config.seed),
        Material(chosen.clips, job.encoder),
        config,
        job.precision,
        job.group,
    )
    curves = _resumed(job, trainer)
    resumed_at = trainer.step
    loop = Loop(trainer, watching, curves, chosen, job.settings, job.out, job.progress)
    loop.run()
    if job.group.first:
        _save(job, trainer, loop)
    job.group.wait()
    return _result(job, config.steps, resumed_at)


@dataclass(frozen=True)
class _Job:
    """What does not change while a model is trained; settings are complete before it begins."""

    config: FinetuneConfig
    out: Path
    group: Group
    progress: Progress
    precision: str
    backbone: Backbone
    standard: ClipStandard
    encoder: ClipEncoder
    settings: dict[str, Any]


def _open(
    config: FinetuneConfig,
    out: Path,
    cache: Path | None,
    standard: ClipStandard | None,
    on_progress: Progress | None,
) -> _Job:
    _require_ours(out)
    group = Group(config.device)
    precision = config.precision_on(str(chosen_device(group.device)))
    # Trained weights are float32; frozen ones beside adapters may be half of that.
    dtype = "float32" if config.lora is None else precision
    backbone = load_backbone(config.model, device=group.device, dtype=dtype)
    _check_trainable(backbone)
    shape = config.standard(standard or backbone.standard)
    backbone.check_standard(shape)
    return _Job(
        config,
        out,
        group,
        on_progress if on_progress is not None and group.first else _silent,
        precision,
        backbone,
        shape,
        ClipEncoder(backbone, shape, TensorCache(cache or out / CACHE)),
        {
            **config.settings(),
            "weights": backbone.fingerprint(),
            "standard": vars(shape),
            "precision": precision,
            "processes": group.count,
        },
    )


def _usable(job: _Job, found: Sorted, given: Data, stage: str) -> Sorted:
    usable = encode_clips(found, job.encoder, job.group, job.progress, stage)
    name = str(given) if isinstance(given, str | os.PathLike) else stage
    require_usable(usable, name, skip_unusable=job.config.skip_unusable)
    return usable


def _watching(
    job: _Job, chosen: Sorted, held_out: Data | None, samples: Prompts | None
) -> Watching:
    watching = Watching()
    if held_out is not None:
        found = sort_clips(_clips(held_out), job.encoder, job.progress, "held-out clips")
        found = _usable(job, found, held_out, "held-out clips")
        shared = len(found.clips.keys() & chosen.clips.keys())
        if shared:
            _LOG.warning("%d held-out clips are trained on too; their loss says little", shared)
        watching.held_out = Material(found.clips, job.encoder)
    if job.config.caption_dropout > 0:
        job.encoder.text("")
    if samples is not None:
        listed = samples if isinstance(samples, PromptList) else read_prompts(samples)
        watching.sample_from(listed, job.backbone, job.standard, job.config)
    return watching


def _resumed(job: _Job, trainer: Trainer) -> Curves:
    """Take up the last checkpoint, if there is one; returns its curves, or new ones."""
    folder = job.out / CHECKPOINTS
    checkpoint = read_checkpoint(folder, job.settings)
    if checkpoint is None:
        record = read_record(job.out)
        if record is not None:
            require_same_settings(job.out, record["settings"], job.settings)
            if record["done"]:
                raise UsageError(
                    f"{job.out}: trained for {record['step']} updates, and its checkpoint was not "
                    "kept, so it cannot be made longer; give another --out"
                )
        return Curves()
    if checkpoint.step > job.config.steps:
        raise UsageError(
            f"--steps {job.config.steps}: {job.out} is at update {checkpoint.step} already; ask "
            "for more, or give another --out"
        )
    trainer.restore(checkpoint, folder)
    _LOG.info("%s: continuing after update %d", job.out, checkpoint.step)
    return Curves.of(checkpoint.record["curves"])


def _finished(job: _Job) -> Finetuned | None:
    """The result of the same training, if it is there already."""
    record = read_record(job.out)
    if record is None or not record["done"] or record["step"] != job.config.steps:
        return None
    old = {name: value for name, value in record["settings"].items() if name != "clips"}
    require_same_settings(job.out, old, job.settings)
    result = _result(job, record["step"], record["step"])
    wanted = [path for path in (result.pipeline, result.lora) if path is not None]
    return result if all(path.is_dir() for path in wanted) else None


def _save(job: _Job, trainer: Trainer, loop: Loop) -> None:
    record = loop.write(done=False)
    config, out = job.config, job.out
    with trainer.averaged():
        if config.lora is not None:
            save_adapters(job.backbone, out / ADAPTERS)
            if config.merge:
                merge_lora(job.backbone)
        if config.lora is None or config.merge:
            card = model_card(config, record)
            save_pipeline(job.backbone, job.standard, out / PIPELINE, card)
    loop.write(done=True)
    if not config.keep_checkpoint:
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)


def _result(job: _Job, steps: int, resumed_at: int) -> Finetuned:
    config, out = job.config, job.out
    return Finetuned(
        out,
        out / PIPELINE if config.lora is None or config.merge else None,
        None if config.lora is None else out / ADAPTERS,
        steps,
        resumed_at,
        read_record(out) or {},
        out / PAGE,
        job.group.first,
    )


def _clips(data: Data) -> Iterable[Clip]:
    return read_dataset(data) if isinstance(data, str | os.PathLike) else data


def _require_ours(out: Path) -> None:
    if out.is_file():
        raise UsageError(f"{out}: is a file; give a folder")
    if not out.is_dir() or (out / RECORD).exists():
        return
    others = [path.name for path in out.iterdir() if path.name not in (CACHE, CHECKPOINTS)]
    if others:
        raise UsageError(f"{out}: holds something else ({others[0]}); give another --out")


def _silent(stage: str, done: int, total: int) -> None:
    """Progress for callers who want none."""


def _check_trainable(backbone: Backbone) -> None:
    """Refuse, before clips are encoded, what one transformer and a caption do not make up."""
    if backbone.sees_image or backbone.expert_text is not None:
        what = "that sees an image" if backbone.sees_image else "of two experts"
        raise UsageError(
            f"{backbone.name}: fine-tuning a model {what} is not part of this version; export the "
            "selection and train with the family's own trainer"
        )

"""Train wan-nano from a folder of clips: autoencoder, text encoder, then transformer.

Invariant: the exported folder is always whole and loadable, from the first checkpoint on, and
running the same call again continues where a killed run stopped and ends with the same weights.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from motive.backbones.digests import component_digest
from motive.errors import UsageError
from motive.zoo.nano_card import TrainReport, model_card
from motive.zoo.nano_data import NanoData, clip_shares, load_clips
from motive.zoo.nano_denoiser import FlowOptions
from motive.zoo.nano_loop import ProgressFn, Stage
from motive.zoo.nano_model import (
    NANO_STANDARD,
    NanoConfig,
    build_wan_nano,
    folder_megabytes,
    load_wan_nano,
    parameter_counts,
    save_wan_nano,
)
from motive.zoo.nano_stages import NanoRun, train_denoiser, train_text, train_vae
from motive.zoo.nano_vae import reconstruction_psnr

logger = logging.getLogger(__name__)

_PSNR_CLIPS = 64  # clips on which the reconstruction is measured
_TRAINED = ("transformer", "vae", "text_encoder", "tokenizer")


def train_wan_nano(
    data: Path,
    out: Path,
    *,
    vae_steps: int = 4000,
    text_steps: int = 700,
    steps: int = 12000,
    batch_size: int = 16,
    mixture: Mapping[str, float] | None = None,
    start: Path | None = None,
    device: str = "cpu",
    seed: int = 0,
    threads: int | None = None,
    on_progress: ProgressFn | None = None,
    config: NanoConfig | None = None,
    checkpoint_seconds: float = 300.0,
) -> TrainReport:
    """Train wan-nano and export it as a `WanPipeline` folder.

    Decoded clips and checkpoints are kept beside the result, in `out` + ".work"; delete that
    folder to start afresh. Each transformer checkpoint also exports its averaged weights, so `out`
    can be used while training goes on.

    The text encoder learns to read first, where the data set says what its captions mean (MotionZoo
    does), and then stands still; on other data it is trained together with the transformer.

    Args:
        data: Folder or list of captioned clips.
        out: The exported folder; replaced whole at every export.
        vae_steps: Steps of the autoencoder, and then as many of its decoder alone.
        text_steps: Steps of the text encoder alone.
        steps: Steps of the transformer.
        batch_size: Clips per transformer step.
        mixture: How often the clips of a motion are drawn for the transformer; 1 where left out.
        start: A wan-nano folder to continue from: its autoencoder and text encoder stay as they
            are, its transformer is trained on. `config` must then be left out.
        device: Where to train, "cpu" or "cuda".
        seed: Seed of the weights and of everything random in training.
        threads: torch threads during training; unchanged by default.
        on_progress: Called as work proceeds.
        config: Sizes; the embedded model's by default.
        checkpoint_seconds: Wall-clock time between checkpoints.

    Returns:
        What was done, with the loss curves.

    Raises:
        DatasetError: The data set cannot be read.
        ModelError: `start` is not a pipeline folder.
        UsageError: An option is out of range, `out` holds something else, or its checkpoints were
            made with other clips or options.
    """
    began = time.monotonic()
    counts = {"vae_steps": vae_steps, "text_steps": text_steps, "steps": steps}
    _check_options(out, device, **counts, batch_size=batch_size)
    if start is not None and config is not None:
        raise UsageError("wan-nano: the sizes are those of the start folder; leave config out")
    config = config or NanoConfig()
    work = out.with_name(out.name + ".work")
    with _torch_threads(threads):
        pipeline = None if start is None else load_wan_nano(start).to(device)
        clips = load_clips(data, work / "clips.npz", on_progress)
        shares = clip_shares(clips, mixture)
        key = _run_key(clips, config, seed, start, device)
        common = NanoRun(clips, seed, key, work, checkpoint_seconds, on_progress)
        stages: list[Stage] = []
        if pipeline is None:
            pipeline = build_wan_nano(clips.captions, seed, config).to(device)
            stages = train_vae(pipeline, common, vae_steps)
            text_stage = train_text(pipeline, common, text_steps)
            stages += [] if text_stage is None else [text_stage]
        done = {stage.name: stage for stage in stages}
        frozen = start is not None or "text" in done
        psnr = reconstruction_psnr(pipeline.vae, clips, slice(0, _PSNR_CLIPS))

        def report(stage: Stage) -> TrainReport:
            return TrainReport(
                folder=out,
                clips=len(clips),
                unreadable=clips.unreadable,
                **_so_far(done),
                steps=stage.step,
                losses=stage.losses,
                psnr=psnr,
                parameters=parameter_counts(pipeline),
                megabytes=0.0,
                seconds=time.monotonic() - began,
                start="" if start is None else start.name,
                mixture=dict(mixture or {}),
                frozen_text=frozen,
            )

        stage = train_denoiser(
            pipeline,
            common,
            steps,
            FlowOptions(batch_size=batch_size, frozen_text=frozen),
            shares,
            new_statistics=start is None,
            on_checkpoint=lambda stage: export(pipeline, out, report(stage)),
        )
        return export(pipeline, out, report(stage))


def export(pipeline: Any, out: Path, report: TrainReport) -> TrainReport:
    """Write the pipeline and its model card to `out`, replacing a former export in one move.

    Args:
        pipeline: The pipeline as it should be saved.
        out: Target folder.
        report: What the card tells.

    Returns:
        The report with the folder's size.
    """
    fresh = out.with_name(f"{out.name}.new")
    old = out.with_name(f"{out.name}.old")
    for folder in (fresh, old):
        shutil.rmtree(folder, ignore_errors=True)
    save_wan_nano(pipeline, fresh)
    # diffusers folders do not say which clips a model was made for; this file does.
    standard = json.dumps(asdict(NANO_STANDARD))
    (fresh / "motive.json").write_text(standard + "\n", encoding="utf-8")
    report = replace(report, megabytes=folder_megabytes(fresh))
    (fresh / "README.md").write_text(model_card(report, pipeline), encoding="utf-8")
    if out.exists():
        os.replace(out, old)
    os.replace(fresh, out)
    shutil.rmtree(old, ignore_errors=True)
    logger.info("%s: exported at step %d", out, report.steps)
    return report


def _so_far(stages: Mapping[str, Stage]) -> dict[str, Any]:
    """Steps and loss curves of the stages before the transformer's, as the report names them."""
    facts: dict[str, Any] = {}
    for name in ("vae", "decoder", "text"):
        stage = stages.get(name)
        facts[f"{name}_steps"] = 0 if stage is None else stage.step
        facts[f"{name}_losses"] = [] if stage is None else stage.losses
    return facts


def _check_options(out: Path, device: str, **counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise UsageError(f"wan-nano {name}={value}: must be at least 1")
    if device not in ("cpu", "cuda"):
        raise UsageError(f"wan-nano device={device!r}: choose cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("wan-nano device='cuda': this PyTorch sees no CUDA device; use cpu")
    if out.exists() and not (out / "model_index.json").is_file() and any(out.iterdir()):
        raise UsageError(f"{out}: exists and is not a model folder; choose another output folder")


def _run_key(
    clips: NanoData, config: NanoConfig, seed: int, start: Path | None, device: str
) -> str:
    facts = [clips.key, sorted(asdict(config).items()), seed, device]
    if start is not None:
        facts.append([component_digest(start / part) for part in _TRAINED])
    return hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        yield
    finally:
        torch.set_num_threads(before)

"""Train wan-nano from a folder of clips: autoencoder first, then transformer and text encoder.

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from motive.errors import UsageError
from motive.zoo.nano_card import model_card
from motive.zoo.nano_data import NanoData, load_clips
from motive.zoo.nano_denoiser import FlowLoss
from motive.zoo.nano_loop import ProgressFn, Stage, StageOptions, run_stage
from motive.zoo.nano_model import (
    NANO_STANDARD,
    NanoConfig,
    build_wan_nano,
    folder_megabytes,
    parameter_counts,
    save_wan_nano,
)
from motive.zoo.nano_vae import (
    VaeLoss,
    encode_dataset,
    normalise_latents,
    reconstruction_psnr,
    set_latent_statistics,
)

logger = logging.getLogger(__name__)

_PSNR_CLIPS = 64  # clips on which the reconstruction is measured
_VAE_BATCH = 1  # whole clips per autoencoder step: many small steps beat few large ones on a CPU


@dataclass(frozen=True)
class TrainReport:
    """What a training run did.

    Attributes:
        folder: The exported diffusers folder.
        clips: Clips trained on.
        unreadable: One line per clip that could not be used.
        vae_steps: Autoencoder steps done.
        decoder_steps: Steps of the decoder alone done.
        steps: Transformer steps done.
        vae_losses: (step, mean loss) of the autoencoder, every 10 steps.
        decoder_losses: (step, mean loss) of the decoder alone, every 10 steps.
        losses: (step, mean loss) of the transformer, every 10 steps.
        psnr: Reconstruction of the first clips by the autoencoder, dB.
        parameters: Number of parameters per model.
        megabytes: Size of the folder, 10^6 bytes.
        seconds: Wall-clock time of this call.
    """

    folder: Path
    clips: int
    unreadable: tuple[str, ...]
    vae_steps: int
    decoder_steps: int
    steps: int
    vae_losses: list[tuple[int, float]]
    decoder_losses: list[tuple[int, float]]
    losses: list[tuple[int, float]]
    psnr: float
    parameters: dict[str, int]
    megabytes: float
    seconds: float


def train_wan_nano(
    data: Path,
    out: Path,
    *,
    vae_steps: int = 4000,
    steps: int = 12000,
    batch_size: int = 16,
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

    Args:
        data: Folder or list of captioned clips.
        out: The exported folder; replaced whole at every export.
        vae_steps: Steps of the autoencoder, and then as many of its decoder alone.
        steps: Steps of the transformer and text encoder.
        batch_size: Clips per transformer step.
        seed: Seed of the weights and of everything random in training.
        threads: torch threads during training; unchanged by default.
        on_progress: Called as work proceeds.
        config: Sizes; the embedded model's by default.
        checkpoint_seconds: Wall-clock time between checkpoints.

    Returns:
        What was done, with the loss curves.

    Raises:
        DatasetError: The data set cannot be read.
        UsageError: An option is out of range, `out` holds something else, or its checkpoints were
            made with other clips or options.
    """
    started = time.monotonic()
    _check_options(out, vae_steps=vae_steps, steps=steps, batch_size=batch_size)
    config = config or NanoConfig()
    work = out.with_name(out.name + ".work")
    with _torch_threads(threads):
        clips = load_clips(data, work / "clips.npz", on_progress)
        pipeline = build_wan_nano(clips.captions, seed, config)
        key = _run_key(clips, config, seed)
        vae_stage, decoder_stage = train_vae(
            pipeline,
            clips,
            vae_options(vae_steps, checkpoint_seconds),
            seed=seed,
            key=key,
            work=work,
            on_progress=on_progress,
        )
        psnr = reconstruction_psnr(pipeline.vae, clips, slice(0, _PSNR_CLIPS))

        def report(stage: Stage) -> TrainReport:
            return TrainReport(
                folder=out,
                clips=len(clips),
                unreadable=clips.unreadable,
                vae_steps=vae_stage.step,
                decoder_steps=decoder_stage.step,
                steps=stage.step,
                vae_losses=vae_stage.losses,
                decoder_losses=decoder_stage.losses,
                losses=stage.losses,
                psnr=psnr,
                parameters=parameter_counts(pipeline),
                megabytes=0.0,
                seconds=time.monotonic() - started,
            )

        stage = train_denoiser(
            pipeline,
            clips,
            denoiser_options(steps, checkpoint_seconds),
            batch_size=batch_size,
            seed=seed,
            key=key,
            work=work,
            on_progress=on_progress,
            on_checkpoint=lambda stage: export(pipeline, out, report(stage)),
        )
        return export(pipeline, out, report(stage))


def vae_options(steps: int, checkpoint_seconds: float = 300.0) -> StageOptions:
    """How the autoencoder is optimised."""
    return StageOptions(
        steps, muon_rate=0.03, adam_rate=2e-3, checkpoint_seconds=checkpoint_seconds
    )


def denoiser_options(steps: int, checkpoint_seconds: float = 300.0) -> StageOptions:
    """How the transformer and the text encoder are optimised."""
    return StageOptions(
        steps, muon_rate=0.02, adam_rate=1e-3, checkpoint_seconds=checkpoint_seconds
    )


def train_vae(
    pipeline: Any,
    clips: NanoData,
    options: StageOptions,
    *,
    seed: int,
    key: str,
    work: Path,
    on_progress: ProgressFn | None = None,
) -> tuple[Stage, Stage]:
    """Train the pipeline's autoencoder, then its decoder alone, which costs a third less a step.

    Args:
        pipeline: Holds the autoencoder; it keeps the averaged weights.
        clips: Training clips.
        options: Steps, rates, checkpoints of each of the two stages.
        seed: Seed of everything random.
        key: Identity of the run, for the checkpoints.
        work: Folder of the checkpoints.
        on_progress: Called every 10 steps.

    Returns:
        The two finished stages, with their loss curves.
    """
    vae = pipeline.vae
    key = f"{key} {_repeatable(options)}"
    both = Stage("vae", [vae], options, seed, key)
    run_stage(both, VaeLoss(vae, clips, _VAE_BATCH), work / "vae.pt", on_progress=on_progress)
    alone = Stage("decoder", [vae.post_quant_conv, vae.decoder], options, seed, key)
    loss = VaeLoss(vae, clips, _VAE_BATCH, frozen_encoder=True)
    run_stage(alone, loss, work / "decoder.pt", on_progress=on_progress)
    return both, alone


def train_denoiser(
    pipeline: Any,
    clips: NanoData,
    options: StageOptions,
    *,
    batch_size: int,
    seed: int,
    key: str,
    work: Path,
    on_progress: ProgressFn | None = None,
    on_checkpoint: Callable[[Stage], object] | None = None,
) -> Stage:
    """Encode the clips once, then train the transformer and the text encoder together.

    Args:
        pipeline: Holds the trained autoencoder, whose latent statistics are set here.
        clips: Training clips.
        options: Steps, rates, checkpoints.
        batch_size: Clips per step.
        seed: Seed of everything random.
        key: Identity of the run, for the checkpoint.
        work: Folder of the checkpoint.
        on_progress: Called while encoding and every 10 steps.
        on_checkpoint: Called after each checkpoint, with the averaged weights in the pipeline.

    Returns:
        The finished stage; the pipeline holds the averaged weights.
    """
    vae = pipeline.vae
    sides = [
        encode_dataset(vae, clips, mirrored=mirrored, on_progress=on_progress)
        for mirrored in (False, True)
    ]
    set_latent_statistics(vae, torch.cat(sides))
    latents = torch.stack([normalise_latents(vae, side) for side in sides])
    stage = Stage(
        "transformer",
        [pipeline.transformer, pipeline.text_encoder],
        options,
        seed,
        f"{key} batch_size={batch_size} {_repeatable(options)}",
    )
    run_stage(
        stage,
        FlowLoss(pipeline, latents, clips.captions, batch_size),
        work / "transformer.pt",
        on_progress=on_progress,
        on_checkpoint=None if on_checkpoint is None else lambda: on_checkpoint(stage),
    )
    return stage


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


def _check_options(out: Path, **counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise UsageError(f"wan-nano {name}={value}: must be at least 1")
    if out.exists() and not (out / "model_index.json").is_file() and any(out.iterdir()):
        raise UsageError(f"{out}: exists and is not a model folder; choose another output folder")


def _run_key(clips: NanoData, config: NanoConfig, seed: int) -> str:
    facts = repr((clips.key, sorted(asdict(config).items()), seed))
    return hashlib.blake2b(facts.encode(), digest_size=8).hexdigest()


def _repeatable(options: StageOptions) -> str:
    """The options that change the weights; when to checkpoint does not."""
    return repr(replace(options, checkpoint_seconds=0.0))


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        yield
    finally:
        torch.set_num_threads(before)

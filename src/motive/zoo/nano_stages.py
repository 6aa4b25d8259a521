"""The stages of training wan-nano: autoencoder, text encoder, transformer.

Invariant: a stage called again continues from its checkpoint and ends with the same weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from motive.zoo.nano_data import NanoData
from motive.zoo.nano_denoiser import FlowLoss, FlowOptions
from motive.zoo.nano_loop import ProgressFn, Stage, StageOptions, run_stage
from motive.zoo.nano_text import FactHeads, TextLoss, stated_facts
from motive.zoo.nano_vae import VaeLoss, encode_dataset, normalise_latents, set_latent_statistics

_VAE_BATCH = 1  # whole clips per autoencoder step: many small steps beat few large ones on a CPU


@dataclass(frozen=True)
class NanoRun:
    """What every stage of one run shares."""

    clips: NanoData
    seed: int
    key: str
    work: Path
    checkpoint_seconds: float
    on_progress: ProgressFn | None


def vae_options(steps: int, checkpoint_seconds: float = 300.0) -> StageOptions:
    """How the autoencoder is optimised."""
    return StageOptions(
        steps, muon_rate=0.03, adam_rate=2e-3, checkpoint_seconds=checkpoint_seconds
    )


def text_options(steps: int, checkpoint_seconds: float = 300.0) -> StageOptions:
    """How the text encoder is optimised."""
    return StageOptions(
        steps, muon_rate=0.02, adam_rate=2e-3, warmup=50, checkpoint_seconds=checkpoint_seconds
    )


def denoiser_options(steps: int, checkpoint_seconds: float = 300.0) -> StageOptions:
    """How the transformer is optimised."""
    return StageOptions(
        steps, muon_rate=0.012, adam_rate=5e-4, checkpoint_seconds=checkpoint_seconds
    )


def train_vae(pipeline: Any, run: NanoRun, steps: int) -> list[Stage]:
    """Train the autoencoder, then its decoder alone, which costs a third less a step.

    Args:
        pipeline: Holds the autoencoder; it keeps the averaged weights.
        run: Clips, seed, key and folder of the run.
        steps: Steps of each of the two stages.

    Returns:
        The two finished stages, with their loss curves.
    """
    vae = pipeline.vae
    options = vae_options(steps, run.checkpoint_seconds)
    key = f"{run.key} {_repeatable(options)}"
    both = Stage("vae", [vae], options, run.seed, key)
    loss = VaeLoss(vae, run.clips, _VAE_BATCH)
    run_stage(both, loss, run.work / "vae.pt", on_progress=run.on_progress)
    alone = Stage("decoder", [vae.post_quant_conv, vae.decoder], options, run.seed, key)
    loss = VaeLoss(vae, run.clips, _VAE_BATCH, frozen_encoder=True)
    run_stage(alone, loss, run.work / "decoder.pt", on_progress=run.on_progress)
    return [both, alone]


def train_text(pipeline: Any, run: NanoRun, steps: int) -> Stage | None:
    """Teach the text encoder what the captions state (see `nano_text`).

    Args:
        pipeline: Holds the text encoder; it keeps the averaged weights.
        run: Clips, seed, key and folder of the run.
        steps: Steps.

    Returns:
        The finished stage, or None where the data set knows no facts about its captions.
    """
    clips = run.clips
    rows = list(zip(clips.captions, clips.motions, clips.factors, strict=True))
    facts = [stated_facts(*row) for row in rows]
    if not any(facts):
        return None
    mirrored = [stated_facts(*row, mirrored=True) for row in rows]
    encoder = pipeline.text_encoder
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        heads = FactHeads([*facts, *mirrored], encoder.config.d_model).to(encoder.device)
    options = text_options(steps, run.checkpoint_seconds)
    key = f"{run.key} {_repeatable(options)}"
    stage = Stage("text", [encoder, heads], options, run.seed, key)
    loss = TextLoss(pipeline, heads, clips.captions, facts, mirrored)
    run_stage(stage, loss, run.work / "text.pt", on_progress=run.on_progress)
    return stage


def train_denoiser(
    pipeline: Any,
    run: NanoRun,
    steps: int,
    flow: FlowOptions,
    shares: torch.Tensor,
    *,
    new_statistics: bool = True,
    on_checkpoint: Callable[[Stage], object] | None = None,
) -> Stage:
    """Encode the clips once, then train the transformer, and the text encoder if it is not frozen.

    Args:
        pipeline: Holds the trained autoencoder.
        run: Clips, seed, key and folder of the run.
        steps: Steps.
        flow: What a step sees.
        shares: Weight of each clip in the draw, "n".
        new_statistics: Set the latent statistics from these clips; False keeps the VAE's own.
        on_checkpoint: Called after each checkpoint, with the averaged weights in the pipeline.

    Returns:
        The finished stage; the pipeline holds the averaged weights.
    """
    vae = pipeline.vae
    sides = [
        encode_dataset(vae, run.clips, mirrored=mirrored, on_progress=run.on_progress)
        for mirrored in (False, True)
    ]
    if new_statistics:
        set_latent_statistics(vae, torch.cat(sides))
    latents = torch.stack([normalise_latents(vae, side) for side in sides]).to(vae.device)
    options = denoiser_options(steps, run.checkpoint_seconds)
    modules = [pipeline.transformer, *([] if flow.frozen_text else [pipeline.text_encoder])]
    drawn = hashlib.blake2b(shares.numpy().tobytes(), digest_size=8).hexdigest()
    key = f"{run.key} {flow} shares={drawn} {_repeatable(options)}"
    stage = Stage("transformer", modules, options, run.seed, key)
    run_stage(
        stage,
        FlowLoss(pipeline, latents, run.clips.captions, flow, shares),
        run.work / "transformer.pt",
        on_progress=run.on_progress,
        on_checkpoint=None if on_checkpoint is None else lambda: on_checkpoint(stage),
    )
    return stage


def _repeatable(options: StageOptions) -> str:
    """The options that change the weights; when to checkpoint does not."""
    return repr(replace(options, checkpoint_seconds=0.0))

"""Sampling clips from a backbone, the same ones every time.

Invariant: the start noise of prompt i is a function of (seed, i) alone, so the clip of a prompt
depends neither on the batch size nor on the other prompts, and two models that are given the same
seed start from the same noise: what differs between their clips is what they learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch

from motive.backbones.flow import shifted
from motive.backbones.protocol import Backbone
from motive.clips.clip import ClipStandard
from motive.errors import UsageError

FLOW_SHIFT = 3.0  # of the schedule, as in the Wan 2.1 1.3B folder and in wan-nano
_LARGEST_KEY = 2**64


def sigma_schedule(steps: int, shift: float = FLOW_SHIFT) -> tuple[float, ...]:
    """Noise levels from 1 down to 0: σ = shift u / (1 + (shift − 1) u), u evenly spaced.

    Args:
        steps: Steps between the levels, at least 1.
        shift: Above 1, more of the steps are spent at high noise.

    Returns:
        steps + 1 values.

    Example:
        >>> sigma_schedule(2)
        (1.0, 0.75, 0.0)
    """
    if steps < 1:
        raise UsageError(f"sampling steps {steps}: must be at least 1")
    levels = [1.0 - step / steps for step in range(steps + 1)]
    return tuple(shifted(u, shift) for u in levels)


def start_noise(shape: tuple[int, ...], seed: int, index: int) -> torch.Tensor:
    """Standard normal noise of one prompt, float32 `shape`, identical on every machine."""
    if not 0 <= seed < _LARGEST_KEY:
        raise UsageError(f"seed {seed}: must be at least 0 and below 2^64")
    key = np.array([seed, index], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key))
    return torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))


@torch.inference_mode()
def generate_latents(
    backbone: Backbone,
    captions: Sequence[str],
    *,
    seed: int,
    steps: int,
    guidance: float,
    contrast: float = 0.0,
    opposites: Sequence[Sequence[str]] | None = None,
    standard: ClipStandard | None = None,
    batch_size: int = 10,
    on_progress: Callable[[int, int], object] | None = None,
) -> torch.Tensor:
    """Text to normalised latents: Euler steps along the flow, with classifier-free guidance.

    The velocity is v(empty) + guidance (v(caption) − v(empty)); guidance 1 leaves the empty caption
    out, at half the cost. With `contrast`, contrast (v(caption) − v(opposite)) is added, where the
    opposite is another caption of the same look with another motion: it exaggerates the motion
    alone, where plain guidance exaggerates all that the caption says.

    Args:
        backbone: A rectified-flow model (its target is noise − latents).
        captions: One prompt per clip.
        seed: Seed of the start noise, see `start_noise`.
        steps: Euler steps.
        guidance: 0 ignores the caption, 1 follows the model, above 1 exaggerates the caption.
        contrast: Strength of the contrast; 0 leaves it out.
        opposites: Opposite captions of each prompt, taken in turns from step to step.
        standard: Clip shape; the backbone's own by default.
        batch_size: Clips per pass; changes the speed only.
        on_progress: Told the clips done and their total after each batch.

    Returns:
        float32 "n c f h w" on the CPU.

    Raises:
        UsageError: No captions, an option out of range, or a shape that the model cannot take.
    """
    opposed: list[list[str]] = [list(texts) for texts in opposites or []]
    _check(captions, guidance, batch_size, contrast, opposed)
    standard = standard or backbone.standard
    backbone.check_standard(standard)
    levels = sigma_schedule(steps)
    channels = int(backbone.transformer.config.in_channels)  # type: ignore[union-attr,arg-type]
    shape = (channels, *backbone.latent_grid(standard))
    needed = {*captions, "", *(text for texts in opposed for text in texts)}
    texts = {caption: backbone.encode_text(caption).padded() for caption in sorted(needed)}
    done: list[torch.Tensor] = []
    for first in range(0, len(captions), batch_size):
        rows = range(first, min(first + batch_size, len(captions)))
        latents = torch.stack([start_noise(shape, seed, row) for row in rows])
        asked = torch.stack([texts[captions[row]] for row in rows])
        for step, (now, later) in enumerate(pairwise(levels)):
            terms = [(1.0, asked)]
            if guidance != 1.0:
                terms = [(guidance, asked), (1.0 - guidance, texts[""].expand_as(asked))]
            if contrast:
                other = [texts[opposed[row][step % len(opposed[row])]] for row in rows]
                terms = [*terms, (contrast, asked), (-contrast, torch.stack(other))]
            latents = latents + (later - now) * _velocity(backbone, latents, now, terms)
        done.append(latents)
        if on_progress is not None:
            on_progress(rows.stop, len(captions))
    return torch.cat(done)


def _check(
    captions: Sequence[str],
    guidance: float,
    batch_size: int,
    contrast: float,
    opposites: list[list[str]],
) -> None:
    if not captions:
        raise UsageError("no prompts: give at least one caption to generate from")
    if guidance < 0 or batch_size < 1 or contrast < 0:
        raise UsageError(
            f"guidance {guidance} and contrast {contrast} must not be negative, and batch size "
            f"{batch_size} at least 1"
        )
    if contrast and (len(opposites) != len(captions) or not all(opposites)):
        raise UsageError(
            f"opposites: contrast {contrast} needs at least one opposite caption for each of the "
            f"{len(captions)} prompts"
        )


def _velocity(
    backbone: Backbone,
    latents: torch.Tensor,
    sigma: float,
    terms: list[tuple[float, torch.Tensor]],
) -> torch.Tensor:
    """Weighted sum of the predictions for several texts "b l d", each text predicted once."""
    weights: dict[int, float] = {}
    texts: dict[int, torch.Tensor] = {}
    for weight, text in terms:
        weights[id(text)] = weights.get(id(text), 0.0) + weight
        texts[id(text)] = text
    repeated = latents.repeat(len(texts), 1, 1, 1, 1)
    parts = backbone.predict(repeated, sigma, torch.cat(list(texts.values()))).to(latents)
    total = torch.zeros_like(latents)
    for weight, part in zip(weights.values(), parts.chunk(len(texts)), strict=True):
        total += weight * part
    return total


def decode(backbone: Backbone, latents: torch.Tensor) -> torch.Tensor:
    """Normalised latents to clips.

    Args:
        backbone: The model whose autoencoder decodes.
        latents: float "n c f h w".

    Returns:
        float32 "n 3 f h w" in [-1, 1] on the CPU, in steps of 8 bits.
    """
    clips = backbone.decode_latents(latents)
    return clips.permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0

"""The clips that wan-nano is trained on, decoded once.

Invariant: one row of pixels per clip that could be read, in the data set's order; a clip that
cannot be read is logged with its reason and counted, never dropped silently.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from motive.clips import Clip, decode_clip, read_dataset
from motive.errors import ClipError, DatasetError, UsageError
from motive.files import whole_file
from motive.zoo.nano_loop import ProgressFn, TrainProgress
from motive.zoo.nano_model import NANO_STANDARD

logger = logging.getLogger(__name__)

_MIRRORED = {
    "left": "right",
    "leftward": "rightward",
    "leftwards": "rightwards",
    "clockwise": "counterclockwise",
}
_MIRRORED |= {right: left for left, right in _MIRRORED.items()} | {"anticlockwise": "clockwise"}
_SIDED = re.compile(r"\b(" + "|".join(_MIRRORED) + r")\b", re.IGNORECASE)
_PROGRESS_EVERY = 25  # clips


@dataclass(frozen=True)
class NanoData:
    """Decoded training clips.

    Attributes:
        pixels: uint8 "n 17 64 64 3", RGB.
        captions: One text per clip, possibly empty.
        unreadable: One line per clip that could not be used.
        key: Digest of the pixels' and captions' identity, for checkpoints.
        motions: The motion of each clip where the data set knows it; empty where it knows none.
        factors: Each clip's other MotionZoo factors; empty where it has none.
    """

    pixels: torch.Tensor
    captions: tuple[str, ...]
    unreadable: tuple[str, ...]
    key: str
    motions: tuple[str | None, ...] = ()
    factors: tuple[Mapping[str, Any], ...] = ()

    def __len__(self) -> int:
        return len(self.captions)

    def video(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """Some clips as the autoencoder reads them: float32 "b 3 17 64 64" in [-1, 1]."""
        return self.pixels[rows].permute(0, 4, 1, 2, 3).float().div_(127.5).sub_(1.0)


def load_clips(
    data: Path, cache: Path | None = None, on_progress: ProgressFn | None = None
) -> NanoData:
    """Decode a data set to wan-nano's standard (17 frames, 16 fps, 64x64).

    Args:
        data: Folder or list that `read_dataset` understands.
        cache: File to keep the pixels in; used again while the clips' ids are the same.
        on_progress: Called every few clips.

    Returns:
        The clips that could be read.

    Raises:
        DatasetError: The data set cannot be read, or none of its clips can.
    """
    clips = read_dataset(data)
    pixels: list[torch.Tensor] = []
    used: list[Clip] = []
    unreadable: list[str] = []
    known = _cached(cache)
    for number, clip in enumerate(clips, 1):
        try:
            row = known.get(clip.id)
            frames = row if row is not None else decode_clip(clip, NANO_STANDARD).pixels
        except ClipError as error:
            logger.warning("%s", error)
            unreadable.append(str(error))
            continue
        pixels.append(frames)
        used.append(clip)
        if on_progress is not None and (number % _PROGRESS_EVERY == 0 or number == len(clips)):
            on_progress(TrainProgress("clips", number, len(clips)))
    if not pixels:
        raise DatasetError(f"{data}: none of its {len(clips)} clips can be read: {unreadable[0]}")
    stacked = torch.stack(pixels)
    digests = [clip.id for clip in used]
    if cache is not None and digests != list(known):
        _write_cache(cache, stacked, digests)
    labels = repr([clip.label for clip in used]) if any(clip.label for clip in used) else ""
    key = hashlib.blake2b("\n".join([*digests, labels]).encode(), digest_size=16).hexdigest()
    return NanoData(
        stacked,
        tuple(clip.caption for clip in used),
        tuple(unreadable),
        key,
        tuple(clip.label for clip in used),
        tuple(_factors(clip) for clip in used),
    )


def clip_shares(data: NanoData, mixture: Mapping[str, float] | None) -> torch.Tensor:
    """Weight of each clip in the draw of a batch, "n".

    Args:
        data: The clips.
        mixture: Weight of each motion's clips; motions left out have weight 1.

    Raises:
        UsageError: A weight is negative or not finite, a motion is not in the data, or nothing
            would be left to draw.
    """
    shares = torch.ones(len(data))
    known = sorted({motion for motion in data.motions if motion is not None})
    for motion, weight in (mixture or {}).items():
        if motion not in known:
            there = f"it has {', '.join(known)}" if known else "its clips have no motion labels"
            raise UsageError(f"mixture: no clip of the data shows {motion!r}; {there}")
        if not 0.0 <= weight < math.inf:
            raise UsageError(f"mixture: weight {weight} of {motion!r}; use 0 or more")
        shares[torch.tensor([label == motion for label in data.motions])] = weight
    if not shares.any():
        raise UsageError("mixture: every clip has weight 0; give some motion a weight above 0")
    return shares


def _factors(clip: Clip) -> Mapping[str, Any]:
    factors = clip.extra.get("factors")
    return factors if isinstance(factors, Mapping) else {}


def mirror_caption(caption: str) -> str:
    """The caption of the clip seen in a mirror: left and right, and turning senses, exchanged.

    >>> mirror_caption("a red ball rolls to the Left")
    'a red ball rolls to the Right'
    """

    def exchange(match: re.Match[str]) -> str:
        word = match.group()
        other = _MIRRORED[word.lower()]
        return other.capitalize() if word[0].isupper() else other

    return _SIDED.sub(exchange, caption)


def tokenize(
    tokenizer: Any, captions: Sequence[str], length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of captions, cleaned and padded as WanPipeline does.

    Returns:
        int64 "n length" twice: ids, and 1 for real tokens.
    """
    from diffusers.pipelines.wan.pipeline_wan import prompt_clean

    batch = tokenizer(
        [prompt_clean(caption) for caption in captions],
        padding="max_length",
        max_length=length,
        truncation=True,
        add_special_tokens=True,
        return_attention_mask=True,
        return_tensors="pt",
    )
    return batch.input_ids, batch.attention_mask


def _cached(cache: Path | None) -> dict[str, torch.Tensor]:
    if cache is None or not cache.exists():
        return {}
    with np.load(cache) as file:
        pixels = torch.from_numpy(file["pixels"])
        ids = json.loads(str(file["ids"]))
    return dict(zip(ids, pixels, strict=True))


def _write_cache(cache: Path, pixels: torch.Tensor, ids: list[str]) -> None:
    with whole_file(cache) as temporary, open(temporary, "wb") as file:
        np.savez(file, pixels=pixels.numpy(), ids=np.array(json.dumps(ids)))

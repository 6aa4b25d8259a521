"""Teaching wan-nano's text encoder to read, before there is any video.

Wan's own text encoder arrives pretrained; a fresh one spends most of a short training on learning
what words mean, and the transformer then follows colours and ignores motions. Captions cost nothing
to learn from: every token must tell every fact that its caption states (motion, solid, colour ...).

Invariant: only facts that the caption states are asked for, so nothing about the pixels is learnt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from motive.zoo.nano_data import mirror_caption, tokenize
from motive.zoo.nano_model import TEXT_TOKENS

_BATCH = 48
_MOTION_WEIGHT = 2.0
_WORDS = ("shape", "colour", "pattern", "direction")  # stated where the caption has the word
_PLACED = {"floor": "floor", "background": "wall"}  # stated as "grey floor", "mint wall"
_CAMERAS = {
    "pan": "camera pans",
    "zoom": "camera zooms",
    "orbit": "camera moves around",
    "shake": "camera shakes",
}
_MIRRORED = {"left": "right", "right": "left"}


def stated_facts(
    caption: str, motion: str | None, factors: Mapping[str, Any], *, mirrored: bool = False
) -> dict[str, str]:
    """What a MotionZoo caption says about its clip.

    Args:
        caption: The clip's caption, before mirroring.
        motion: The clip's motion.
        factors: The clip's factors, from its row in metadata.jsonl.
        mirrored: Exchange left and right in the answer.

    Returns:
        Fact -> value, only those that the caption states; empty for an empty caption.

    Example:
        >>> stated_facts("a red ball rolls", "roll", {"colour": "red", "shape": "ball",
        ...     "floor": "grey"})
        {'motion': 'roll', 'shape': 'ball', 'colour': 'red'}
    """
    if not caption:
        return {}
    facts = {} if motion is None else {"motion": motion}
    for name in _WORDS:
        value = str(factors.get(name, ""))
        if value and re.search(rf"\b{re.escape(value)}\b", caption):
            facts[name] = _MIRRORED.get(value, value) if mirrored else value
    for name, noun in _PLACED.items():
        value = str(factors.get(name, ""))
        if value and f"{value} {noun}" in caption:
            facts[name] = value
    camera = str(factors.get("camera", ""))
    if _CAMERAS.get(camera, "\n") in caption:
        facts["camera"] = camera
    return facts


class FactHeads(torch.nn.Module):
    """One linear reader per fact; thrown away after the text stage.

    Args:
        facts: The facts of every caption, to learn the values from.
        width: Channels of the text encoder.
    """

    def __init__(self, facts: Sequence[Mapping[str, str]], width: int) -> None:
        super().__init__()
        names = sorted({name for stated in facts for name in stated})
        self.values = {
            name: sorted({stated[name] for stated in facts if name in stated}) for name in names
        }
        self.readers = torch.nn.ModuleDict(
            {name: torch.nn.Linear(width, len(values)) for name, values in self.values.items()}
        )

    def labels(self, facts: Sequence[Mapping[str, str]]) -> dict[str, torch.Tensor]:
        """Fact -> int64 "n", the value's number, -100 where it is not stated."""
        return {
            name: torch.tensor([values.index(s[name]) if name in s else -100 for s in facts])
            for name, values in self.values.items()
        }


class TextLoss:
    """Cross-entropy of the stated facts, read from every token of a caption by itself.

    Attributes:
        encoder: The text encoder being trained.
        heads: The readers being trained with it.
    """

    def __init__(
        self,
        pipeline: Any,
        heads: FactHeads,
        captions: Sequence[str],
        facts: Sequence[Mapping[str, str]],
        mirrored_facts: Sequence[Mapping[str, str]],
    ) -> None:
        self.encoder = pipeline.text_encoder
        self.heads = heads
        texts = [*captions, *(mirror_caption(caption) for caption in captions)]
        ids, mask = tokenize(pipeline.tokenizer, texts, TEXT_TOKENS)
        longest = int(mask.sum(dim=1).max())
        device = next(self.encoder.parameters()).device
        self._ids, self._mask = ids[:, :longest].to(device), mask[:, :longest].to(device)
        labels = heads.labels([*facts, *mirrored_facts])
        self._labels = {name: value.to(device) for name, value in labels.items()}

    def __call__(self, generator: torch.Generator) -> torch.Tensor:
        """Loss of one step on random captions."""
        rows = torch.randint(len(self._ids), (_BATCH,), generator=generator).to(self._ids.device)
        mask = self._mask[rows]
        states = self.encoder(self._ids[rows], mask).last_hidden_state
        real = mask.bool()
        total = states.new_zeros(())
        for name, reader in self.heads.readers.items():
            label = self._labels[name][rows, None].expand_as(mask)[real]
            if not bool((label >= 0).any()):
                continue  # the mean over no caption is undefined
            loss = F.cross_entropy(reader(states)[real], label)
            total = total + loss * (_MOTION_WEIGHT if name == "motion" else 1.0)
        return total

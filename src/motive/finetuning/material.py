"""What is trained on: which of the given clips, and their latents and captions on demand.

Invariant: every given clip is trained on, or is listed with the reason why not, or is a duplicate
of one that is. Nothing is encoded twice: latents and embeddings come from the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch

from motive.backbones import ClipEncoder
from motive.clips import Clip
from motive.clips.decode import check_span
from motive.clips.source import check_file
from motive.errors import ClipError, DatasetError
from motive.finetuning.group import Group

Progress = Callable[[str, int, int], None]  # stage, done, total
_IN_MEMORY = 2 << 30  # bytes of latents kept; the rest is read from the cache at every visit
_NAMED = 3  # clips named in an error


@dataclass(frozen=True)
class Sorted:
    """A data set, sorted out.

    Attributes:
        clips: Usable clips by id, in the given order.
        left_out: (source, reason) of each clip that cannot be used.
        duplicates: (source, source of the same clip).
    """

    clips: dict[str, Clip] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)


def sort_clips(
    clips: Iterable[Clip], encoder: ClipEncoder, progress: Progress, stage: str
) -> Sorted:
    """Find missing files and duplicates, before anything is decoded."""
    given, found = list(clips), Sorted()
    for done, clip in enumerate(given, start=1):
        try:
            check_span(clip)
            if clip.digest is not None and not encoder.has_latents(clip):
                check_file(clip.source)  # otherwise its id reads it
            first = found.clips.setdefault(clip.id, clip)
            if first is not clip:
                found.duplicates.append((clip.source, first.source))
        except ClipError as error:
            _leave_out(found, clip, error)
        progress(f"checking {stage}", done, len(given))
    return found


def encode_clips(
    found: Sorted, encoder: ClipEncoder, group: Group, progress: Progress, stage: str
) -> Sorted:
    """Encode what is not in the cache yet, each process its share; the unusable are left out.

    Raises:
        MotiveError: The cache cannot be written.
    """
    failed: list[tuple[str, str]] = []
    share = list(found.clips.items())[group.rank :: group.count]
    for done, (clip_id, clip) in enumerate(share, start=1):
        try:
            if not encoder.has_latents(clip):
                encoder.encoded(clip)
            encoder.text(clip.caption)
        except ClipError as error:
            failed.append((clip_id, str(error)))
        progress(f"encoding {stage}", done, len(share))
    reasons = dict(group.collect(failed))
    usable = Sorted({}, list(found.left_out), list(found.duplicates))
    for clip_id, clip in found.clips.items():
        if clip_id in reasons:
            _leave_out(usable, clip, reasons[clip_id])
        else:
            usable.clips[clip_id] = clip
    return usable


def require_usable(found: Sorted, given: str, *, skip_unusable: bool) -> None:
    """Refuse an empty set, and one that would be trained on only in part without being asked to.

    Raises:
        DatasetError: Says how many and names the first.
    """
    named = "; ".join(reason for _, reason in found.left_out[:_NAMED])
    more = len(found.left_out) - _NAMED
    named += f"; and {more} more" if more > 0 else ""
    if not found.clips:
        reason = f": {named}" if named else "; choose at least one"
        raise DatasetError(f"{given}: no clip to train on{reason}")
    if found.left_out and not skip_unusable:
        total = len(found.left_out) + len(found.clips)
        raise DatasetError(
            f"{given}: {len(found.left_out)} of {total} clips cannot be trained on: {named}; mend "
            "or remove them, or go on without them with --skip-unusable"
        )


class Material:
    """Latents and caption embeddings of usable clips.

    Args:
        clips: By id.
        encoder: Whose cache holds them.
        memory: Bytes of latents to keep in memory.
    """

    def __init__(
        self, clips: dict[str, Clip], encoder: ClipEncoder, memory: int = _IN_MEMORY
    ) -> None:
        self.clips, self.encoder, self._room = clips, encoder, memory
        self._kept: dict[str, torch.Tensor] = {}
        self._texts: dict[str, torch.Tensor] = {}

    def latents(self, ids: Sequence[str]) -> torch.Tensor:
        """Float32 "b c f h w"."""
        return torch.stack([self._latents(clip_id) for clip_id in ids])

    def text(self, ids: Sequence[str | None]) -> torch.Tensor:
        """Padded caption embeddings "b l d"; None stands for the empty caption."""
        captions = ["" if name is None else self.clips[name].caption for name in ids]
        return torch.stack([self._text(caption) for caption in captions])

    def _latents(self, clip_id: str) -> torch.Tensor:
        kept = self._kept.get(clip_id)
        if kept is not None:
            return kept
        latents = self.encoder.encoded(self.clips[clip_id]).latents
        if latents.nbytes <= self._room:
            self._room -= latents.nbytes
            self._kept[clip_id] = latents
        return latents

    def _text(self, caption: str) -> torch.Tensor:
        if caption not in self._texts:
            text = self.encoder.text(caption).padded()
            if text.nbytes > self._room:
                return text
            self._room -= text.nbytes
            self._texts[caption] = text
        return self._texts[caption]


def _leave_out(found: Sorted, clip: Clip, error: ClipError | str) -> None:
    # Without a path only the row can say which entry is meant.
    reason = str(error) if clip.source else f"row {clip.row}: {error}"
    found.left_out.append((clip.source, reason))

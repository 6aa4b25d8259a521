"""What a trainer would do with a selection that its user would not expect: one line each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from motive.clips import file_digest
from motive.clips.archive import stat_source
from motive.clips.decode import check_span
from motive.clips.source import check_file
from motive.errors import ClipError, UsageError
from motive.exports.protocol import Export, Format, Item, Placed, Videos, is_span
from motive.exports.videos import lies_in_archive, suffix_in_export

_RATE_SLACK = 1e-3  # 29.97 is not 30, but the average rate of a file is never exact either
_CURE = "--videos standard writes exactly the frames that were scored"


def check_usable(item: Item) -> None:
    """Raise a `ClipError` if the clip's file is missing, unreadable, or not what was scored."""
    clip = item.clip
    for what, text in (("caption", clip.caption), ("file name", clip.source)):
        if text != text.encode("utf-8", "replace").decode("utf-8"):
            raise ClipError(f"clip {item.clip_id}: the {what} is not valid Unicode; change it")
    check_span(clip)
    check_file(clip.source)
    if clip.digest is None or item.stamp == stat_source(clip.source):
        return
    if file_digest(clip.source) != clip.digest:
        raise ClipError(
            f"{clip.source}: has changed since it was scored; run `motive index` and `motive rank` "
            "again"
        )


def check_way(form: Format, videos: Videos) -> None:
    """Raise a `UsageError` if the format does not take videos in this way."""
    if videos not in form.videos:
        raise UsageError(f"--videos {videos}: {form.key} takes {', '.join(form.videos)}")


def check_videos(form: Format, videos: Videos, items: Sequence[Item]) -> None:
    """Raise a `UsageError` if these clips cannot go into this format in this way."""
    if videos == "standard":
        return
    if not form.spans:
        spans = [item for item in items if is_span(item.clip)]
        _refuse(spans, items, f"are spans of longer videos, which {form.name} cannot be told")
    if videos in ("reference", "link"):
        inside = [item for item in items if lies_in_archive(item)]
        _refuse(inside, items, f"lie in archives, where {form.name} does not look", "copy")
    if form.suffixes is not None:
        known = form.suffixes
        odd = [item for item in items if suffix_in_export(item, videos) not in known]
        _refuse(odd, items, f"are in containers that {form.name} does not open")


def _refuse(bad: Sequence[Item], items: Sequence[Item], what: str, cure: str = "standard") -> None:
    if bad:
        first = bad[0].clip.source
        raise UsageError(
            f"{len(bad)} of {len(items)} clips {what} (first: {first}); use --videos {cure}"
        )


def warnings(form: Format, export: Export) -> list[str]:
    """What to know before training on an export, one sentence each."""
    clips, frames = export.clips, export.standard.frames
    found = []
    silent = [clip for clip in clips if not clip.caption]
    if silent:
        found.append(f"{len(silent)} of {len(clips)} clips have no caption")
    if form.frames_read is not None:
        counted = [(clip, form.frames_read(clip.video, export.standard)) for clip in clips]
        short = [clip for clip, count in counted if count is not None and count < frames]
        if short:
            found.append(
                f"{_some(short, clips)} give {form.name} fewer than {frames} frames and it "
                f"{form.when_short}; {_CURE}"
            )
    if form.own_rate:
        rate = export.standard.fps
        other = [c for c in clips if not math.isclose(c.video.fps, rate, rel_tol=_RATE_SLACK)]
        if other:
            found.append(
                f"{_some(other, clips)} do not run at {rate:g} frames per second; {form.name} "
                f"{form.own_rate}; {_CURE}"
            )
    return found


def _some(some: Sequence[Placed], clips: Sequence[Placed]) -> str:
    return f"{len(some)} of {len(clips)} clips (first: {some[0].item.clip.source})"

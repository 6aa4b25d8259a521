"""Clips with everything in their names and captions that has ever broken a list."""

from __future__ import annotations

from motive.clips import Clip, ClipStandard, file_digest
from motive.clips.archive import stat_source
from motive.exports import Item

STANDARD = ClipStandard(frames=5, fps=8, height=32, width=64)
SOURCES = {
    "a/clip.mp4": "a coin spins",
    "b/clip.mp4": "",
    "späces & (1).v2.mp4": 'says "hi", twice; it\'s \\ here',
    "旋转的硬币.mp4": "ünïcode 漢字 😀 \u2028 all of it",
    "x" * 200 + ".mp4": "first line\nsecond line, with a comma",
    "test.eval.MOV": "None",
}


def item_of(path, caption="", rank=1, **options):
    """An item as a run makes it: id, digest and stamp of the file as it is now."""
    clip = Clip(str(path), caption, digest=file_digest(path), **options)
    facts = {"rank": rank, "votes": 2, "mean_score": 0.5 / rank, "reason": "above, both thresholds"}
    return Item(clip, clip.id, facts, {"q1": 1.0 / rank, "q2": 0.0}, stat_source(path))

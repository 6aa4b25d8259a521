"""What an export is made of: clips and why they were chosen, their files, and a format."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa

from motive.clips import Clip, ClipStandard, VideoFacts
from motive.clips.archive import SourceStat
from motive.clips.export import listed_path

Videos = Literal["reference", "link", "copy", "standard"]
VIDEO_MODES: tuple[Videos, ...] = get_args(Videos)
Progress = Callable[[str, int, int], None]  # stage, done, total

CLIPS = "clips"  # folder of linked, copied or encoded videos inside an export


@dataclass(frozen=True)
class Item:
    """One clip to export, and why it was chosen.

    Attributes:
        clip: The video, its span and its caption.
        clip_id: Names its file; letters, digits, "-" and "_".
        facts: Rank, votes, mean score, reason, ...; plain numbers and texts, kept in this order.
        scores: Query id -> I_mot.
        stamp: Size and time of the file for which `clip.digest` holds; None if unknown.
    """

    clip: Clip
    clip_id: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    stamp: SourceStat | None = None


@dataclass(frozen=True)
class Placed:
    """A clip and the file that the trainer will open for it.

    Attributes:
        item: The clip.
        name: Stem of its files in this export: unique, ASCII, without dots and spaces.
        path: Absolute path of the video; `shard.tar/name.mp4` where it goes into an archive.
        video: Facts of that file.
    """

    item: Item
    name: str
    path: Path
    video: VideoFacts

    @property
    def caption(self) -> str:
        """The clip's caption."""
        return self.item.clip.caption


@dataclass(frozen=True)
class Export:
    """Everything a format needs to write its lists.

    Attributes:
        out: Absolute path of the output folder.
        videos: How the videos get there.
        standard: The clip shape that was scored.
        clips: What to write, best first.
        per_shard: Clips per archive.
        queries: Query id -> its source and caption.
        ranking: One row per scored clip, selected or not; None if there are no scores.
    """

    out: Path
    videos: Videos
    standard: ClipStandard
    clips: Sequence[Placed]
    per_shard: int = 500
    queries: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ranking: pa.Table | None = None

    @property
    def folder(self) -> Path:
        """Where linked, copied and encoded videos lie."""
        return self.out / CLIPS

    def listed(self, path: Path) -> str:
        """A path as lists name it: relative to the export if inside it, else absolute."""
        return listed_path(path, self.out)

    def name_of(self, *parts: str) -> str:
        """Absolute path of something in the export, with forward slashes."""
        return self.out.joinpath(*parts).as_posix()


def _nothing_to_check(export: Export) -> None:
    """Most formats have no conditions of their own."""


@dataclass(frozen=True)
class Format:
    """One way to hand a selection to a trainer.

    Attributes:
        key: As the command line calls it.
        name: The trainer or library that reads it.
        about: One sentence: what is written.
        videos: The ways it can take videos; the first is the default.
        write: Writes lists and configurations, after the videos are in their place.
        command: Shell lines that start training on the export, from the trainer's documentation.
        suffixes: Containers the trainer opens, in lower case; None for whatever FFmpeg reads.
        opaque_names: Name files by clip id alone, because the reader takes meaning from names.
        pack: Stores the videos itself, in archives; returns clip id -> reason of those that failed.
        spans: The format can say that a clip is a part of its file.
        check: Raises `UsageError` before anything is written.
        frames_read: Frames that the trainer gets from a file at most; None if it always gets all.
        when_short: What it does if these are fewer than the standard's, completing "and it ...".
        own_rate: What it does with a file of another rate than the standard's; "" if it re-times.
    """

    key: str
    name: str
    about: str
    videos: tuple[Videos, ...]
    write: Callable[[Export], None]
    command: Callable[[Export], str]
    suffixes: frozenset[str] | None = None
    opaque_names: bool = False
    pack: Callable[[Export, Progress], dict[str, str]] | None = None
    spans: bool = False
    check: Callable[[Export], None] = _nothing_to_check
    frames_read: Callable[[VideoFacts, ClipStandard], int | None] | None = None
    when_short: str = ""
    own_rate: str = ""


def frame_count(video: VideoFacts) -> int | None:
    """Frames of a file, from its duration where the container does not count them."""
    if video.frames is not None:
        return video.frames
    return None if video.duration is None else round(video.duration * video.fps)


def is_span(clip: Clip) -> bool:
    """Whether the clip is a part of its file."""
    return clip.start > 0 or clip.end is not None


def absolute(path: str | os.PathLike[str]) -> Path:
    """An absolute path; links are kept, because trainers' caches go by the path as given."""
    return Path(os.path.abspath(path))

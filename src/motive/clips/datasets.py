"""Read a data set in the forms that video trainers use: folders, lists, shards, configurations.

Invariant: every video file, list row or sample becomes exactly one `Clip`, in a fixed order. A row
whose file is missing stays, so that its error is reported later instead of the clip vanishing.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from motive.clips.archive import TAR
from motive.clips.clip import Clip
from motive.clips.folders import (
    VIDEO_SUFFIXES,
    read_text,
    videos_under,
    warn_of_unnamed,
    with_captions,
)
from motive.clips.layouts import read_published, zip_hint
from motive.clips.lists import (
    LIST_SUFFIXES,
    VIDEO_COLUMNS,
    clips_from_rows,
    read_list,
    refuse_address,
)
from motive.clips.shards import read_shards, shards_in
from motive.clips.tables import table_parts, table_rows
from motive.clips.trainer_configs import read_toml
from motive.errors import DatasetError

_log = logging.getLogger(__name__)

# Lists that describe the folder they lie in: DiffSynth-Studio, finetrainers and VideoFolder, then
# common habits, then diffusion-pipe and ai-toolkit.
_FOLDER_LISTS = (
    *(stem + suffix for stem in ("metadata", "dataset", "prompts") for suffix in LIST_SUFFIXES),
    "captions.json",
)
_FOLDER_CONFIG = "dataset.toml"  # musubi-tuner, diffusion-pipe
_PAIRED_LISTS = (("videos.txt", "prompts.txt"), ("videos.txt", "prompt.txt"))  # finetrainers
_SPLIT = "train"  # VideoFolder keeps each split in a folder with a list of its own
_TOML = ".toml"


def read_dataset(source: str | os.PathLike[str], *, base: Path | None = None) -> list[Clip]:
    """Read a folder of videos, one video, a list, WebDataset shards, or a trainer's configuration.

    A folder is searched recursively, in sorted order, without hidden files; `clip.txt` beside
    `clip.mp4` is its caption. If it holds a list of its own (`metadata.jsonl` and the like,
    `dataset.toml`, or `videos.txt` with `prompts.txt`), is laid out like VIDGEN-1M, OpenVid-1M or
    4DNeX-10M, is a Hugging Face data set on disk, or holds tar files and no video, those are read
    instead. A list is CSV, TSV, JSON, JSONL or Parquet; a JSON list is `[{...}, ...]` or
    `{path: {"caption": ...}}`. Column names are those in `VIDEO_COLUMNS`, `CAPTION_COLUMNS` and
    `LABEL_COLUMNS`, in any case; `start` and `end`, or `timestamp` = [start, end], give the span
    (seconds or h:m:s). All other columns are kept in `Clip.extra`. A TOML file is that of
    musubi-tuner or diffusion-pipe. Videos in shards are read where they are; the source of such a
    clip is `shard.tar/member.mp4`.

    Args:
        source: Folder, video file, list, shard, or configuration.
        base: Folder that relative paths of a list count from; by default the list's own.

    Returns:
        One clip per video or row, in file order, whether its video exists or not.

    Raises:
        DatasetError: There is no such file, it cannot be read as a list (with the line), it has no
            column that names videos, it is empty, or it lists addresses instead of files.
    """
    name = os.fspath(source)
    refuse_address(name, name)
    path = Path(name)
    try:
        clips = _read(path, base)
    except OSError as error:
        reason = error.strerror or str(error)
        at = error.filename or path
        raise DatasetError(f"{at}: cannot be read ({reason}); check permissions") from None
    without = sum(not clip.caption for clip in clips)
    if without:
        _log.warning("%s: %d of %d clips have no caption", path, without, len(clips))
    return clips


def _read(path: Path, base: Path | None) -> list[Clip]:
    suffix = path.suffix.lower()
    if path.is_dir():
        return _read_folder(path, base)
    if not path.exists():
        raise DatasetError(f"{path}: no such file or folder; check the path")
    if path.is_file() and suffix in LIST_SUFFIXES:
        published = read_published(path, base)
        if published is not None:
            return published
        return read_list(path, base or path.parent)
    if path.is_file() and suffix == _TOML:
        return read_toml(path, base or path.parent)
    if path.is_file() and suffix == TAR:
        return read_shards([path])
    if path.is_file() and suffix in VIDEO_SUFFIXES:
        return with_captions([path], path)
    known = ", ".join((*LIST_SUFFIXES, _TOML, TAR))
    raise DatasetError(f"{path}: neither a folder, a video, nor a list ({known})")


def _read_folder(folder: Path, base: Path | None) -> list[Clip]:
    for where in (folder, folder / _SPLIT):
        for name in _FOLDER_LISTS:
            if (where / name).is_file():
                clips = read_list(where / name, base or where)
                warn_of_unnamed(clips, base or where, name)
                return clips
    if (folder / _FOLDER_CONFIG).is_file():
        return read_toml(folder / _FOLDER_CONFIG, base or folder)
    for videos, prompts in _PAIRED_LISTS:
        if (folder / videos).is_file() and (folder / prompts).is_file():
            return _read_pair(folder / videos, folder / prompts, base or folder)
    published = read_published(folder, base)
    if published is not None:
        return published
    parts = table_parts(folder)
    if parts:
        return clips_from_rows(folder, table_rows(parts, VIDEO_COLUMNS), base or folder)
    paths = sorted(videos_under(folder), key=lambda path: path.as_posix())
    if paths:
        return with_captions(paths, folder)
    shards = shards_in(folder)
    if shards:
        return read_shards(shards)
    raise DatasetError(
        f"{folder}: no video found in this folder (looked for .mp4, .mov, .mkv, .webm, .avi "
        "and others); " + (zip_hint(folder) or "give a folder of videos or a list of them")
    )


def _read_pair(videos: Path, prompts: Path, base: Path) -> list[Clip]:
    """Two text files whose lines belong together."""
    paths = [line.strip() for line in read_text(videos)[0].split("\n") if line.strip()]
    texts = [line.strip() for line in read_text(prompts)[0].split("\n") if line.strip()]
    if len(paths) != len(texts):
        raise DatasetError(
            f"{videos}: lists {len(paths)} videos but {prompts.name} holds {len(texts)} captions; "
            "give one line of each per clip"
        )
    rows = (
        (i, {"video": p, "prompt": t}) for i, (p, t) in enumerate(zip(paths, texts, strict=True), 1)
    )
    clips = clips_from_rows(videos, rows, base)
    warn_of_unnamed(clips, base, videos.name)
    return clips

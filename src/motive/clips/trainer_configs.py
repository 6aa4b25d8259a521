"""The data-set configurations of musubi-tuner and diffusion-pipe (TOML), read as clips.

Relative paths count from the folder of the configuration. (The trainers count from wherever they
are started, which a reader cannot know; both recommend absolute paths.)
"""

from __future__ import annotations

import logging
import tomllib
from pathlib import Path
from typing import Any

from motive.clips.clip import Clip
from motive.clips.folders import VIDEO_SUFFIXES, warn_of_unnamed, with_captions
from motive.clips.lists import read_list
from motive.errors import DatasetError

_log = logging.getLogger(__name__)


def read_toml(path: Path, base: Path) -> list[Clip]:
    """Clips of all video data sets in one configuration, in its order.

    musubi-tuner: `[[datasets]]` with `video_jsonl_file` or `video_directory` (and
    `caption_extension`, in `[general]` too). diffusion-pipe: `[[directory]]` with `path`. Data sets
    of images are named in a warning and left out.

    Raises:
        DatasetError: Not TOML, neither of the two, or no data set of videos in it.
    """
    try:
        config = tomllib.loads(path.read_text("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not TOML ({error})") from None
    musubi, directories = config.get("datasets"), config.get("directory")
    if isinstance(musubi, list):
        general = config.get("general")
        shared = general if isinstance(general, dict) else {}
        found = [_musubi(path, base, {**shared, **_table(path, entry)}) for entry in musubi]
    elif isinstance(directories, list):
        found = [_directory(path, base, _table(path, entry)) for entry in directories]
    else:
        raise DatasetError(
            f"{path}: neither [[datasets]] (musubi-tuner) nor [[directory]] (diffusion-pipe) in it"
        )
    clips = [clip for part in found for clip in part]
    if not clips:
        raise DatasetError(f"{path}: names no data set of videos; add one")
    return clips


def _table(path: Path, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise DatasetError(f"{path}: {entry!r} is no table; write [[datasets]] or [[directory]]")
    return entry


def _musubi(path: Path, base: Path, entry: dict[str, Any]) -> list[Clip]:
    if isinstance(entry.get("video_jsonl_file"), str):
        listed = base / entry["video_jsonl_file"]
        if not listed.is_file():
            raise DatasetError(f"{path}: video_jsonl_file {listed}: no such file")
        return read_list(listed, listed.parent)
    if isinstance(entry.get("video_directory"), str):
        suffix = str(entry.get("caption_extension") or ".txt")
        return flat_folder(path, base / entry["video_directory"], suffix)
    images = entry.get("image_jsonl_file") or entry.get("image_directory")
    if images:
        _log.warning("%s: %s holds images and is left out", path, images)
        return []
    raise DatasetError(f"{path}: a data set names neither video_jsonl_file nor video_directory")


def _directory(path: Path, base: Path, entry: dict[str, Any]) -> list[Clip]:
    if not isinstance(entry.get("path"), str):
        raise DatasetError(f"{path}: a [[directory]] has no path")
    folder = base / entry["path"]
    captions = folder / "captions.json"
    if not captions.is_file():
        return flat_folder(path, folder, ".txt")
    clips = read_list(captions, folder)
    warn_of_unnamed(clips, folder, captions.name)
    return clips


def flat_folder(path: Path, folder: Path, suffix: str) -> list[Clip]:
    """The videos directly in a folder, with captions of one suffix; `path` names it in errors."""
    if not folder.is_dir():
        raise DatasetError(f"{path}: {folder}: no such folder")
    videos = sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in VIDEO_SUFFIXES and not file.name.startswith(".")
    )
    if not videos:
        raise DatasetError(f"{path}: {folder}: no video in this folder")
    return with_captions(videos, folder, suffix)

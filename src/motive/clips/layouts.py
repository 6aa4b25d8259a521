"""Published data sets as they lie on disk after unpacking: VIDGEN-1M, OpenVid-1M, 4DNeX-10M.

Invariant: the list decides. Every row becomes exactly one clip, whether its video is there or not;
videos that no list names are counted in a warning.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from motive.clips.clip import Clip
from motive.clips.folders import VIDEO_SUFFIXES, read_text, warn_of_unnamed
from motive.clips.lists import VIDEO_COLUMNS, as_text, csv_rows, read_list
from motive.errors import DatasetError

_log = logging.getLogger(__name__)

# The larger list first: OpenVidHD names a part of OpenVid-1M's videos.
_LISTS = ("VidGen_1M_video_caption.json", "OpenVid-1M.csv", "OpenVidHD.csv")
_BELOW = Path("data", "train")  # where the OpenVid-1M repository keeps its lists
_CAPTIONS, _RAW = "caption", "raw"  # 4DNeX-10M
_CAPTIONS_SUFFIX = "_with_caption_upload"


def read_published(path: Path, base: Path | None) -> list[Clip] | None:
    """Clips of a published data set, or None if this is none of them.

    Args:
        path: Folder of the data set, or one of its lists.
        base: Folder in which the videos are searched; by default the data set's.

    Raises:
        DatasetError: A list of such a data set cannot be read.
    """
    if path.is_dir():
        named = next((f for f in _named_lists(path) if f.is_file()), None)
        captions = sorted((path / _CAPTIONS).glob("*.csv")) if (path / _RAW).is_dir() else []
        if named is not None:
            return _read_named(named, base or path)
        is_4dnex = bool(captions) and all(map(_names_no_video, captions))
        return _read_4dnex(captions, base or path) if is_4dnex else None
    place = path.absolute()
    if path.name in _LISTS:
        inside = place.parts[-3:-1] == _BELOW.parts
        return _read_named(path, base or (place.parents[2] if inside else path.parent))
    root = place.parents[1] if len(place.parts) > 2 else place.parent
    in_4dnex = path.suffix == ".csv" and place.parent.name == _CAPTIONS and (root / _RAW).is_dir()
    return _read_4dnex([path], base or root) if in_4dnex and _names_no_video(path) else None


def zip_hint(folder: Path) -> str:
    """What to do about the zip archives directly in a folder; "" if there is none."""
    count = sum(path.suffix.lower() == ".zip" for path in folder.iterdir())
    return f"{count} zip archives in it are not read; unpack them" if count else ""


def _named_lists(folder: Path) -> Iterable[Path]:
    return (where / name for name in _LISTS for where in (folder, folder / _BELOW))


def _names_no_video(path: Path) -> bool:
    """Whether no column of a CSV names videos, so that it is no ordinary list."""
    with path.open(encoding="utf-8", errors="replace") as file:
        columns = re.split("[,;\t]", file.readline())
    return {column.strip(' "\ufeff\n').lower() for column in columns}.isdisjoint(VIDEO_COLUMNS)


def _read_named(path: Path, root: Path) -> list[Clip]:
    """VIDGEN-1M and OpenVid-1M: bare file names, in whatever folder the archives were unpacked."""
    hint = zip_hint(root) if root.is_dir() else ""
    if hint:
        _log.warning("%s: %s", root, hint)
    clips = read_list(path, root, search=True)
    warn_of_unnamed(clips, root, path.name)
    return clips


def _read_4dnex(lists: list[Path], root: Path) -> list[Clip]:
    """4DNeX-10M: `caption/SUBSET_with_caption_upload.csv` with the columns number and caption.

    Video 28 of dynamic_1 is `raw/dynamic/dynamic_1/00000028.mp4`; the other spelling in use,
    `caption/dynamic1.csv` with `raw/dynamic1`, is read too. Scenes of static_1 are folders of
    images: they stay in the list and fail when they are decoded.
    """
    clips = [clip for path in lists for clip in _subset(path, root)]
    what = f"{len(lists)} lists" if len(lists) > 1 else lists[0].name
    warn_of_unnamed(clips, root / _RAW, what)
    return clips


def _subset(path: Path, root: Path) -> list[Clip]:
    name = path.stem.removesuffix(_CAPTIONS_SUFFIX)
    folder = _subset_folder(root / _RAW, name)
    found = _numbered(folder)
    text = read_text(path)[0]
    clips = []
    for line, row in csv_rows(path, text) if text.strip() else ():
        row = {str(key).strip(): value for key, value in row.items()}
        if not {"number", "caption"} <= row.keys():
            columns = ", ".join(row)
            raise DatasetError(
                f"{path}: a list of 4DNeX-10M has the columns number and caption (found: {columns})"
            )
        number, caption = as_text(row["number"]), as_text(row.pop("caption"))
        stem = number.zfill(8) if number.isdecimal() else number
        source = found.get(stem.lstrip("0"), folder / f"{stem}.mp4")
        extra = {"subset": name, **row}
        clips.append(Clip(str(source) if number else "", caption, row=line, extra=extra))
    if not clips:
        raise DatasetError(f"{path}: the list has no row; download it again")
    images = sum(place.is_dir() for place in found.values())
    if images:
        _log.warning("%s: %d scenes are folders of images, which are not read", folder, images)
    return clips


def _subset_folder(raw: Path, name: str) -> Path:
    """Folder of a subset directly below raw/ or one deeper; where it should be if there is none."""
    wanted = name.replace("_", "").lower()
    for pattern in ("*", "*/*"):
        for place in sorted(raw.glob(pattern)):
            if place.name.replace("_", "").lower() == wanted and place.is_dir():
                return place
    return raw / re.sub(r"_?\d+$", "", name) / name


def _numbered(folder: Path) -> dict[str, Path]:
    """Videos, or folders of images, of a subset by their number without leading zeros."""
    places = sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []
    return {
        place.stem.lstrip("0"): place
        for place in places
        if place.stem.isdecimal() and (place.suffix.lower() in VIDEO_SUFFIXES or place.is_dir())
    }

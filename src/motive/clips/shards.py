"""WebDataset shards: tar files in which neighbours of the same key are one sample.

The key of a member is its path up to the first dot of its file name, the rest is its kind:
`a/000017.mp4`, `a/000017.txt` and `a/000017.json` are one sample. Videos stay in the archive and
are read there (`motive.clips.archive`).
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from motive.clips.archive import TAR, tar_members
from motive.clips.clip import Clip
from motive.clips.folders import VIDEO_SUFFIXES
from motive.clips.lists import CAPTION_COLUMNS, LABEL_COLUMNS, as_text
from motive.errors import DatasetError

_TEXTS = ("txt", "caption", "text", "prompt")
_MOST_TEXT = 1 << 24  # bytes; a longer "text" is something else


def shards_in(folder: Path) -> list[Path]:
    """The tar files directly in a folder, in sorted order."""
    return sorted(path for path in folder.glob(f"*{TAR}") if path.is_file())


def read_shards(shards: Iterable[Path]) -> list[Clip]:
    """One clip per sample, in the order of the shards.

    Members without a dot in their name, and those that WebDataset keeps for itself (`__name__`),
    are no part of a sample. A sample without a video stays, and fails when it is decoded.

    Raises:
        DatasetError: A shard is no plain tar, lists a file twice, or holds no sample, or the text
            of a sample cannot be read.
    """
    clips: list[Clip] = []
    for shard in shards:
        before = len(clips)
        for key, kinds in _samples(shard):
            clips.append(_clip(shard, key, kinds, len(clips) + 1))
        if len(clips) == before:
            raise DatasetError(f"{shard}: holds no sample; is it a WebDataset shard?")
    return clips


def _samples(shard: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """(key, {kind: member name, or content if it is text}) of each sample."""
    current, kinds = "", dict[str, str]()
    for member, tar in tar_members(shard):
        parts = split_key(member.name)
        if parts is None:
            continue
        key, kind = parts
        if kinds and key != current:
            yield current, kinds
            kinds = {}
        current = key
        if kind in kinds:
            raise DatasetError(f"{shard}: lists {member.name} twice; make the shard again")
        is_text = kind in (*_TEXTS, "json")
        kinds[kind] = _text(shard, member, tar) if is_text else member.name
    if kinds:
        yield current, kinds


def split_key(name: str) -> tuple[str, str] | None:
    """(key, kind in lower case) of a member, or None if it is no part of a sample.

    Example:
        >>> split_key("a.b/000017.left.MP4"), split_key("README")
        (('a.b/000017', 'left.mp4'), None)
    """
    name = PurePosixPath(name).as_posix()
    found = re.fullmatch(r"((?:.*/)?[^./]+)\.([^/]*)", name, re.DOTALL)
    if found is None or re.match(r"__[^/]*__($|/)", name):
        return None
    return found[1], found[2].lower()


def _text(shard: Path, member: tarfile.TarInfo, tar: tarfile.TarFile) -> str:
    file = tar.extractfile(member) if member.size <= _MOST_TEXT else None
    if file is None:
        raise DatasetError(f"{shard}: {member.name}: too large for a text ({member.size} bytes)")
    try:
        return file.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{shard}: {member.name} is not UTF-8; make the shard again") from None


def _clip(shard: Path, key: str, kinds: dict[str, str], row: int) -> Clip:
    videos = [name for kind, name in kinds.items() if f".{kind.split('.')[-1]}" in VIDEO_SUFFIXES]
    facts: dict[str, Any] = {}
    if "json" in kinds:
        try:
            facts = json.loads(kinds["json"])
        except (json.JSONDecodeError, RecursionError) as error:
            raise DatasetError(f"{shard}: {key}.json is not JSON ({error})") from None
        if not isinstance(facts, dict):
            raise DatasetError(f"{shard}: {key}.json is not an object")
    texts: list[Any] = [kinds[kind] for kind in _TEXTS if kind in kinds]
    texts += [facts[name] for name in CAPTION_COLUMNS if name in facts]
    label = next((facts[name] for name in LABEL_COLUMNS if name in facts), None)
    member = PurePosixPath(videos[0]).as_posix() if videos else f"{key}.mp4"
    return Clip(
        source=f"{shard}/{member}",
        caption=as_text(texts[0]) if texts else "",
        label=as_text(label) or None,
        row=row,
        extra=facts,
    )

"""WebDataset: `train-000000.tar`, ... with a video, a .txt and a .json per clip.

As `webdataset/tariterators.py` and the `webdataset` builder of `datasets` read it: neighbours whose
names agree up to the first dot are one sample; the rest of the name is the field. The builder wants
the same fields in every sample, so one export has one kind of container. New shards and not a
filter over old ones, because a tenth of a stream is read at a tenth of its speed.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from motive.clips.archive import TAR, open_source, stat_source
from motive.clips.shards import shards_in
from motive.errors import ClipError, UsageError
from motive.exports.protocol import Export, Format, Placed, Progress
from motive.exports.videos import write_standard
from motive.files import whole_file


def _check(export: Export) -> None:
    kinds = sorted({clip.path.suffix for clip in export.clips})
    if len(kinds) > 1:
        raise UsageError(
            f"clips come as {', '.join(kinds)}, but all samples of a WebDataset have the same "
            "fields; use --videos standard"
        )


def _pack(export: Export, report: Progress) -> dict[str, str]:
    """Write the shards that are not there yet, each whole or not at all."""
    failed: dict[str, str] = {}
    shards: dict[Path, list[Placed]] = {}
    for clip in export.clips:
        shards.setdefault(clip.path.parent, []).append(clip)
    for extra in set(shards_in(export.out)) - set(shards):
        extra.unlink()  # of the same export, before clips were left out
    done = 0
    for shard, clips in shards.items():
        if not _holds(shard, clips):
            with whole_file(shard) as partial, tarfile.open(partial, "w") as tar:
                for clip in clips:
                    try:
                        _add_sample(tar, clip, export)
                    except ClipError as error:
                        failed[clip.item.clip_id] = str(error)
        done += len(clips)
        report("writing shards", done, len(export.clips))
    return failed


def _holds(shard: Path, clips: list[Placed]) -> bool:
    """Whether the shard is there with exactly these samples."""
    if not shard.is_file():
        return False
    try:
        with tarfile.open(shard, "r:") as tar:
            return tar.getnames() == [name for clip in clips for name in _members(clip)]
    except (tarfile.TarError, OSError):
        return False


def _members(clip: Placed) -> tuple[str, str, str]:
    return clip.path.name, f"{clip.name}.txt", f"{clip.name}.json"


def _add_sample(tar: tarfile.TarFile, clip: Placed, export: Export) -> None:
    item = clip.item
    facts = {
        "clip_id": item.clip_id,
        "caption": item.clip.caption,
        "label": item.clip.label or "",  # one type for all, which the builder infers from the first
        **item.facts,
        "scores": dict(item.scores),
    }
    video, text, details = _members(clip)
    with _video(clip, export) as (file, size):
        _add(tar, video, file, size)
    for name, content in ((text, item.clip.caption), (details, json.dumps(facts))):
        data = content.encode("utf-8")
        _add(tar, name, io.BytesIO(data), len(data))


def _add(tar: tarfile.TarFile, name: str, file: BinaryIO, size: int) -> None:
    entry = tarfile.TarInfo(name)  # no owner and no time: the same clips give the same bytes
    entry.size = size
    tar.addfile(entry, file)


@contextmanager
def _video(clip: Placed, export: Export) -> Iterator[tuple[BinaryIO, int]]:
    """The bytes of one video, and how many they are."""
    if export.videos == "copy":
        source = clip.item.clip.source
        with open_source(source) as file:
            yield file, stat_source(source).size
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_standard(clip.item, path, export.standard)
        with path.open("rb") as file:
            yield file, path.stat().st_size


def _write(export: Export) -> None:
    """Everything is in the shards."""


def _command(export: Export) -> str:
    last = max(clip.path.parent.name for clip in export.clips).removesuffix(TAR)[-6:]
    return (
        f'webdataset.WebDataset("{export.name_of()}/train-{{000000..{last}}}{TAR}"'
        ", shardshuffle=False)\n"
        f'datasets.load_dataset("webdataset", data_dir={export.name_of()!r}, split="train",'
        " streaming=True)"
    )


FORMAT = Format(
    key="webdataset",
    name="WebDataset",
    about="tar shards of a video, a .txt and a .json per clip",
    videos=("copy", "standard"),
    write=_write,
    command=_command,
    opaque_names=True,
    pack=_pack,
    check=_check,
)

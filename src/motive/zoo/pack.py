"""The rendered clips inside the package: the demo needs no physics engine and no download."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
import zipfile
from importlib import resources
from pathlib import Path, PurePosixPath

from motive.errors import DatasetError
from motive.files import whole_file

PACK = "assets/motionzoo-demo.zip"
_MARK = ".pack"  # holds the digest of the archive a folder was unpacked from


def unpack_demo_clips(folder: Path) -> Path:
    """Unpack the shipped MotionZoo clips; does nothing if they are already there.

    Args:
        folder: Gets `candidates/` and `queries/`, each with clips and metadata.jsonl.

    Returns:
        The folder.

    Raises:
        DatasetError: The package was built without its clips, or the archive is damaged.
    """
    archive = resources.files("motive.zoo") / PACK
    if not archive.is_file():
        raise DatasetError("the demo clips are missing from this installation; install it again")
    with resources.as_file(archive) as path:
        digest = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
        mark = folder / _MARK
        if mark.exists() and mark.read_text("utf-8") == digest:
            return folder
        partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
        try:
            _extract(path, partial)
            (partial / _MARK).write_text(digest, "utf-8")
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def pack_clips(sources: dict[str, Path], archive: Path) -> int:
    """Write data set folders into one archive, reproducibly; returns the number of files.

    Args:
        sources: Name inside the archive -> MotionZoo folder.
        archive: The .zip to write.
    """
    count = 0
    with whole_file(archive) as partial, zipfile.ZipFile(partial, "w") as file:
        for name, source in sorted(sources.items()):
            for path in sorted([source / "metadata.jsonl", *(source / "clips").glob("*.mp4")]):
                # A fixed date: the same clips give the same bytes.
                info = zipfile.ZipInfo(f"{name}/{path.relative_to(source).as_posix()}")
                info.compress_type = (
                    zipfile.ZIP_DEFLATED if path.suffix == ".jsonl" else zipfile.ZIP_STORED
                )
                file.writestr(info, path.read_bytes())
                count += 1
    return count


def _extract(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                parts = PurePosixPath(name).parts
                if PurePosixPath(name).is_absolute() or ".." in parts:
                    raise DatasetError(f"{archive}: unsafe path {name!r} in the archive")
            file.extractall(folder)
    except zipfile.BadZipFile:
        raise DatasetError(f"{archive}: damaged archive; install the package again") from None

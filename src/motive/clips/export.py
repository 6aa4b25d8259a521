"""Write clips as the list that DiffSynth-Studio reads, and paths as lists name them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from motive.clips.clip import Clip
from motive.files import whole_file


def write_diffsynth_jsonl(
    path: str | os.PathLike[str], clips: Iterable[Clip], base: str | os.PathLike[str] | None = None
) -> None:
    """Write clips as DiffSynth-Studio metadata: one `{"video": ..., "prompt": ...}` per line.

    A span cannot be said in that format: the trainer takes the first frames of each file.

    Args:
        path: File to write, replaced if it exists; its folder is made if missing.
        clips: What to write, in this order.
        base: The trainer's `--dataset_base_path`. Videos below it are written relative to it, with
            forward slashes; all others, and all if it is None, as absolute paths.

    Raises:
        MotiveError: The file cannot be written.
    """
    # ASCII, because the trainer opens the file in whatever encoding its system prefers.
    lines = [
        json.dumps({"video": listed_path(clip.source, base), "prompt": clip.caption})
        for clip in clips
    ]
    with whole_file(path) as partial:
        partial.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def listed_path(path: str | os.PathLike[str], base: str | os.PathLike[str] | None) -> str:
    """A path as lists name it, with forward slashes: relative if below `base`, else absolute."""
    absolute = Path(os.path.abspath(path))
    if base is not None:
        root = Path(os.path.abspath(base))
        if absolute.is_relative_to(root):
            return absolute.relative_to(root).as_posix()
    return absolute.as_posix()

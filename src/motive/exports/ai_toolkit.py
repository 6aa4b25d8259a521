"""ai-toolkit: a folder of videos with a .txt each, or `captions.json` with the paths as keys.

As `toolkit/data_loader.py` reads it: a path that is no folder is opened as JSON,
`{absolute path: {"caption": ...}}`; `num_frames` above 1 makes a data set of videos; caches and
sizes are written beside the videos, which is why links are the default here. With
`shrink_video_to_frames` the whole file is squeezed into `num_frames`: right for a file of exactly
that many frames, and a change of speed for any other.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import yaml

from motive.errors import UsageError
from motive.exports.diffusion_pipe import write_captions
from motive.exports.protocol import CLIPS, Export, Format
from motive.exports.texts import write_json, write_text

_LIST, _CONFIG = "captions.json", "dataset.yaml"


def _check(export: Export) -> None:
    paths = Counter(clip.path for clip in export.clips)
    path, times = paths.most_common(1)[0]
    if times > 1:
        raise UsageError(
            f"{path}: is in the selection {times} times with different captions, and ai-toolkit's "
            "list has one per file; use --videos link, copy or standard"
        )


def _write(export: Export) -> None:
    standard = export.standard
    where: dict[str, Any]
    if export.videos == "reference":
        captions = {clip.path.as_posix(): {"caption": clip.caption} for clip in export.clips}
        write_json(export.out / _LIST, captions, ascii_only=True)
        where = {"dataset_path": export.name_of(_LIST)}
    else:
        write_captions(export)
        where = {"folder_path": export.name_of(CLIPS), "caption_ext": "txt"}
    entry = {
        **where,
        "num_frames": standard.frames,
        "shrink_video_to_frames": export.videos == "standard",
        "fps": _whole(standard.fps),
        "resolution": [round(math.sqrt(standard.height * standard.width))],
        "cache_latents_to_disk": True,
    }
    head = "# Written by motive. One entry of config: process: - datasets: of ai-toolkit.\n"
    write_text(export.out / _CONFIG, head + yaml.safe_dump([entry], sort_keys=False))


def _whole(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _command(export: Export) -> str:
    return "\n".join(
        (
            f"# copy the entry of {export.name_of(_CONFIG)} into datasets: of your configuration",
            "# (start from config/examples/train_lora_wan21_1b_24gb.yaml)",
            "python run.py config/your_config.yml",
        )
    )


FORMAT = Format(
    key="ai-toolkit",
    name="ai-toolkit",
    about="a folder of videos with a .txt each (or captions.json), and dataset.yaml",
    videos=("link", "reference", "copy", "standard"),
    write=_write,
    check=_check,
    command=_command,
    suffixes=frozenset((".mp4", ".avi", ".mov", ".webm", ".mkv", ".wmv", ".m4v", ".flv")),
    own_rate="steps by a whole number of their frames from a random start",
)

"""diffusion-pipe: a flat folder of videos with a .txt each, and `dataset.toml` outside of it.

As `utils/dataset.py` reads it: every file directly in the folder that is no .txt, .json, ... is
taken for media, hidden ones too, so nothing else may lie there; a clip without a caption file is
skipped (an empty one is fine); videos are re-timed to the model's rate, and those with fewer frames
than the bucket are skipped. Caches go into the folder, so each selection has its own.
"""

from __future__ import annotations

from shlex import quote

from motive.clips import ClipStandard, VideoFacts
from motive.exports.protocol import CLIPS, Export, Format, frame_count
from motive.exports.texts import toml_string, write_text

_CONFIG = "dataset.toml"
# Those of imageio's video extensions that MOTIVE reads; the trainer opens all others as images.
# fmt: off
_SUFFIXES = frozenset((
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts",
    ".wmv", ".asf", ".flv", ".f4v", ".ogv", ".3gp", ".vob", ".y4m", ".mxf",
))
# fmt: on


def _write(export: Export) -> None:
    write_captions(export)
    standard = export.standard
    lines = [
        "# Written by motive. Options: examples/dataset.toml of diffusion-pipe.",
        "# width, height, frames",
        f"size_buckets = [[{standard.width}, {standard.height}, {standard.frames}]]",
        "",
        "[[directory]]",
        f"path = {toml_string(export.name_of(CLIPS))}",
        "num_repeats = 1",
    ]
    write_text(export.out / _CONFIG, "\n".join(lines) + "\n")


def write_captions(export: Export) -> None:
    """A .txt beside each video, also for an empty caption."""
    for clip in export.clips:
        write_text(clip.path.with_suffix(".txt"), clip.caption)


def _command(export: Export) -> str:
    return "\n".join(
        (
            f"# in the training configuration: dataset = {toml_string(export.name_of(_CONFIG))}",
            'NCCL_P2P_DISABLE="1" NCCL_IB_DISABLE="1" deepspeed --num_gpus=1 train.py --deepspeed'
            f" --config {quote('path/to/config.toml')}",
        )
    )


def _frames(video: VideoFacts, standard: ClipStandard) -> int | None:
    """`_metadata_map_fn`: int(frames · model rate / source rate)."""
    count = frame_count(video)
    return None if count is None or not video.fps else int(count * standard.fps / video.fps)


FORMAT = Format(
    key="diffusion-pipe",
    name="diffusion-pipe",
    about="a folder of videos with a .txt each, and dataset.toml",
    videos=("link", "copy", "standard"),
    write=_write,
    command=_command,
    suffixes=_SUFFIXES,
    frames_read=_frames,
    when_short="skips them",
)

"""VideoX-Fun: `metadata.json` (and the same as CSV) with `file_path`, `text`, `type` and the size.

As `videox_fun/data/dataset_image_video.py` reads it: `file_path` is joined to `--train_data_dir`;
rows without `type` "video" are opened as images; a clip that fails is silently replaced by another
one; frames are taken every `--video_sample_stride` (2 in its scripts) from a random start.
"""

from __future__ import annotations

import csv
from collections import Counter
from shlex import quote
from typing import Any

from motive.clips import ClipStandard, VideoFacts
from motive.exports.protocol import Export, Format, frame_count
from motive.exports.texts import write_json
from motive.files import whole_file

_JSON, _CSV = "metadata.json", "metadata.csv"
_COLUMNS = ("file_path", "text", "type", "width", "height")


def _write(export: Export) -> None:
    rows: list[dict[str, Any]] = [
        {
            "file_path": export.listed(clip.path),
            "text": clip.caption,
            "type": "video",
            "width": clip.video.width,
            "height": clip.video.height,
        }
        for clip in export.clips
    ]
    write_json(export.out / _JSON, rows, ascii_only=True)
    with (
        whole_file(export.out / _CSV) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _command(export: Export) -> str:
    size = min(export.standard.height, export.standard.width)
    strides = Counter(_stride(clip.video, export.standard) for clip in export.clips)
    return (
        'accelerate launch --mixed_precision="bf16" scripts/wan2.1/train.py'
        " --config_path=config/wan2.1/wan_civitai.yaml"
        " --pretrained_model_name_or_path=models/Diffusion_Transformer/Wan2.1-T2V-1.3B"
        f" --train_data_dir={quote(export.name_of())}"
        f" --train_data_meta={quote(export.name_of(_JSON))}"
        f" --image_sample_size={size} --video_sample_size={size} --token_sample_size={size}"
        f" --video_sample_stride={strides.most_common(1)[0][0]}"
        f" --video_sample_n_frames={export.standard.frames}"
        " --train_batch_size=1 --video_repeat=1 --gradient_accumulation_steps=1"
        " --learning_rate=2e-05 --num_train_epochs=100 --seed=42 --output_dir=output_selection"
        " --gradient_checkpointing --enable_bucket --uniform_sampling --train_mode=normal"
        ' --trainable_modules "."'
    )


def _stride(video: VideoFacts, standard: ClipStandard) -> int:
    return max(1, round(video.fps / standard.fps))


def _frames(video: VideoFacts, standard: ClipStandard) -> int | None:
    """`get_batch`: int(frames // stride), at most the number asked for."""
    count = frame_count(video)
    return None if count is None else min(standard.frames, count // _stride(video, standard))


FORMAT = Format(
    key="videox-fun",
    name="VideoX-Fun",
    about="metadata.json and metadata.csv with file_path, text, type, width and height",
    videos=("reference", "link", "copy", "standard"),
    write=_write,
    command=_command,
    frames_read=_frames,
    when_short="trains on fewer",
    own_rate="takes every n-th frame (--video_sample_stride) from a random start",
)

"""Hugging Face VideoFolder, and finetrainers, which loads it: `metadata.jsonl` beside the videos.

As the `videofolder` builder of `datasets` reads it: `file_name` must be a relative path below the
list's own folder; only .mkv, .mp4, .avi, .mpeg and .mov are videos; and a "test", "val", "dev" or
"eval" in any file name makes a split of it, which is why files are named by clip id. finetrainers
takes the columns `video` (from `file_name`) and `caption`, and a configuration of its data sets.
"""

from __future__ import annotations

from shlex import quote
from typing import Any

from motive.clips import ClipStandard, VideoFacts
from motive.exports.protocol import Export, Format, Placed, Videos, frame_count
from motive.exports.texts import write_json, write_jsonl

_LIST = "metadata.jsonl"
_CONFIG = "finetrainers.json"  # not "training.json": that name would make it the "train" split
_SUFFIXES = frozenset((".mkv", ".mp4", ".avi", ".mpeg", ".mov"))
_VIDEOS: tuple[Videos, ...] = ("link", "copy", "standard")


def _write(export: Export) -> None:
    rows = ({**_row(export, clip), **_facts(clip)} for clip in export.clips)
    write_jsonl(export.out / _LIST, rows, ascii_only=False)


def _row(export: Export, clip: Placed) -> dict[str, Any]:
    return {"file_name": export.listed(clip.path), "caption": clip.caption}


def _facts(clip: Placed) -> dict[str, Any]:
    label = clip.item.clip.label
    known = {} if label is None else {"label": label}
    return {"clip_id": clip.item.clip_id, **known, **clip.item.facts}


def _write_finetrainers(export: Export) -> None:
    rows = (_row(export, clip) for clip in export.clips)
    write_jsonl(export.out / _LIST, rows, ascii_only=False)
    standard = export.standard
    entry = {
        "data_root": export.name_of(),
        "dataset_type": "video",
        "video_resolution_buckets": [[standard.frames, standard.height, standard.width]],
        "reshape_mode": "resize_crop",  # as clips were cut for scoring
        "remove_common_llm_caption_prefixes": False,
    }
    write_json(export.out / _CONFIG, {"datasets": [entry]}, ascii_only=True)


def _command(export: Export) -> str:
    return f'datasets.load_dataset("videofolder", data_dir={export.name_of()!r}, split="train")'


def _command_finetrainers(export: Export) -> str:
    return (
        "torchrun --standalone --nnodes=1 --nproc_per_node=1 train.py --parallel_backend ptd"
        " --model_name wan --pretrained_model_name_or_path Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
        f" --dataset_config {quote(export.name_of(_CONFIG))} --dataset_shuffle_buffer_size 10"
        " --flow_weighting_scheme logit_normal --training_type lora --rank 32 --lora_alpha 32"
        ' --target_modules "blocks.*(to_q|to_k|to_v|to_out.0)" --batch_size 1'
        " --train_steps 3000 --gradient_checkpointing --optimizer adamw --lr 5e-5"
        " --output_dir output_selection"
    )


def _frames(video: VideoFacts, standard: ClipStandard) -> int | None:
    """`resize_to_nearest_bucket_video`: all of them, if they are fewer than the bucket's."""
    return frame_count(video)


VIDEOFOLDER = Format(
    key="videofolder",
    name="Hugging Face VideoFolder",
    about="metadata.jsonl with file_name, caption, rank, votes and scores",
    videos=_VIDEOS,
    write=_write,
    command=_command,
    suffixes=_SUFFIXES,
    opaque_names=True,
)
FINETRAINERS = Format(
    key="finetrainers",
    name="finetrainers",
    about="metadata.jsonl with file_name and caption, and finetrainers.json",
    videos=_VIDEOS,
    write=_write_finetrainers,
    command=_command_finetrainers,
    suffixes=_SUFFIXES,
    opaque_names=True,
    frames_read=_frames,
    when_short="trains on fewer",
    own_rate="spreads its frames over the whole file",
)

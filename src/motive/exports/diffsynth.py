"""DiffSynth-Studio: `metadata.jsonl` with `video` and `prompt`.

As `diffsynth/core/data/unified_dataset.py` reads it: one JSON object per line; `video` is joined
to `--dataset_base_path`; the suffix decides how it is opened; the first `--num_frames` frames are
taken at the file's own rate. JSONL and not CSV, because pandas turns an empty prompt into a number.
"""

from __future__ import annotations

import dataclasses
from shlex import quote

from motive.clips import ClipStandard, VideoFacts, write_diffsynth_jsonl
from motive.exports.protocol import Export, Format, frame_count

_LIST = "metadata.jsonl"


def _write(export: Export) -> None:
    clips = [dataclasses.replace(c.item.clip, source=str(c.path)) for c in export.clips]
    write_diffsynth_jsonl(export.out / _LIST, clips, base=export.out)


def _command(export: Export) -> str:
    model = "Wan-AI/Wan2.1-T2V-1.3B"
    parts = (
        "diffusion_pytorch_model*.safetensors",
        "models_t5_umt5-xxl-enc-bf16.pth",
        "Wan2.1_VAE.pth",
    )
    models = ",".join(f"{model}:{part}" for part in parts)
    return (
        "accelerate launch examples/wanvideo/model_training/train.py"
        f" --dataset_base_path {quote(export.name_of())}"
        f" --dataset_metadata_path {quote(export.name_of(_LIST))}"
        f" --height {export.standard.height} --width {export.standard.width}"
        f" --num_frames {export.standard.frames}"
        f" --model_id_with_origin_paths {quote(models)}"
        " --learning_rate 1e-5 --num_epochs 2 --remove_prefix_in_ckpt pipe.dit."
        " --output_path models/train/selection --trainable_models dit"
    )


def _frames(video: VideoFacts, standard: ClipStandard) -> int | None:
    """`get_num_frames`: as many as there are, down to 4k + 1."""
    count = frame_count(video)
    return None if count is None else max(1, (min(count, standard.frames) - 1) // 4 * 4 + 1)


FORMAT = Format(
    key="diffsynth",
    name="DiffSynth-Studio",
    about="metadata.jsonl with video and prompt",
    videos=("reference", "link", "copy", "standard"),
    write=_write,
    command=_command,
    suffixes=frozenset((".mp4", ".avi", ".mov", ".wmv", ".mkv", ".flv", ".webm", ".gif")),
    frames_read=_frames,
    when_short="trains on fewer",
    own_rate="takes their first frames at their own rate, so they move faster or slower",
)

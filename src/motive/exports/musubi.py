"""musubi-tuner: `dataset.toml` and one JSONL of `video_path` and `caption` per source frame rate.

As `musubi_tuner/dataset` reads it: `source_fps` holds for a whole `[[datasets]]` table and drops
frames to reach the model's 16, so files of different rates need tables of their own; each table
needs its own `cache_directory`; caches are named by the file's stem alone, so two files of one stem
in different folders would share a cache (which is why references of equal stems are refused); and
clips that give fewer than `target_frames` frames are left out without a word.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from shlex import quote

from motive.clips import ClipStandard, VideoFacts
from motive.errors import UsageError
from motive.exports.protocol import Export, Format, Placed, frame_count
from motive.exports.texts import toml_string, write_jsonl, write_text

_CONFIG = "dataset.toml"
_MODEL_FPS = 16.0  # VideoDataset.TARGET_FPS_WAN
_GLOB = "[]*?"


def _check(export: Export) -> None:
    if any(letter in str(export.out) for letter in _GLOB):
        raise UsageError(
            f"{export.out}: musubi-tuner finds no cache below a folder with one of {_GLOB} in its "
            "path; give another --out"
        )
    stems = Counter(clip.path.stem for clip in export.clips)
    stem, times = stems.most_common(1)[0]
    if times > 1:
        raise UsageError(
            f"{times} clips have files called {stem}, and musubi-tuner would cache them as one; "
            "use --videos link, copy or standard"
        )


def _write(export: Export) -> None:
    standard = export.standard
    lines = [
        "# Written by motive. Options: docs/dataset_config.md of musubi-tuner.",
        "[general]",
        f"resolution = [{standard.width}, {standard.height}]",
        "enable_bucket = true",
        "batch_size = 1",
        "num_repeats = 1",
    ]
    groups = _by_rate(export)
    for rate, clips in groups.items():
        part = "clips" if len(groups) == 1 else f"clips-{rate:g}fps"
        rows = ({"video_path": c.path.as_posix(), "caption": c.caption} for c in clips)
        write_jsonl(export.out / f"{part}.jsonl", rows, ascii_only=False)
        lines += [
            "",
            "[[datasets]]",
            f"video_jsonl_file = {toml_string(export.name_of(f'{part}.jsonl'))}",
            f"cache_directory = {toml_string(export.name_of('cache', part))}",
            f"target_frames = [{standard.frames}]",
            'frame_extraction = "head"',
        ]
        if not math.isclose(rate, standard.fps, rel_tol=1e-3):
            # The trainer keeps 16 / source_fps of the frames; this keeps standard.fps / rate.
            lines.append(f"source_fps = {float(rate * _MODEL_FPS / standard.fps)!r}")
    write_text(export.out / _CONFIG, "\n".join(lines) + "\n")


def _by_rate(export: Export) -> dict[float, list[Placed]]:
    """Clips by frames per second, to 1/100; all of them where videos are standardised."""
    groups: dict[float, list[Placed]] = {}
    for clip in export.clips:
        rate = round(clip.video.fps, 2) or export.standard.fps  # unknown: taken as it is
        groups.setdefault(rate, []).append(clip)
    return groups


def _command(export: Export) -> str:
    config = quote(export.name_of(_CONFIG))
    return "\n".join(
        (
            f"python src/musubi_tuner/wan_cache_latents.py --dataset_config {config}"
            " --vae path/to/wan_vae.safetensors",
            f"python src/musubi_tuner/wan_cache_text_encoder_outputs.py --dataset_config {config}"
            " --t5 path/to/models_t5_umt5-xxl-enc-bf16.pth --batch_size 16",
            "accelerate launch --num_cpu_threads_per_process 1 --mixed_precision bf16"
            " src/musubi_tuner/wan_train_network.py --task t2v-1.3B"
            f" --dit path/to/wan2.1_xxx_bf16.safetensors --dataset_config {config}"
            " --sdpa --mixed_precision bf16 --fp8_base --optimizer_type adamw8bit"
            " --learning_rate 2e-4 --gradient_checkpointing --network_module networks.lora_wan"
            " --network_dim 32 --timestep_sampling shift --discrete_flow_shift 3.0"
            " --max_train_epochs 16 --seed 42 --output_dir path/to/output_dir"
            " --output_name selection",
        )
    )


def _frames(video: VideoFacts, standard: ClipStandard) -> int | None:
    """`load_video`: a frame is kept when int(i · target / source) changes, up to the target."""
    count = frame_count(video)
    if count is None or not video.fps:
        return count
    if math.isclose(video.fps, standard.fps, rel_tol=1e-3):
        return count
    return len(kept_frames(count, standard.fps / video.fps, standard.frames))


def kept_frames(count: int, step: float, most: int) -> Sequence[int]:
    """Frames of `count` that musubi-tuner keeps for a step of target over source rate.

    Example:
        >>> list(kept_frames(8, 0.5, 81)), len(kept_frames(1000, 4 / 3, 81))
        ([0, 2, 4, 6], 61)
    """
    kept: list[int] = []
    position, before = 0.0, -1
    for frame in range(count):
        target = int(position)
        position += step
        if target == before:
            continue
        before = target
        if target >= most:
            break
        kept.append(frame)
    return kept


FORMAT = Format(
    key="musubi-tuner",
    name="musubi-tuner",
    about="dataset.toml and a JSONL of video_path and caption per frame rate",
    videos=("link", "reference", "copy", "standard"),
    write=_write,
    command=_command,
    check=_check,
    frames_read=_frames,
    when_short="leaves them out",
)

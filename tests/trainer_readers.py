"""How the trainers read their data, written anew from their sources and documentation.

Independent of MOTIVE on purpose: nothing here may import it. Versions that were read stand in
`docs/exports.md`. Every reader gives (path of the file that is opened, caption) in order.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tarfile
import tomllib
from pathlib import Path

import av
import pyarrow.json

# -- DiffSynth-Studio: diffsynth/core/data/unified_dataset.py, operators.py ------------------------

_DIFFSYNTH_SUFFIXES = ("mp4", "avi", "mov", "wmv", "mkv", "flv", "webm", "gif")


def diffsynth(base: str, metadata: str) -> list[tuple[str, str]]:
    """`UnifiedDataset.load_metadata` and `ToAbsolutePath`, with the poorest locale there is."""
    assert metadata.endswith(".jsonl")
    with open(metadata, encoding="ascii") as file:
        rows = [json.loads(line.strip()) for line in file]
    for row in rows:
        assert row["video"].split(".")[-1].lower() in _DIFFSYNTH_SUFFIXES
    return [(os.path.join(base, row["video"]), row["prompt"]) for row in rows]


# -- musubi-tuner: dataset/config_utils.py, datasources.py, media_utils.py, image_video_dataset.py -

_MUSUBI_TABLE = {
    "video_directory": str, "video_jsonl_file": str, "control_directory": str,
    "target_frames": list, "frame_extraction": str, "frame_stride": int, "frame_sample": int,
    "max_frames": int, "cache_directory": str, "source_fps": float, "fp_latent_window_size": int,
    "caption_extension": str, "batch_size": int, "num_repeats": int, "resolution": list,
    "enable_bucket": bool, "bucket_no_upscale": bool,
}  # fmt: skip
_MUSUBI_GENERAL = ("caption_extension", "batch_size", "num_repeats", "resolution", "enable_bucket",
                   "bucket_no_upscale")  # fmt: skip
WAN_FPS = 16.0


def musubi_tables(config: Path) -> list[dict]:
    """The schema of voluptuous: unknown keys and other types are refused."""
    loaded = tomllib.loads(config.read_text("utf-8"))
    assert set(loaded) <= {"general", "datasets"}
    assert set(loaded["general"]) <= set(_MUSUBI_GENERAL)
    for table in loaded["datasets"]:
        for key, value in table.items():
            assert type(value) is _MUSUBI_TABLE[key], key
        assert all(type(count) is int for count in table["target_frames"])
    caches = [table["cache_directory"] for table in loaded["datasets"]]
    assert len(set(caches)) == len(caches)
    return [loaded["general"] | table for table in loaded["datasets"]]


def musubi(config: Path) -> list[tuple[str, str]]:
    """`VideoJsonlDatasource`, and the caches, which are named by the stem alone."""
    found, caches = [], []
    for table in musubi_tables(config):
        assert not set(table["cache_directory"]) & set("[]*?")  # an unescaped glob finds them
        with open(table["video_jsonl_file"], encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        for row in rows:
            found.append((row["video_path"], row["caption"]))
            stem = os.path.splitext(os.path.basename(row["video_path"]))[0]
            caches.append(os.path.join(table["cache_directory"], f"{stem}_wan_te.safetensors"))
    assert len(set(caches)) == len(caches)
    return found


def musubi_frames(table: dict, video: str) -> list:
    """`load_video` with `frame_extraction = "head"`: the decoded frames that are trained on."""
    start, end = 0, max(table["target_frames"])
    source_fps = table.get("source_fps")
    frames, at, before = [], 0.0, -1
    with av.open(video) as container:
        for i, frame in enumerate(container.decode(video=0)):
            index = i
            if source_fps is not None:
                index = int(at)
                at += WAN_FPS / source_fps
                if index == before:
                    continue
                before = index
            if index < start:
                continue
            if index >= end:
                break
            frames.append(frame.to_ndarray(format="rgb24"))
    return frames[:end] if len(frames) >= end else []  # shorter clips give no item


# -- diffusion-pipe: utils/dataset.py --------------------------------------------------------------


def diffusion_pipe(config: Path, model_fps: float = 16) -> list[tuple[str, str]]:
    """`_get_ungrouped_metadata`, `_metadata_map_fn` with size buckets and `skip_empty_caption`."""
    loaded = tomllib.loads(config.read_text("ascii"))
    ((width, height, frames),) = loaded["size_buckets"]
    assert width > 0 < height
    found = []
    for directory in loaded["directory"]:
        folder = Path(directory["path"])
        for file in sorted(folder.glob("*")):
            if not file.is_file() or file.suffix in (
                ".txt", ".npz", ".json", ".parquet", ".bak", ".db"
            ):  # fmt: skip
                continue
            caption_file = file.with_suffix(".txt")
            if not os.path.exists(caption_file):
                continue  # "Could not find caption. Skipping."
            caption = caption_file.read_text("utf-8").strip()
            with av.open(str(file)) as container:
                stream = container.streams.video[0]
                count = int(stream.frames * model_fps / float(stream.average_rate))
            if count >= frames:  # "video is being skipped because it is too short"
                found.append((str(file), caption))
    return found


# -- VideoX-Fun: videox_fun/data/dataset_image_video.py, bucket_sampler.py -------------------------


def videox_fun(ann_path: Path, data_root: str) -> list[tuple[str, str]]:
    """`ImageVideoDataset.__init__` and `get_batch`; sizes as the bucket sampler takes them."""
    if ann_path.suffix == ".csv":
        with open(ann_path, encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    else:
        with open(ann_path, encoding="ascii") as file:
            rows = json.load(file)
    for row in rows:
        assert row.get("type", "image") == "video"
        assert int(row["height"]) / int(row["width"]) > 0
    return [(os.path.join(data_root, row["file_path"]), row["text"]) for row in rows]


# -- ai-toolkit: toolkit/data_loader.py, dataloader_mixins.py --------------------------------------

_AI_TOOLKIT_SUFFIXES = (".mp4", ".avi", ".mov", ".webm", ".mkv", ".wmv", ".m4v", ".flv",
                        ".jpg", ".jpeg", ".png", ".webp")  # fmt: skip


def ai_toolkit(entry: dict) -> list[tuple[str, str]]:
    """`AiToolkitDataset.__init__` and `load_caption` for one entry of `datasets:`."""
    assert entry["num_frames"] > 1  # else it looks for images
    path = entry.get("dataset_path") or entry["folder_path"]
    if os.path.isdir(path):
        files = []
        for root, folders, names in os.walk(path):
            folders[:] = [name for name in folders if not name.startswith(".")]
            files += [
                os.path.join(root, name)
                for name in names
                if name.lower().endswith(_AI_TOOLKIT_SUFFIXES) and not name.startswith(".")
            ]
        captions = {}
    else:
        with open(path, encoding="ascii") as file:
            captions = json.load(file)
        files = list(captions)
    found = []
    for file in files:
        if "caption" in captions.get(file, {}):
            found.append((file, captions[file]["caption"]))
            continue
        text = os.path.splitext(file)[0] + "." + entry["caption_ext"].removeprefix(".")
        with open(text, encoding="utf-8") as opened:
            found.append((file, opened.read()))
    return found


# -- datasets: packaged_modules/folder_based_builder, videofolder, data_files.py -------------------

_SPLIT_WORDS = ("train", "training", "validation", "valid", "dev", "val", "test", "testing",
                "eval", "evaluation")  # fmt: skip


def split_word_in(name: str) -> str | None:
    """The word in a file name that makes `datasets` put the file into a split of its own."""
    for word in _SPLIT_WORDS:
        if re.search(rf"(^|[-._ 0-9]){word}[-._ 0-9]", name):
            return word
    return None


def videofolder(root: Path) -> list[tuple[str, str]]:
    """`FolderBasedBuilder` with metadata: pyarrow reads the list, paths must stay below it."""
    lists = [name for name in ("metadata.csv", "metadata.jsonl", "metadata.parquet")
             if (root / name).exists()]  # fmt: skip
    assert lists == ["metadata.jsonl"]
    for folder, _, names in os.walk(root):
        for name in names:
            assert split_word_in(name) is None, (folder, name)
    found = []
    for row in pyarrow.json.read_json(root / "metadata.jsonl").to_pylist():
        item = row["file_name"]
        assert "://" not in item
        relative = os.path.normpath(item).replace("\\", "/")
        assert not os.path.isabs(item)
        assert not relative.startswith("..")
        assert os.path.splitext(item)[1].lower() in (".mkv", ".mp4", ".avi", ".mpeg", ".mov")
        found.append((os.path.join(root, relative), row["caption"]))
    return found


def finetrainers(config: Path) -> list[tuple[str, str]]:
    """`_initialize_local_dataset`: exactly one metadata file, then VideoFolder."""
    (entry,) = json.loads(config.read_text("ascii"))["datasets"]
    root = Path(entry["data_root"])
    names = ("metadata.json", "metadata.jsonl", "metadata.csv")
    assert sum((root / name).exists() for name in names) == 1
    assert entry["dataset_type"] == "video"
    assert all(len(bucket) == 3 for bucket in entry["video_resolution_buckets"])
    return videofolder(root)


# -- webdataset: tariterators.py; datasets: packaged_modules/webdataset ----------------------------


def webdataset_samples(shard: Path) -> list[dict]:
    """`tar_file_iterator`, `base_plus_ext`, `group_by_keys`; and the builder's equal fields."""
    samples: list[dict] = []
    with tarfile.open(fileobj=io.BytesIO(shard.read_bytes()), mode="r|*") as stream:
        for member in stream:
            if not member.isreg() or re.match(r"__[^/]*__($|/)", member.name):
                continue
            data = stream.extractfile(member).read()
            split = re.match(r"^((?:.*/|)[^.]+)[.]([^/]*)$", member.name)
            if split is None:
                continue
            prefix, suffix = split[1], split[2].lower()
            if not samples or samples[-1]["__key__"] != prefix:
                samples.append({"__key__": prefix})
            assert suffix not in samples[-1], "duplicate file name in tar file"
            samples[-1][suffix] = data
    assert len({tuple(sample) for sample in samples}) == 1
    return samples

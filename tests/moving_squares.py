"""The smallest world in which a run means something: a tiny model and clips of moving squares."""

import json
import shutil
from pathlib import Path

import numpy as np

from motive.clips import write_mp4

STANDARD = {"frames": 5, "fps": 8, "height": 32, "width": 32}


def small_model(tiny_wan: Path, folder: Path) -> Path:
    """A copy of the tiny Wan folder that takes 5 frames of 32x32 and short captions."""
    shutil.copytree(tiny_wan, folder)
    tokenizer = folder / "tokenizer" / "tokenizer_config.json"
    settings = json.loads(tokenizer.read_text("utf-8"))
    tokenizer.write_text(json.dumps(settings | {"model_max_length": 32}), "utf-8")
    (folder / "motive.json").write_text(json.dumps(STANDARD))
    return folder


def square_video(path: Path, kind: int, *, frames: int = 6, size=(32, 32), fps: float = 8) -> Path:
    """A square whose speed, height and brightness say which one it is."""
    pixels = np.full((frames, *size, 3), 40, np.uint8)
    for frame in range(frames):
        x = (2 + frame * (1 + kind % 4)) % 24
        top = 4 + 2 * (kind % 8)
        pixels[frame, top : top + 8, x : x + 8] = 220 - 10 * (kind % 10)
    write_mp4(path, pixels, fps)
    return path


def square_videos(folder: Path, kinds) -> Path:
    """A folder of square videos with captions beside them."""
    for kind in kinds:
        video = square_video(folder / f"square{kind}.mp4", kind)
        video.with_suffix(".txt").write_text(f"square number {kind}")
    return folder


def write_list(path: Path, rows) -> Path:
    """A JSONL data set."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path

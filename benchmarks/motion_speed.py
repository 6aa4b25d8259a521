"""Seconds and memory that motion weights of one clip of Wan's size take, decoding included.

    python benchmarks/motion_speed.py
    python benchmarks/motion_speed.py --alltracker alltracker_tiny.pth --device cuda

The clip is made here: 81 frames of 480x832 at 16 fps, H.264, a camera that pans over a texture and
an object that moves against it. Each setting runs in a process of its own, so that its peak of
memory is its own; its first clip is a warm-up and does not count. The peak after the first clip
stands beside the peak after the last: memory must not grow with the number of clips. Processor
seconds are those of all threads together; on a busy machine they say more than the clock.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from measuring import save
from motive.clips import Clip, ClipStandard, decode_clip, write_mp4
from motive.motion import TRACKERS, MotionConfig, compute_motion_weights

STANDARD = ClipStandard(frames=81, fps=16, height=480, width=832)
GROUPS = [[0], *[list(range(i, i + 4)) for i in range(1, 81, 4)]]  # Wan's VAE
GRID = (60, 104)

SETTINGS: dict[str, dict[str, Any]] = {
    "dis": {},
    "dis, tracked at 240 px": {"track_side": 240},
    "dis, objects": {"preset": "objects"},
    "dis, objects, tracked at 240 px": {"preset": "objects", "track_side": 240},
    "dis, anchor": {"displacement": "anchor"},
    "farneback": {"tracker": "farneback"},
    "codec": {"tracker": "codec"},
}


def texture(height: int, width: int, seed: int) -> np.ndarray:
    """Soft coloured noise of two sizes, uint8 "h w 3"."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 3.0) + 4 * cv2.GaussianBlur(noise, (0, 0), 12.0)
    return (127 + 100 * soft / np.abs(soft).max()).astype(np.uint8)


def make_clip(path: Path) -> None:
    """A pan of 3 px a frame, and an object of 160 px that goes the other way."""
    step, side = 3, 160
    frames, height, width = STANDARD.frames, STANDARD.height, STANDARD.width
    big, thing = texture(height, width + step * frames, 0), texture(side, side, 1)
    pixels = np.stack([big[:, step * f : step * f + width] for f in range(frames)])
    for f in range(frames):
        pixels[f, 160 : 160 + side, 100 + 5 * f : 100 + 5 * f + side] = thing
    write_mp4(path, pixels, STANDARD.fps)


def peak_megabytes() -> float:
    """Largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(options: dict[str, Any], path: str, rounds: int, threads: int) -> dict[str, Any]:
    """Time decoding and weights of a clip several times."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    given = dict(options)
    config = MotionConfig.preset(given.pop("preset", "default"), **given)
    clip, before = Clip(path), peak_megabytes()
    decoding, whole, processor, peaks = [], [], [], []
    for _ in range(rounds + 1):
        began, used = time.perf_counter(), time.process_time()
        decoded = decode_clip(clip, STANDARD)
        decoding.append(time.perf_counter() - began)
        compute_motion_weights(
            decoded.pixels, GROUPS, GRID, config, clip=clip, provenance=decoded.provenance
        )
        whole.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
        del decoded
        peaks.append(peak_megabytes())
    seconds = {"min": min(whole[1:]), "median": statistics.median(whole[1:]), "max": max(whole[1:])}
    return {
        "seconds": seconds,
        "processor_seconds": statistics.median(processor[1:]),
        "decoding_seconds": statistics.median(decoding[1:]),
        "clips_per_second": 1 / seconds["median"],
        "megabytes": {"before": before, "first_clip": peaks[0], "last_clip": peaks[-1]},
    }


def main() -> None:
    """Measure every setting and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=list(SETTINGS), help="Only these settings.")
    parser.add_argument("--alltracker", help="Checkpoint; without it AllTracker is left out.")
    parser.add_argument("--device", default="cpu", help="Of the learned trackers.")
    options = parser.parse_args()
    settings = {name: SETTINGS[name] for name in options.only or SETTINGS}
    learned: dict[str, Any] = {"device": options.device}
    if options.alltracker:
        chosen = learned | {"weights": options.alltracker}
        settings["alltracker"] = {"tracker": "alltracker", "tracker_options": chosen}
    if not TRACKERS["raft"].missing():
        settings["raft"] = {"tracker": "raft", "tracker_options": learned}
    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pan.mp4"
        make_clip(path)
        spawn = multiprocessing.get_context("spawn")
        for name, setting in settings.items():
            with ProcessPoolExecutor(1, mp_context=spawn) as process:
                arguments = (setting, str(path), options.rounds, options.threads)
                found = process.submit(measure, *arguments).result()
            results[name] = found
            print(
                f"{name}: {found['seconds']['median']:.2f} s a clip "
                f"({found['decoding_seconds']:.2f} s decoding), "
                f"{found['processor_seconds']:.2f} s of all threads together, "
                f"{found['megabytes']['last_clip']:.0f} MB",
                flush=True,
            )
    save("motion_speed", {"clip": vars(STANDARD), "threads": options.threads, "settings": results})


if __name__ == "__main__":
    main()

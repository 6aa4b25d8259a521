"""The smallest benchmark: squares in two speeds, and one that stands still, for a tiny model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from motive.clips import write_mp4
from moving_squares import write_list

MOTIONS = ("slow", "fast")


def moving_square(path: Path, speed: int, top: int, bright: int) -> Path:
    """Six frames of 32x32 with an 8 px square that moves `speed` px per frame."""
    pixels = np.full((6, 32, 32, 3), 40, np.uint8)
    for frame in range(6):
        x = 2 + frame * speed
        pixels[frame, top : top + 8, x : x + 8] = bright
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mp4(path, pixels, 8)
    return path


def write_problem(folder: Path, candidates: int = 6, queries: int = 2, decoys: int = 1) -> Path:
    """`candidates/`, `queries/` and `test/` with labels, two factors, and static decoys."""
    for part, count, base in (("candidates", candidates, 0), ("queries", queries, 100)):
        rows = []
        for n in range(count):
            still = part == "candidates" and n >= candidates - decoys
            motion = "none" if still else MOTIONS[n % 2]
            speed = 0 if still else 1 + 2 * (n % 2)
            name = f"clips/{part}-{n:02d}.mp4"
            moving_square(folder / part / name, speed, 2 + n % 20, 90 + base // 2 + 10 * n)
            rows.append(
                {
                    "video": name,
                    "prompt": f"a square moves, number {base + n}",
                    "motion": motion,
                    "decoy": "static" if still else None,
                    "factors": {
                        "shade": ("dark", "light", "white")[n % 3],
                        "size": 0.25,
                    },
                }
            )
        write_list(folder / part / "metadata.jsonl", rows)
    (folder / "test").mkdir(exist_ok=True)
    tests = [
        {"video": f"clips/{n}.mp4", "prompt": f"test {n}", "motion": MOTIONS[n % 2]}
        for n in range(4)
    ]
    write_list(folder / "test" / "metadata.jsonl", tests)
    return folder

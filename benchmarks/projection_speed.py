"""One large vector to 512 numbers: ours and the peers', beside copying the same vector in memory.

Memory bandwidth is what a copy far larger than the caches moves, read and written. A projection
only reads the gradient, and `of_memory_bandwidth` counts those bytes alone: a copy scores 0.5.
`times_a_copy` is the time over that of copying the same vector.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from measuring import save, side_by_side
from motive.projection import BlockedFastfood, BlockedSRHT, HashedSJLT, Projection

DIM = 512
PEERS = Path(__file__).resolve().parent / "peers" / "project.py"
LARGE = 50_000_000  # float32: 200 MB, beyond every cache


def projected(projection: Projection, vector: torch.Tensor) -> torch.Tensor:
    """The whole projection of one parameter."""
    return projection.finish(projection.partial("w", vector))


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elements", type=int, default=5_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--peers", help="python of the environment of peers/requirements.txt")
    parser.add_argument("--peer-rounds", type=int, default=1)
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    vector = torch.randn(options.elements, generator=torch.Generator().manual_seed(0))
    bandwidth = large_copy()
    calls = ours(vector)
    times = side_by_side(calls, options.rounds)
    copied = times["copy"]["min"]
    rows = {
        name: row(seconds["min"], vector, name, copied, bandwidth)
        for name, seconds in times.items()
    }
    results: dict[str, object] = {
        "elements": options.elements,
        "dim": DIM,
        "memory_bandwidth": bandwidth,
        "rows": rows,
        "seconds": times,
        "cpu_seconds": {name: processor_time(call, options.rounds) for name, call in calls.items()},
    }
    print(json.dumps(results["cpu_seconds"], indent=1))
    for name, found in rows.items():
        print(name, {key: f"{value:.3g}" for key, value in found.items()})
    if options.peers:
        results["peers"] = peers(vector, options.peers, options.threads, options.peer_rounds)
        print(json.dumps(results["peers"], indent=1))
    if not options.no_save:
        save("projection_speed", results)


def ours(vector: torch.Tensor) -> dict[str, Callable[[], object]]:
    """What is timed, in turn."""
    target = torch.empty_like(vector)
    short, half = vector.bfloat16(), vector.half()
    kernel, blocks = BlockedFastfood(DIM), BlockedFastfood(DIM, block=1 << 12)
    plain = BlockedFastfood(DIM, kernels=False)
    anew = BlockedFastfood(DIM, kernels=False, cache_bytes=0)
    srht, sjlt = BlockedSRHT(DIM), HashedSJLT(DIM)
    return {
        "copy": lambda: target.copy_(vector),
        "fastfood": lambda: projected(kernel, vector),
        "fastfood, bfloat16": lambda: projected(kernel, short),
        "fastfood, float16": lambda: projected(kernel, half),
        "fastfood, blocks of 2^12": lambda: projected(blocks, vector),
        "srht": lambda: projected(srht, vector),
        "sjlt": lambda: projected(sjlt, vector),
        "fastfood in torch operations, randomness kept": lambda: projected(plain, vector),
        "fastfood in torch operations, randomness made anew": lambda: projected(anew, vector),
    }


def row(
    seconds: float, vector: torch.Tensor, name: str, copied: float, bandwidth: float
) -> dict[str, float]:
    """Speed of one entry, from its fastest round and that of the copy."""
    size = 2 if "16" in name.rpartition(" ")[2] else vector.element_size()
    return {
        "milliseconds": 1000 * seconds,
        "coordinates_per_second": vector.numel() / seconds,
        "of_memory_bandwidth": vector.numel() * size / seconds / bandwidth,
        "times_a_copy": seconds / copied,
    }


def processor_time(call: Callable[[], object], rounds: int) -> float:
    """Seconds that all threads worked, at best: comparable even on a busy machine."""
    used = []
    for _ in range(rounds):
        began = time.process_time()
        call()
        used.append(time.process_time() - began)
    return min(used)


def large_copy() -> float:
    """Bytes read and written per second when copying 200 MB."""
    source = torch.zeros(LARGE)
    target = torch.empty_like(source)
    seconds = side_by_side({"copy": lambda: target.copy_(source)}, 5)["copy"]["min"]
    return 2 * source.numel() * source.element_size() / seconds


def peers(vector: torch.Tensor, python: str, threads: int, rounds: int) -> dict[str, object]:
    """Times of the peers on the same vector, in their own environment."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vector.npy"
        np.save(path, vector.numpy())
        command = [python, str(PEERS), str(path), "--dim", str(DIM)]
        command += ["--threads", str(threads), "--rounds", str(rounds)]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(found.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()

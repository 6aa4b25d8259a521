"""Shared by the benchmarks: what machine this is, honest timing, and result files."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from motive.runs.config import versions

RESULTS = Path(__file__).resolve().parent / "results"


def machine() -> dict[str, object]:
    """Processor, cores, threads and versions."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
    return {
        "device": device,
        "processor": model,
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "versions": versions(),
    }


def side_by_side(
    calls: dict[str, Callable[[], object]], rounds: int = 7
) -> dict[str, dict[str, float]]:
    """Time several calls in turn, A B C A B C, so that drift of the machine hits all alike.

    Returns:
        Name -> minimum, median and maximum seconds, after one warm-up of each; and "cpu", the
        median processor seconds of all threads, which waiting for other processes does not count.
    """
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    processor: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            began, used = time.perf_counter(), time.process_time()
            call()
            times[name].append(time.perf_counter() - began)
            processor[name].append(time.process_time() - used)
    return {
        name: {
            "min": min(t),
            "median": statistics.median(t),
            "max": max(t),
            "cpu": statistics.median(processor[name]),
        }
        for name, t in times.items()
    }


@contextmanager
def gradients_freed(model: torch.nn.Module) -> Iterator[None]:
    """Each parameter's gradient is dropped as soon as backward has made it."""

    def drop(parameter: torch.Tensor) -> None:
        parameter.grad = None

    handles = [p.register_post_accumulate_grad_hook(drop) for p in model.parameters()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def save(name: str, results: dict[str, object]) -> Path:
    """Write benchmarks/results/NAME.json with the machine and the command."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    command = "python " + " ".join(["benchmarks/" + Path(sys.argv[0]).name, *sys.argv[1:]])
    path.write_text(
        json.dumps({"command": command, "machine": machine(), **results}, indent=1) + "\n"
    )
    print(f"written: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return path

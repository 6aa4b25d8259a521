"""`motive demo` as a whole process: wall time and peak memory, first and second run."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import save


def run(out: Path) -> dict[str, float]:
    """One demo in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "motive.cli.main", "demo", "--out", str(out), "--json"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - began
    peak = max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    return {"seconds": round(seconds, 1), "peak_gigabytes": round(peak / 2**20, 2)}


def main() -> None:
    """Measure and write the result file."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "demo"
        results = {"first": run(out), "second": run(out)}
    print(json.dumps(results))
    save("demo", {"runs": results, "training_clips": 420, "queries": 50})


if __name__ == "__main__":
    main()

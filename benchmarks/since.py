"""How much faster the demo and the bank of retrained models are than in an older checkout.

Both checkouts do the same work in turn, each in a process of its own, from an empty folder:

    git worktree add ../older 60f6ba7
    python benchmarks/since.py ../older
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import save

_DEMO = """
import sys, time
from motive.cli.main import main
began = time.perf_counter()
assert main(["demo", "--clips", sys.argv[2], "--out", sys.argv[1]]) == 0
print(time.perf_counter() - began)
"""

_BANK = """
import dataclasses, sys, time
from pathlib import Path
from motive.bench.context import Bench
from motive.bench.counterfactual import FULL_BANK, open_bank
from motive.bench.problem import load_problem, quick_problem
from motive.runs import RunConfig
from motive.zoo.pack import unpack_demo_clips
if __name__ == "__main__":
    out = Path(sys.argv[1])
    problem = quick_problem(load_problem(unpack_demo_clips(out / "zoo")))
    plan = dataclasses.replace(FULL_BANK.plan, subsets=int(sys.argv[2]), seeds=(0,))
    config = RunConfig(model="wan-nano-base")
    with Bench(problem, cache=out / "cache", config=config, workers=2) as bench:
        bank = open_bank(out / "bank.parquet", bench, FULL_BANK)
        bench.close()
        began = time.perf_counter()
        bank.fill(plan, workers=2)
        print(time.perf_counter() - began)
"""


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("older", type=Path, help="Checkout to compare with.")
    parser.add_argument("--clips", type=int, default=100, help="Training clips of the demo.")
    parser.add_argument("--models", type=int, default=4, help="Models of the bank.")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    here = Path(__file__).resolve().parent.parent
    work = {"demo": (_DEMO, options.clips), "bank": (_BANK, options.models)}
    found: dict[str, object] = {"older": _commit(options.older)}
    for name, (code, size) in work.items():
        older: list[float] = []
        now: list[float] = []
        for _ in range(options.rounds):
            older.append(_seconds(options.older.resolve(), code, size))
            now.append(_seconds(here, code, size))
        factor = statistics.median(older) / statistics.median(now)
        found[name] = {"size": size, "older": older, "now": now, "factor": factor}
        print(name, json.dumps(found[name]), flush=True)
    save("since", found)


def _seconds(checkout: Path, code: str, size: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "measured.py"  # a file: processes are spawned from it
        script.write_text(code)
        done = subprocess.run(
            [sys.executable, str(script), str(Path(folder) / "out"), str(size)],
            env=os.environ | {"PYTHONPATH": str(checkout / "src")},
            check=True,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    return float(done.stdout.split()[-1])


def _commit(checkout: Path) -> str:
    done = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    return done.stdout.strip()


if __name__ == "__main__":
    main()

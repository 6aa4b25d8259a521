"""The leaderboard of attribution methods that the README shows: the whole command, and its board.

    python benchmarks/attribution_board.py --workers 2

The retrained models come from the bank beside the results; a method that is new, or whose scores
changed, trains the models of its own selections and adds them to it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from measuring import RESULTS, save


def main() -> None:
    """Run the command and keep its board."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    bank = RESULTS / "attribution_bank.parquet"
    verb = [sys.executable, "-m", "motive.cli.main", "bench", "attribution"]
    options = ["--out", str(asked.out), "--bank", str(bank), "--workers", str(asked.workers)]
    began = time.monotonic()
    subprocess.run([*verb, *options], check=True)
    board = json.loads((asked.out / "board.json").read_text("utf-8"))
    board["minutes_of_this_call"] = (time.monotonic() - began) / 60
    save("attribution_board", board)
    shutil.copyfile(asked.out / "board.md", RESULTS / "attribution_board.md")


if __name__ == "__main__":
    main()

"""The comparison of selections by fine-tuning (docs/experiment.md): 75 minutes on 2 cores.

Runs `motive experiment` with the file of the MotionZoo preset, or continues it, and keeps the
numbers. Its videos stay in the run's folder.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from measuring import RESULTS, save

KEPT = (
    "model", "main", "conditions", "seeds", "motions", "per_motion", "prompts", "clips", "queries",
    "updates", "per_update", "rate", "trained", "sampling", "notes", "cautions", "seconds",
    "settings", "question", "columns", "cells", "differences", "findings",
)  # fmt: skip


def main() -> None:
    """Run, and write the result files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/experiment"))
    parser.add_argument("--file", type=Path, help="Experiment file [default: the preset's].")
    options = parser.parse_args()
    file = options.file
    if file is None:
        file = options.out.with_suffix(".yaml")
        file.parent.mkdir(parents=True, exist_ok=True)
        preset = subprocess.run(
            [sys.executable, "-m", "motive", "experiment", "init"],
            check=True,
            text=True,
            stdout=subprocess.PIPE,
        )
        file.write_text(preset.stdout, "utf-8")
    subprocess.run(
        [sys.executable, "-m", "motive", "experiment", "run", str(file), "--out", str(options.out)],
        check=True,
    )
    results = json.loads((options.out / "results.json").read_text("utf-8"))
    save("experiment", _without_folders({key: results[key] for key in KEPT}))
    table = (options.out / "table.md").read_text("utf-8")
    (RESULTS / "experiment.md").write_text(_without_folders(table), "utf-8")


def _without_folders(value: Any) -> Any:
    """The same with absolute paths cut down to their file names, and without loss curves."""
    if isinstance(value, dict):
        return {k: _without_folders(v) for k, v in value.items() if k != "losses"}
    if isinstance(value, list):
        return [_without_folders(entry) for entry in value]
    if isinstance(value, str):
        return re.sub(r"(?<![\w.~-])/(?:[\w.-]+/)+", "", value)
    return value


if __name__ == "__main__":
    main()

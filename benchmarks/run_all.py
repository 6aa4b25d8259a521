"""Run every benchmark of this folder in a process of its own and refresh the result files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ORDER = (
    "projection_quality",
    "projection_speed",
    "projection_profile",
    "gradient_overhead",
    "batched_gradients",
    "motion_speed",
    "demo",
    "wan_nano_fidelity",
    "attribution_board",
    "experiment",
)


def main() -> None:
    """Run all, stop at the first failure."""
    for name in ORDER:
        print(f"--- {name}", flush=True)
        subprocess.run([sys.executable, str(Path(__file__).with_name(f"{name}.py"))], check=True)


if __name__ == "__main__":
    main()

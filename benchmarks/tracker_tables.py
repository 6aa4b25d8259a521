"""Results on motion weights as Markdown, written into docs/trackers.md between marks.

Two tables: what the weights are worth against exact masks (motion_trackers.py), and what they
change on the leaderboard of attribution methods (attribution_board.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from measuring import RESULTS
from motive.bench.findings import shown
from motive.report import Estimate

STILL, MOVING = "static camera", "moving camera"
PAGE = RESULTS.parents[1] / "docs" / "trackers.md"
WORTH = "<!-- written by benchmarks/motion_trackers.py --table -->"
CHANGES = "<!-- written by benchmarks/motion_trackers.py --table from the leaderboard -->"
END = "<!-- end of table -->"

RAW = "raw"


def tables(results: dict[str, Any]) -> str:
    """The result file as Markdown."""
    clips = {side: found["clips"] for side, found in results["end_point_error"]["dis"].items()}
    lines = [
        f"{clips[STILL]} clips with a still camera and {clips[MOVING]} with a moving one, "
        "[95 % intervals] over clips.",
        "",
        *_error_table(results["end_point_error"]),
        "",
        *_weight_table(results["weights"], results["difference_to_raw"]),
        "",
        *_facts_table(results["facts"]),
    ]
    return "\n".join(lines)


def _error_table(errors_of: dict[str, Any]) -> list[str]:
    lines = [
        "| tracker | objects, still camera | rest, still camera | objects, moving camera "
        "| rest, moving camera | from frame 0, still / moving | CPU ms per frame |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in errors_of.items():
        parts = [(side, part) for side in (STILL, MOVING) for part in ("objects", "rest")]
        cells = [_interval(found[side][part]) for side, part in parts]
        both = [found[side].get("anchored") for side in (STILL, MOVING)]
        cells.append(" / ".join(f"{value[0]:.2f}" for value in both if value) or "none")
        milliseconds = np.mean([found[side]["seconds"][0] for side in (STILL, MOVING)]) / 17 * 1000
        lines.append(f"| {name} | {' | '.join(cells)} | {milliseconds:.1f} |")
    return lines


def _weight_table(weights: dict[str, Any], differences: dict[str, Any]) -> list[str]:
    lines = [
        "| weights | latent AP, still camera | latent AP, moving camera "
        "| minus raw, moving camera | pixel AP, still / moving | share on objects, still / moving "
        "| all clips together |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in weights.items():
        still, moving = found[STILL], found[MOVING]
        cells = [
            _interval(still["latent_ap"]),
            _interval(moving["latent_ap"]),
            "" if name.endswith(f": {RAW}") else _interval(differences[name][MOVING], "+.2f"),
            f"{still['pixel_ap'][0]:.2f} / {moving['pixel_ap'][0]:.2f}",
            f"{still['mass'][0]:.2f} / {moving['mass'][0]:.2f}",
            _interval(found["all clips together"]),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _facts_table(found: dict[str, Any]) -> list[str]:
    lines = [
        f"The camera is named right in {found['camera_named_right']:.0%} of the clips.",
        "",
        "| clips | number | static | camera only | micro motion | cut |",
        "|---|---|---|---|---|---|",
    ]
    names = ("clips", "static", "camera_only", "micro_motion", "cuts")
    for group, flags in sorted(found["flags"].items()):
        lines.append(f"| {group} | {' | '.join(str(flags.get(name, 0)) for name in names)} |")
    return lines


def leaderboard_table(board: dict[str, Any]) -> str:
    """The rows of the attribution board that differ in their motion weights alone."""
    rows = {row["key"]: row for row in board["rows"]}
    changes = {
        found["key"].partition(" of ")[2]: found["estimate"]
        for found in board["contrasts"]
        if found["key"].startswith("weights of ")
    }
    lines = [
        "| score | mAP of the motion | minus default, paired | frozen control "
        "| follows appearance | LDS, loss | best 10 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for key in ("no-caption", *changes, "no-caption-no-mask"):
        name, values = rows[key]["name"], rows[key]["values"]
        cells = [
            _estimate(values["map"]),
            _estimate(changes[key], 3, signed=True) if key in changes else "",
            _estimate(values["frozen"]),
            _estimate(values["appearance"], signed=True),
            _estimate(values["lds_loss"], signed=True),
            _estimate(values["gain"], 1, signed=True),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_table(page: Path, mark: str, table: str) -> None:
    """Replace the table after a mark in a Markdown page, up to the end mark."""
    before, _, rest = page.read_text("utf-8").partition(mark)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{mark}\n\n{table}\n\n{END}{after}", "utf-8")


def _estimate(found: dict[str, float], digits: int = 2, signed: bool = False) -> str:
    return shown(Estimate(**found), digits, signed)


def _interval(values: list[float], form: str = ".2f") -> str:
    return f"{values[0]:{form}} [{values[1]:{form}}, {values[2]:{form}}]"

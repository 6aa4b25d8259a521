"""Draws docs/images/projection.svg: seconds to project one vector, ours and the peers', log scale.

    python benchmarks/projection_chart.py

Run it after projection_speed.py with --peers.
"""

from __future__ import annotations

import json
import math
from html import escape
from pathlib import Path
from typing import Any

from measuring import RESULTS

CHART = RESULTS.parents[1] / "docs" / "images" / "projection.svg"
OURS = {
    "fastfood": "MOTIVE Fastfood, float32",
    "fastfood, bfloat16": "MOTIVE Fastfood, bfloat16",
    "srht": "MOTIVE SRHT, float32",
    "sjlt": "MOTIVE SJLT, float32",
}
PEERS = {"traker": "TRAK BasicProjector", "dattri": "dattri random_project", "bergson": "bergson"}
LEFT, WIDTH, BAR, GAP, TOP = 230, 470, 18, 8, 14
LOW, HIGH = 1e-3, 100.0  # seconds


def bars(results: dict[str, Any]) -> list[tuple[str, float, str]]:
    """(label, seconds, colour) of each bar; a peer's faster kind of matrix."""
    found = [
        (label, results["rows"][name]["milliseconds"] / 1000, "#b45309")
        for name, label in OURS.items()
    ]
    timed = results["peers"]["results"]
    for name, label in PEERS.items():
        kinds = {kind: min(timed[f"{name} {kind}"]["seconds"]) for kind in ("normal", "rademacher")}
        best = min(kinds, key=lambda kind: kinds[kind])
        version = results["peers"]["versions"][name]
        found.append((f"{label} {version}, {best}", kinds[best], "#64748b"))
    copied = results["rows"]["copy"]["milliseconds"] / 1000
    return [("copying the vector", copied, "#cbd5e1"), *found]


def chart(results: dict[str, Any]) -> str:
    """The chart as SVG; its background is transparent and its text grey, for light and dark."""
    rows = bars(results)
    height = TOP + len(rows) * (BAR + GAP) + 34
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 70} {height}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#808891" role="img">',
        f"<title>Seconds to project {results['elements']:,} numbers to {results['dim']}</title>",
    ]
    for power in range(int(math.log10(LOW)), int(math.log10(HIGH)) + 1):
        x = _place(10.0**power)
        lines.append(f'<line x1="{x}" x2="{x}" y1="{TOP}" y2="{height - 28}" stroke="#8888" />')
        text = f"{10.0**power:g} s" if power >= 0 else f"{10 ** (power + 3):g} ms"
        lines.append(f'<text x="{x}" y="{height - 12}" text-anchor="middle">{text}</text>')
    for number, (label, seconds, colour) in enumerate(rows):
        y = TOP + number * (BAR + GAP)
        x = _place(seconds)
        shown = f"{1000 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.0f} s"
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{x - LEFT:.1f}" height="{BAR}" fill="{colour}" />',
            f'<text x="{x + 5:.1f}" y="{y + 13}">{shown}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _place(seconds: float) -> float:
    """Horizontal place of a time."""
    return round(LEFT + WIDTH * math.log10(seconds / LOW) / math.log10(HIGH / LOW), 1)


def main() -> None:
    """Draw the last result."""
    results = json.loads((RESULTS / "projection_speed.json").read_text("utf-8"))
    Path(CHART).write_text(chart(results), "utf-8")


if __name__ == "__main__":
    main()

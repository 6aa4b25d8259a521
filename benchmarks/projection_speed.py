"""Streaming Fastfood of one large vector to 512, beside copying the same vector in memory."""

from __future__ import annotations

import argparse

import torch

from measuring import save, side_by_side
from motive.projection import BlockedFastfood


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elements", type=int, default=5_000_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    vector = torch.randn(options.elements)
    target = torch.empty_like(vector)
    kept = BlockedFastfood(512)
    stateless = BlockedFastfood(512, cache_bytes=0)
    times = side_by_side(
        {
            "copy": lambda: target.copy_(vector),
            "fastfood, randomness kept": lambda: kept.finish(kept.partial("w", vector)),
            "fastfood, randomness made anew": lambda: stateless.finish(
                stateless.partial("w", vector)
            ),
        }
    )
    copy = times["copy"]["median"]
    for name, seconds in times.items():
        print(f"{name}: {1000 * seconds['median']:.1f} ms, {seconds['median'] / copy:.1f} x copy")
    save(
        "projection_speed",
        {
            "elements": options.elements,
            "dim": 512,
            "seconds": times,
            "ratio_to_copy": {name: t["median"] / copy for name, t in times.items()},
        },
    )


if __name__ == "__main__":
    main()

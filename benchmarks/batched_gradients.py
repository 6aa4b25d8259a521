"""Features of many clips at once, against an ordinary training step of the same clips.

The step is forward and backward of the batch and nothing more: it gives one gradient for all clips,
where a feature needs one for each. One by one is what a feature costs without batching.
"""

from __future__ import annotations

import argparse

import torch

from gradient_overhead import random_clips, training_step
from measuring import save, side_by_side
from motive.backbones import Backbone, load_backbone
from motive.errors import ClipError
from motive.gradients import Feature, Featurizer, Objective
from motive.projection import BlockedFastfood


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="wan-nano")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # A copy for each way: hooks are installed once, as in a run, and must not slow others down.
    copies = [load_backbone(options.model, device="cpu") for _ in range(3)]
    rows = [measure(copies, size, options.rounds) for size in options.batches]
    parameters = sum(p.numel() for p in copies[0].transformer.parameters())
    save("batched_gradients", {"model": options.model, "parameters": parameters, "batches": rows})


def measure(copies: list[Backbone], size: int, rounds: int) -> dict[str, object]:
    """Seconds per clip of each way, side by side, and how far their features are apart."""
    plain, *others = copies
    clips = random_clips(plain, size)
    projection, objective = BlockedFastfood(512), Objective()
    batched = Featurizer(others[0], projection, objective, batch=size)
    single = Featurizer(others[1], projection, objective)
    with batched.ready(), single.ready():
        times = side_by_side(
            {
                "training step": lambda: training_step(plain, clips),
                "batched": lambda: batched.features(clips),
                "one by one": lambda: single.features(clips),
            },
            rounds,
        )
        found = [whole(way.features(clips)) for way in (batched, single)]
    distances = [
        float((one.vector - other.vector).norm()) for one, other in zip(*found, strict=True)
    ]
    step = times["training step"]
    row: dict[str, object] = {
        "batch": size,
        "seconds": times,
        "seconds_per_clip": {name: seconds["median"] / size for name, seconds in times.items()},
        "ratio": {name: times[name]["median"] / step["median"] for name in times},
        "cpu_ratio": {name: times[name]["cpu"] / step["cpu"] for name in times},
        "largest_distance": max(distances),
    }
    shown = {name: f"{seconds['median'] / size * 1e3:.1f} ms" for name, seconds in times.items()}
    print(f"batch {size}: per clip {shown}; CPU ratios {row['cpu_ratio']}", flush=True)
    return row


def whole(found: list[Feature | ClipError]) -> list[Feature]:
    """The features of clips, none of which may have failed."""
    for feature in found:
        if isinstance(feature, ClipError):
            raise feature
    return [feature for feature in found if isinstance(feature, Feature)]


if __name__ == "__main__":
    main()

"""Fill the bank of retrained models that `motive bench attribution` reads.

Continues where it stopped; prints how long is left, and in the end how well retraining agrees with
itself, which is the most that any attribution method can reach.

    python benchmarks/attribution_bank.py --data zoo --bank runs/bench/bank.parquet --workers 2
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import torch

from measuring import save
from motive.bench.context import DEFAULT_MODEL, Bench
from motive.bench.counterfactual import (
    FULL_BANK,
    QUICK_BANK,
    datamodel_scores,
    label_scores,
    noise_floors,
    open_bank,
)
from motive.bench.problem import load_problem, quick_problem


class Eta:
    """Prints progress with the time that is left."""

    def __init__(self) -> None:
        self.stage, self.began = "", time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Told by the bench after each piece of work."""
        now = time.monotonic()
        if stage != self.stage:
            self.stage, self.began = stage, now if self.stage else self.began
        rate = (now - self.began) / max(1, done)
        if stage == "retraining" or done == total:
            left = rate * (total - done) / 60
            print(f"{stage}: {done}/{total}, {rate:.1f} s each, {left:.0f} min left", flush=True)


def main() -> None:
    """Fill the bank, and write what it is worth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="candidates/, queries/, test/")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--bank", type=Path, default=Path("runs/bench/bank.parquet"))
    parser.add_argument("--cache", type=Path, default=Path("runs/bench/cache"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--subsets", type=int, help="default: as many as the board uses")
    parser.add_argument("--quick", action="store_true", help="the small bank of --quick")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings, problem = FULL_BANK, load_problem(asked.data)
    if asked.quick:
        settings, problem = QUICK_BANK, quick_problem(problem)
    if asked.subsets:
        plan = dataclasses.replace(settings.plan, subsets=asked.subsets)
        settings = dataclasses.replace(settings, plan=plan)
    began = time.monotonic()
    with Bench(problem, model=asked.model, cache=asked.cache, on_progress=Eta()) as bench:
        bank = open_bank(asked.bank, bench, settings)
        targets = bank.fill(settings.plan, workers=asked.workers, on_progress=Eta())
    floors = noise_floors(problem, targets)
    labels = datamodel_scores(problem, label_scores(problem), targets)
    base = bank.train_on([((), 0)])[0]
    change = 100 * (1 - targets.losses.mean() / base.losses.mean())
    print(f"mean loss on the queries: {change:.2f} % below the base model's")
    rows = {}
    for name, floor in floors.items():
        rows[name] = {
            "two_seeds": floor.single.value,
            "two_seeds_95": floor.single.interval,
            "mean_of_seeds": floor.mean_of_seeds,
            "ceiling": floor.ceiling,
            "ceiling_95": floor.ceiling_interval,
            "motion_label": dataclasses.asdict(labels[name]),
        }
        print(
            f"{name}: two seeds agree {floor.single.value:.2f}, ceiling {floor.ceiling:.2f}, "
            f"the motion label alone scores {labels[name].value:.2f}"
        )
    minutes = (time.monotonic() - began) / 60
    result = {
        "settings": dataclasses.asdict(settings),
        "model": asked.model,
        "workers": asked.workers,
        "minutes_of_this_call": minutes,
        "loss_change_percent": change,
        "targets": rows,
    }
    save("attribution_bank_quick" if asked.quick else "attribution_bank", result)
    print(f"{len(bank)} models in {asked.bank}, {minutes:.1f} min")


if __name__ == "__main__":
    main()

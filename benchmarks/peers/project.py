"""Projects a vector with the peers' own code and prints their times as JSON.

Runs in the peers' environment (requirements.txt beside it), so it imports nothing of this project:

    .venv-peers/bin/python benchmarks/peers/project.py vector.npy --dim 512 --threads 2
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import time
from collections.abc import Callable

import numpy as np
import torch

PACKAGES = ("traker", "dattri", "bergson", "torch", "numpy")


def traker(rows: torch.Tensor, dim: int, kind: str) -> Callable[[], torch.Tensor]:
    """BasicProjector: the matrix is drawn in blocks of 100 columns at every call."""
    from trak.projectors import BasicProjector, ProjectionType

    projector = BasicProjector(
        rows.shape[1], dim, seed=0, proj_type=ProjectionType(kind), device=torch.device("cpu")
    )
    return lambda: projector.project(rows, model_id=0)


def dattri(rows: torch.Tensor, dim: int, kind: str) -> Callable[[], torch.Tensor]:
    """random_project with the options that its documentation gives for a CPU."""
    from dattri.func.projection import random_project

    project = random_project(rows, 1, dim, proj_max_batch_size=32, proj_type=kind, device="cpu")
    return lambda: project(rows)


def bergson(rows: torch.Tensor, dim: int, kind: str) -> Callable[[], torch.Tensor]:
    """project_global: the whole gradient at once, the matrix made in blocks of 2^27 entries."""
    from bergson.collector.collector import project_global

    return lambda: project_global("benchmark", rows, dim, kind)


def timed(prepare: Callable[[], Callable[[], torch.Tensor]], rounds: int) -> dict[str, object]:
    """Seconds of each call after preparation, on the clock and of all threads' work."""
    try:
        project = prepare()
        seconds, cpu_seconds = [], []
        for _ in range(rounds):
            began, used = time.perf_counter(), time.process_time()
            projected = project()
            seconds.append(time.perf_counter() - began)
            cpu_seconds.append(time.process_time() - used)
    except Exception as error:  # noqa: BLE001 - a peer that fails is a result, not the end
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "norm": float(projected.float().norm())}


def version(package: str) -> str | None:
    """Installed version, None without."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Time every peer and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vector")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=["traker", "dattri", "bergson"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = torch.from_numpy(np.load(options.vector))[None]
    norm = float(rows.norm())
    results = {}
    for name, peer in (("traker", traker), ("dattri", dattri), ("bergson", bergson)):
        if name not in options.only:
            continue
        for kind in ("normal", "rademacher"):
            # Bound now: the loop variables change before the call otherwise.
            prepare = lambda peer=peer, kind=kind: peer(rows, options.dim, kind)  # noqa: E731
            results[f"{name} {kind}"] = timed(prepare, options.rounds)
    versions = {package: version(package) for package in PACKAGES}
    print(json.dumps({"versions": versions, "norm": norm, "results": results}))


if __name__ == "__main__":
    main()

"""Bias and spread of the projected cosine against theory, over many seeds.

Vectors are made like gradients: heavy tails, scales that differ by layer. Theory for D' Gaussian
rows: mean = the true cosine c, standard deviation = (1 - c²) / √D'.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch

from measuring import save
from motive.projection import BlockedFastfood, DenseGaussian

ELEMENTS = 20_000


def pair(cosine: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Two heavy-tailed vectors with about the given cosine, and their exact cosine."""
    generator = np.random.default_rng(seed)
    scales = np.exp(generator.uniform(-4, 2, 20)).repeat(ELEMENTS // 20)
    x = generator.standard_t(2.5, ELEMENTS) * scales
    y = generator.standard_t(2.5, ELEMENTS) * scales
    x /= np.linalg.norm(x)
    y -= (x @ y) * x
    y = cosine * x + math.sqrt(1 - cosine**2) * y / np.linalg.norm(y)
    return torch.from_numpy(x).float(), torch.from_numpy(y).float(), cosine


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=400)
    seeds = parser.parse_args().seeds
    methods = {
        "dense Gaussian": lambda dim, seed: DenseGaussian(dim, seed),
        "Fastfood, one block (the definition)": lambda dim, seed: BlockedFastfood(
            dim, seed, 1 << 15, cache_bytes=0
        ),
        "Fastfood, blocks of 1024": lambda dim, seed: BlockedFastfood(
            dim, seed, 1024, cache_bytes=0
        ),
    }
    rows = []
    for dim in (128, 512):
        for cosine in (0.0, 0.3, 0.9):
            x, y, truth = pair(cosine)
            for name, make in methods.items():
                # A dense 512 x 20000 matrix per seed is slow; fewer seeds widen its interval.
                count = seeds if "Fastfood" in name else max(50, seeds // 8)
                found = []
                for seed in range(count):
                    projection = make(dim, seed)
                    a, b = (projection.finish(projection.partial("w", v)) for v in (x, y))
                    found.append(float(a @ b / (a.norm() * b.norm())))
                spread = (1 - truth**2) / math.sqrt(dim)
                rows.append(
                    {
                        "method": name,
                        "dim": dim,
                        "cosine": truth,
                        "seeds": count,
                        "bias": float(np.mean(found) - truth),
                        "bias_95": 1.96 * float(np.std(found)) / math.sqrt(count),
                        "sd": float(np.std(found)),
                        "sd_theory": spread,
                        "sd_ratio": float(np.std(found)) / spread,
                    }
                )
                print({k: round(v, 4) if isinstance(v, float) else v for k, v in rows[-1].items()})
    save("projection_quality", {"elements": ELEMENTS, "rows": rows})


if __name__ == "__main__":
    main()

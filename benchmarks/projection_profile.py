"""Where the time of the CPU projection goes: its stages, each alone, on one core.

    python benchmarks/projection_profile.py

A projection reads the gradient once, so memory bandwidth is its limit in principle. This says why
it is not in practice: ten rounds of Philox, log2(b) butterflies, a permutation and a gather per
element are several nanoseconds of arithmetic, in which a core could have read ten times as much.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numba import njit

from measuring import save, side_by_side
from motive.projection import BlockedFastfood, cpu_kernels
from motive.projection.cpu_kernels import _distance, _permutation_keys, _transform
from motive.projection.randomness import PERMUTATION_ROUNDS, key_words
from motive.projection.vectors import CODES, PLACES, gather_places, random_codes

BLOCK, DIM = 1 << 15, 512
_U64 = np.uint64


@njit(nogil=True)
def random_words(blocks: int, words: np.ndarray, codes: np.ndarray) -> None:
    """Sign and Gaussian index of every element: Philox, ten rounds per four elements."""
    for block in range(blocks):
        for start in range(0, BLOCK, CODES):
            random_codes(codes, start, _U64(start >> 2), _U64(block), words)


@njit(nogil=True)
def transforms(
    values: np.ndarray, blocks: int, codes: np.ndarray, padded: np.ndarray, data: np.ndarray
) -> None:
    """Sign and Walsh-Hadamard transform of every block; reads the gradient."""
    for block in range(blocks):
        _transform(values, 0, block * BLOCK, BLOCK, 0.1, codes, padded, data)


@njit(nogil=True)
def permutations(
    blocks: int, words: np.ndarray, codes: np.ndarray, keys: np.ndarray, places: np.ndarray
) -> None:
    """Where every output comes from, in closed form."""
    for block in range(blocks):
        _permutation_keys(_U64(block), words, keys)
        for segment in range(0, BLOCK, DIM):
            for start in range(0, DIM, PLACES):
                gather_places(
                    places, start, codes, segment + start, keys, _U64(BLOCK - 1),
                    _U64(_distance(BLOCK)),
                )  # fmt: skip


def stages(vector: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """What is timed: copying the vector, each stage alone, and the whole."""
    values, _ = cpu_kernels.bits_of(vector)
    blocks = len(values) // BLOCK
    words = np.array(key_words(0, "w"), np.uint64)
    codes, data = np.zeros(BLOCK, np.uint16), np.zeros(BLOCK, np.float32)
    padded = np.zeros(cpu_kernels.GROUP, np.uint32)
    keys = np.zeros(2 * PERMUTATION_ROUNDS + 1, np.uint32)
    places = np.zeros(DIM, np.uint32)
    target, projection = torch.empty_like(vector), BlockedFastfood(DIM)
    return {
        "copy": lambda: target.copy_(vector),
        "randomness": lambda: random_words(blocks, words, codes),
        "sign and transform": lambda: transforms(values, blocks, codes, padded, data),
        "permutation": lambda: permutations(blocks, words, codes, keys, places),
        "whole": lambda: projection.partial("w", vector),
    }


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--blocks", type=int, default=152)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    vector = torch.randn(options.blocks * BLOCK, generator=torch.Generator().manual_seed(0))
    times = side_by_side(stages(vector), options.rounds)
    per_element = {name: 1e9 * found["min"] / vector.numel() for name, found in times.items()}
    counted = ("randomness", "sign and transform", "permutation")
    rest = per_element["whole"] - sum(per_element[name] for name in counted)
    per_element["gather, Gaussian and fold: the rest"] = rest
    for name, nanoseconds in per_element.items():
        print(f"{name}: {nanoseconds:.2f} ns per element")
    save("projection_profile", {"elements": vector.numel(), "nanoseconds": per_element})


if __name__ == "__main__":
    main()

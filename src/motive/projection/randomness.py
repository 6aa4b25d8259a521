"""Counter-based random numbers: the same bits on every device, in any order, with no state.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) written in
64-bit integer tensor operations, so that CPU and GPU agree bit for bit. A block of a parameter is
addressed by its counter alone:

    counter = (element / 4, block, low and high half of the parameter name's hash),  key = seed

Each element takes one 32-bit word: its top bit is the sign of B, its low 12 bits pick G from a
table of Gaussian quantiles. A table instead of Box-Muller because log and cos differ in the last
bit between devices, and integers do not.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import torch

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK32 = 0xFFFFFFFF
ROUNDS = 10
GAUSS_BITS = 12
PERMUTATION_ROUNDS = 4
PERMUTATION_COUNTER = 0xFFFFFF00  # element counters stay far below: blocks are at most 2^20
REPETITION_COUNTER = 1 << 20  # between the counters of two words for one element


class BlockRandomness(NamedTuple):
    """The random diagonals and the permutation of some blocks of one parameter.

    Attributes:
        signs: B, float32 "n b" of -1 and +1.
        gaussians: G, float32 "n b", zero mean and unit variance.
        permutation: Π, int64 "n b": output j takes input permutation[j].
    """

    signs: torch.Tensor
    gaussians: torch.Tensor
    permutation: torch.Tensor


def philox4x32(counter: torch.Tensor, key: tuple[int, int]) -> torch.Tensor:
    """Philox4x32-10 on int64 counters "... 4" with entries in [0, 2^32); returns the same shape."""
    c0, c1, c2, c3 = counter.unbind(-1)
    k0, k1 = key
    for _ in range(ROUNDS):
        # The product fits 64 bits unsigned; torch wraps it, and masking after the (arithmetic)
        # shift recovers the true high word.
        p0 = c0 * MULTIPLIERS[0]
        p1 = c2 * MULTIPLIERS[1]
        high0, low0 = (p0 >> 32) & _MASK32, p0 & _MASK32
        high1, low1 = (p1 >> 32) & _MASK32, p1 & _MASK32
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + WEYL[0]) & _MASK32, (k1 + WEYL[1]) & _MASK32
    return torch.stack((c0, c1, c2, c3), dim=-1)


def name_words(name: str) -> tuple[int, int]:
    """Two 32-bit words that stand for a parameter's name in the counter."""
    value = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
    return value & _MASK32, value >> 32


@lru_cache(maxsize=4096)
def key_words(seed: int, name: str) -> tuple[int, int, int, int]:
    """Low and high half of the seed, then of the name's hash: the key of a parameter's numbers."""
    return (seed & _MASK32, (seed >> 32) & _MASK32, *name_words(name))


@lru_cache(maxsize=1)
def _gaussian_values() -> tuple[float, ...]:
    """Midpoint quantiles of the normal distribution, rescaled to exactly unit variance."""
    levels = 1 << GAUSS_BITS
    normal = NormalDist()
    values = [normal.inv_cdf((i + 0.5) / levels) for i in range(levels)]
    scale = (sum(v * v for v in values) / levels) ** -0.5
    return tuple(v * scale for v in values)


@lru_cache(maxsize=16)
def gaussian_table(device: str = "cpu") -> torch.Tensor:
    """The 4096 values that G takes, float32; shared, not to be changed."""
    return torch.tensor(_gaussian_values(), dtype=torch.float64).float().to(device)


def block_randomness(
    seed: int, name: str, first: int, count: int, size: int, device: torch.device | str = "cpu"
) -> BlockRandomness:
    """B, G and Π of blocks first .. first+count-1 of one parameter, each of `size` elements.

    Args:
        seed: Projection seed, 0 .. 2^64-1.
        name: Canonical parameter name.
        first: Index of the first block within the parameter.
        count: Number of blocks (n).
        size: Block size (b), a power of two of at least 4.
        device: Where to compute; the bits do not depend on it.
    """
    words = element_words(seed, name, first, count, size, device)
    signs = 1.0 - 2.0 * (words >> 31).float()
    gaussians = gaussian_table(str(device))[words & ((1 << GAUSS_BITS) - 1)]
    rounds = torch.arange(PERMUTATION_ROUNDS, device=device) + PERMUTATION_COUNTER
    keys = _words(seed, name, rounds, torch.arange(first, first + count, device=device))
    return BlockRandomness(signs, gaussians, _permutation(keys, size))


def element_words(
    seed: int,
    name: str,
    first: int,
    count: int,
    size: int,
    device: torch.device | str = "cpu",
    repetition: int = 0,
) -> torch.Tensor:
    """The 32-bit word of each element of some blocks, int64 "n b".

    Args:
        seed: Projection seed, 0 .. 2^64-1.
        name: Canonical parameter name.
        first: Index of the first block within the parameter.
        count: Number of blocks (n).
        size: Block size (b), a multiple of four.
        device: Where to compute; the bits do not depend on it.
        repetition: 0 .. 4094: another, independent word for the same element.
    """
    index = torch.arange(size // 4, device=device) + repetition * REPETITION_COUNTER
    blocks = torch.arange(first, first + count, device=device)
    return _words(seed, name, index, blocks).reshape(count, size)


def _words(seed: int, name: str, index: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
    """Philox words "blocks index 4" for every pair of block and counter index."""
    key0, key1, low, high = key_words(seed, name)
    shape = (len(blocks), len(index))
    counter = torch.stack(
        (
            index.expand(shape),
            blocks[:, None].expand(shape),
            torch.full(shape, low, dtype=torch.int64, device=index.device),
            torch.full(shape, high, dtype=torch.int64, device=index.device),
        ),
        dim=-1,
    )
    return philox4x32(counter, (key0, key1))


def _permutation(keys: torch.Tensor, size: int) -> torch.Tensor:
    """A keyed bijection of 0 .. size-1 in closed form: rounds of odd multiply, add, xor-shift.

    Each step is invertible modulo a power of two, so the result is a permutation that a kernel can
    compute per element, where sorting random keys would need the whole block.
    """
    bits = size.bit_length() - 1
    mask, shift = size - 1, (bits + 1) // 2
    index = torch.arange(size, device=keys.device).expand(len(keys), size)
    for step in range(keys.shape[1]):
        multiplier = (keys[:, step, 0:1] | 1) & _MASK32
        index = (index * multiplier + keys[:, step, 1:2]) & mask
        index = index ^ (index >> shift)
    return (index + keys[:, 0, 2:3]) & mask

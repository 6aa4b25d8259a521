"""AllTracker weights and clips made from a seed by name, the same on every machine.

The released checkpoints are not needed to compare two implementations, only weights under which
every layer matters: layer scales near 0.3 instead of the initial 1e-6, biases, norms off 1.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import torch

from motive.motion.alltracker import AllTrackerNet, Variant


def seeded_state_dict(variant: Variant, seed: int = 0) -> dict[str, torch.Tensor]:
    """Every parameter from uniform bits keyed by its name; `time_emb` as the network makes it."""
    state = {
        name: _seeded(name, tensor.shape, seed)
        for name, tensor in flat_state_dict(variant).items()
        if name != "time_emb"
    }
    return state | {"time_emb": _time_embedding()}


def flat_state_dict(variant: Variant) -> dict[str, torch.Tensor]:
    """The right names and shapes, every tensor one repeated zero: a few kB as a pickle."""
    with torch.device("meta"):
        state = AllTrackerNet(variant).state_dict()
    return {name: torch.zeros(()).expand(tensor.shape) for name, tensor in state.items()}


def seeded_net(variant: Variant, seed: int = 0) -> AllTrackerNet:
    with torch.device("meta"):
        net = AllTrackerNet(variant)
    net.load_state_dict(seeded_state_dict(variant, seed), assign=True)
    return net.eval().requires_grad_(False)


def seeded_clip(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Coarse random blocks drifting by (2, 1) px per frame, and noise: uint8 "f h w 3"."""
    rng = np.random.Generator(np.random.Philox(seed))
    blocks = rng.integers(20, 220, (height // 8 + 1, width // 8 + 1, 3), dtype=np.int64)
    picture = np.kron(blocks, np.ones((8, 8, 1), dtype=np.int64))
    clip = [
        np.roll(picture, (f, 2 * f), axis=(0, 1))[:height, :width]
        + rng.integers(0, 30, (height, width, 3))
        for f in range(count)
    ]
    return torch.from_numpy(np.stack(clip).astype(np.uint8))


@lru_cache
def _time_embedding() -> torch.Tensor:
    return AllTrackerNet("tiny").time_emb


def _seeded(name: str, shape: torch.Size, seed: int) -> torch.Tensor:
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    rng = np.random.Generator(np.random.Philox(int.from_bytes(digest, "little")))
    spread = torch.from_numpy(2 * rng.random(tuple(shape), dtype=np.float32) - 1)  # [-1, 1)
    if name.endswith("layer_scale"):
        return 0.3 + 0.1 * spread
    if len(shape) == 1:
        return 0.1 * spread + (1.0 if name.endswith("weight") else 0.0)  # a norm's weight or a bias
    fan_in = int(np.prod(shape[1:]))
    # heads this small move a pixel by a few px per step, so that it stays in the picture
    return spread * (3 / fan_in) ** 0.5 * (0.1 if "_head.2" in name else 1.0)

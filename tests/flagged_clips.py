"""Clips whose flags are plain: a still picture, a pan, a cut, and something that walks."""

from pathlib import Path

import numpy as np

from motive.clips import ClipStandard, write_mp4

SHAPE = ClipStandard(frames=5, fps=8, height=96, width=128)


def picture(seed: int) -> np.ndarray:
    """Coarse random blocks, uint8 "160 240 3"."""
    blocks = np.random.default_rng(seed).integers(0, 255, (20, 30, 3))
    return np.kron(blocks, np.ones((8, 8, 1))).astype(np.uint8)


def flagged_clips(folder: Path) -> Path:
    """A folder with still.mp4, pan.mp4, cut.mp4 and walk.mp4, 6 frames each, of `SHAPE`."""
    still = np.stack([picture(0)[:96, :128]] * 6)
    pan = np.stack([picture(0)[:96, 3 * f : 128 + 3 * f] for f in range(6)])
    cut = np.concatenate([still[:3], np.stack([picture(1)[:96, :128]] * 3)])
    walk = still.copy()
    for f in range(6):
        walk[f, 30:70, 20 + 4 * f : 60 + 4 * f] = picture(2)[:40, :40]
    for name, pixels in {"still": still, "pan": pan, "cut": cut, "walk": walk}.items():
        write_mp4(folder / f"{name}.mp4", pixels, SHAPE.fps)
    return folder

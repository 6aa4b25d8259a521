"""Tiny pipelines of every family, built from the families' own classes and saved to disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import tiny_others as others
import tiny_wan_kin as kin
from motive.clips import ClipStandard
from tiny_parts import as_pipeline


@dataclass(frozen=True)
class TinyFamily:
    """A tiny pipeline of a family.

    Attributes:
        build: Makes the pipeline.
        standard: A clip shape that it takes, of at least three latent frames.
        family: What must be recognised.
        grid: Latent frames, rows and columns of `standard`.
    """

    build: Callable[[], Any]
    standard: ClipStandard
    family: str
    grid: tuple[int, int, int]


def save_tiny(name: str, folder: Path, seed: int = 0) -> Path:
    """Build a family's tiny pipeline and save it; its zero-initialised output layer is drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline = TINY[name].build()
        for part in ("transformer", "transformer_2"):
            model = getattr(pipeline, part, None)
            if model is not None:
                torch.nn.init.normal_(model.proj_out.weight, std=0.1)
    pipeline.save_pretrained(folder)
    return folder


_SMALL = ClipStandard(frames=9, fps=16, height=32, width=48)
_LONG = ClipStandard(frames=17, fps=25, height=32, width=48)
_COARSE = ClipStandard(frames=9, fps=24, height=64, width=96)
TINY: dict[str, TinyFamily] = {
    "wan-t2v": TinyFamily(kin.wan_t2v, _SMALL, "Wan 2.1 T2V", (3, 4, 6)),
    "wan-i2v": TinyFamily(kin.wan_i2v, _SMALL, "Wan 2.1 I2V", (3, 4, 6)),
    "wan-ti2v": TinyFamily(kin.wan_ti2v, _COARSE, "Wan 2.2 TI2V-5B", (3, 4, 6)),
    "wan-t2v-a14b": TinyFamily(kin.wan_t2v_a14b, _SMALL, "Wan 2.2 T2V-A14B", (3, 4, 6)),
    "wan-i2v-a14b": TinyFamily(kin.wan_i2v_a14b, _SMALL, "Wan 2.2 I2V-A14B", (3, 4, 6)),
    "skyreels-v2": TinyFamily(kin.skyreels, _SMALL, "SkyReels-V2", (3, 4, 6)),
    "cosmos-2.5": TinyFamily(kin.cosmos, _SMALL, "Cosmos-Predict 2.5", (3, 4, 6)),
    "ltx": TinyFamily(others.ltx, _LONG, "LTX-Video", (3, 4, 6)),
    "ltx-i2v": TinyFamily(
        as_pipeline(others.ltx, "LTXImageToVideoPipeline"), _LONG, "LTX-Video I2V", (3, 4, 6)
    ),
    "ltx-2-i2v": TinyFamily(
        as_pipeline(others.ltx2, "LTX2ImageToVideoPipeline"), _LONG, "LTX-2 I2V (video)", (3, 4, 6)
    ),
    "ltx-2": TinyFamily(others.ltx2, _LONG, "LTX-2 (video)", (3, 4, 6)),
    "ltx-2.3": TinyFamily(others.ltx23, _LONG, "LTX-2 (video)", (3, 4, 6)),
    "hunyuan-video": TinyFamily(others.hunyuan_video, _SMALL, "HunyuanVideo", (3, 4, 6)),
    "hunyuan-video-1.5": TinyFamily(others.hunyuan_video15, _COARSE, "HunyuanVideo 1.5", (3, 4, 6)),
    "cogvideox-2b": TinyFamily(others.cogvideox_2b, _SMALL, "CogVideoX", (3, 4, 6)),
    "cogvideox-5b": TinyFamily(others.cogvideox_5b, _SMALL, "CogVideoX", (3, 4, 6)),
    "cogvideox-1.5": TinyFamily(
        others.cogvideox_15, ClipStandard(frames=13, fps=16, height=32, width=48), "CogVideoX 1.5",
        (4, 4, 6),
    ),
    "cogvideox-i2v": TinyFamily(others.cogvideox_image, _SMALL, "CogVideoX I2V", (3, 4, 6)),
    "cogvideox-1.5-i2v": TinyFamily(
        others.cogvideox_15_image, ClipStandard(frames=13, fps=16, height=32, width=48),
        "CogVideoX 1.5 I2V", (4, 4, 6),
    ),
    "hunyuan-video-1.5-i2v": TinyFamily(
        others.hunyuan_video15_image, _COARSE, "HunyuanVideo 1.5 I2V", (3, 4, 6)
    ),
    "mochi": TinyFamily(
        others.mochi, ClipStandard(frames=13, fps=30, height=32, width=48), "Mochi 1", (3, 4, 6)
    ),
}  # fmt: skip

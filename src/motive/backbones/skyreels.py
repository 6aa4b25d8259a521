"""SkyReels-V2 text-to-video: a `SkyReelsV2Pipeline` folder.

The family's truths: those of Wan 2.1 (its VAE, its text encoder, rectified flow at timestep 1000 σ)
with a transformer class of its own. Attributed are whole clips at one noise level; the diffusion
forcing variants give every frame a level of its own, for which there is no one fixed (t, ε), so
their folders are opened as what they are at equal levels: the same network. Some of them are told
the frame rate (`inject_sample_info`): 16 or, as here, another one.
"""

from __future__ import annotations

import torch

from motive.backbones.wan import WanBackbone
from motive.clips import ClipStandard

_NOT_16_FPS = 1  # SkyReelsV2DiffusionForcingPipeline.__call__: 0 is 16 frames per second


class SkyReelsBackbone(WanBackbone):
    """A SkyReels-V2 text-to-video folder."""

    family = "SkyReels-V2"
    pipelines = ("SkyReelsV2Pipeline", "SkyReelsV2DiffusionForcingPipeline")
    default_standard = ClipStandard(frames=97, fps=24.0, height=544, width=960)
    sigma_source = "the paper's noise level, found on Wan 2.1 and taken over"

    def conditions(self, text: torch.Tensor) -> dict[str, object]:
        """The caption, and the class of the frame rate where the model takes one."""
        if not self.transformer_config.get("inject_sample_info"):
            return super().conditions(text)
        return {**super().conditions(text), "fps": [_NOT_16_FPS] * len(text)}

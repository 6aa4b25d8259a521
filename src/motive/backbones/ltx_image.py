"""Image-to-video of LTX-Video and LTX-2: the same networks, with the first latent frame given."""

from __future__ import annotations

from motive.backbones.first_frame import GivenFirstFrame
from motive.backbones.ltx import LTXBackbone
from motive.backbones.ltx2 import LTX2Backbone


class LTXImageBackbone(GivenFirstFrame, LTXBackbone):
    """An `LTXImageToVideoPipeline` folder."""

    family = "LTX-Video I2V"
    pipelines = ("LTXImageToVideoPipeline",)


class LTX2ImageBackbone(GivenFirstFrame, LTX2Backbone):
    """An `LTX2ImageToVideoPipeline` folder."""

    family = "LTX-2 I2V (video)"
    pipelines = ("LTX2ImageToVideoPipeline",)

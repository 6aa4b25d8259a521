"""The registry: which family opens the folders of which diffusers pipeline class.

To add a family, write a file with a `DiffusersBackbone` and name its class here; the tests of all
families run on it once tests/tiny_families.py builds a tiny pipeline of it.
"""

from __future__ import annotations

from motive.backbones.base import DiffusersBackbone
from motive.backbones.cogvideox import CogVideoXBackbone
from motive.backbones.cogvideox_image import CogVideoXImageBackbone
from motive.backbones.cosmos import CosmosBackbone
from motive.backbones.hunyuan_video import HunyuanVideoBackbone
from motive.backbones.hunyuan_video15 import HunyuanVideo15Backbone
from motive.backbones.hunyuan_video15_image import HunyuanVideo15ImageBackbone
from motive.backbones.ltx import LTXBackbone
from motive.backbones.ltx2 import LTX2Backbone
from motive.backbones.ltx_image import LTX2ImageBackbone, LTXImageBackbone
from motive.backbones.mochi import MochiBackbone
from motive.backbones.skyreels import SkyReelsBackbone
from motive.backbones.wan import WanBackbone
from motive.backbones.wan_image import WanImageBackbone

FAMILIES: tuple[type[DiffusersBackbone], ...] = (
    WanBackbone,
    WanImageBackbone,
    LTXBackbone,
    LTXImageBackbone,
    LTX2Backbone,
    LTX2ImageBackbone,
    HunyuanVideoBackbone,
    HunyuanVideo15Backbone,
    HunyuanVideo15ImageBackbone,
    CogVideoXBackbone,
    CogVideoXImageBackbone,
    MochiBackbone,
    SkyReelsBackbone,
    CosmosBackbone,
)
PIPELINES: dict[str, type[DiffusersBackbone]] = {
    pipeline: family for family in FAMILIES for pipeline in family.pipelines
}

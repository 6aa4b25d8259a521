"""Video diffusion models behind one small interface.

Invariant: a backbone is deterministic. The same clip gives the same latents and the same
prediction, whatever was computed before, so everything but the transformer can be cached.
"""

from motive.backbones.base import DiffusersBackbone
from motive.backbones.cache import TensorCache
from motive.backbones.encoding import ClipEncoder
from motive.backbones.families import FAMILIES
from motive.backbones.loading import EMBEDDED_MODELS, load_backbone
from motive.backbones.protocol import Backbone, NoiseLevel, TextEmbedding
from motive.backbones.wan import WanBackbone

__all__ = [
    "EMBEDDED_MODELS",
    "FAMILIES",
    "Backbone",
    "ClipEncoder",
    "DiffusersBackbone",
    "NoiseLevel",
    "TensorCache",
    "TextEmbedding",
    "WanBackbone",
    "load_backbone",
]

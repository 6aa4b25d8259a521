"""Frozen image and video encoders, for metrics and for selections that attribution must beat.

Invariant: an encoder is a pure function of pixels and its settings. Preprocessing is written here,
on tensors, so that nothing needs torchvision.
"""

from motive.encoders.images import ImageEncoder, open_image_encoder
from motive.encoders.preprocessing import (
    Preprocessing,
    centre_crop,
    resize_longer_side,
    resize_shorter_side,
)
from motive.encoders.videos import FrameMeanEncoder, VideoEncoder, VJEPA2Encoder, open_video_encoder

__all__ = [
    "FrameMeanEncoder",
    "ImageEncoder",
    "Preprocessing",
    "VJEPA2Encoder",
    "VideoEncoder",
    "centre_crop",
    "open_image_encoder",
    "open_video_encoder",
    "resize_longer_side",
    "resize_shorter_side",
]

"""Where and how much a clip moves: trackers, motion weights on the latent grid, overlays."""

from motive.motion.overlay import overlay_frames, write_overlay
from motive.motion.trackers import TRACKERS, DISTracker, Tracker, get_tracker
from motive.motion.weights import (
    MotionConfig,
    MotionWeights,
    compute_motion_weights,
    latent_motion_weights,
    minmax_weights,
    motion_magnitude,
    motion_uniformity,
    pixel_motion,
    weights_from_magnitude,
)

__all__ = [
    "TRACKERS",
    "DISTracker",
    "MotionConfig",
    "MotionWeights",
    "Tracker",
    "compute_motion_weights",
    "get_tracker",
    "latent_motion_weights",
    "minmax_weights",
    "motion_magnitude",
    "motion_uniformity",
    "overlay_frames",
    "pixel_motion",
    "weights_from_magnitude",
    "write_overlay",
]

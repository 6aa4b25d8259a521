"""Where and how much a clip moves: trackers, camera and objects, motion weights, overlays."""

from motive.motion.camera import CameraMotion, fit_camera
from motive.motion.codec import CodecTracker
from motive.motion.config import MotionConfig
from motive.motion.facts import MagnitudeFacts, MotionFacts, motion_uniformity
from motive.motion.measure import (
    Magnitude,
    Motion,
    measure_magnitude,
    measure_motion,
    motion_magnitude,
)
from motive.motion.opencv_flow import DISTracker, FarnebackTracker
from motive.motion.overlay import overlay_frames, write_overlay
from motive.motion.placement import place_in_frame
from motive.motion.shots import find_cuts, picture_area
from motive.motion.trackers import (
    TRACKERS,
    FileTracker,
    ReliableTracker,
    Tracker,
    TrackerCard,
    get_tracker,
)
from motive.motion.weights import (
    MotionWeights,
    compute_motion_weights,
    latent_motion_weights,
    minmax_weights,
    normalised_weights,
    robust_weights,
    weights_from_magnitude,
)

__all__ = [
    "TRACKERS",
    "CameraMotion",
    "CodecTracker",
    "DISTracker",
    "FarnebackTracker",
    "FileTracker",
    "Magnitude",
    "MagnitudeFacts",
    "Motion",
    "MotionConfig",
    "MotionFacts",
    "MotionWeights",
    "ReliableTracker",
    "Tracker",
    "TrackerCard",
    "compute_motion_weights",
    "find_cuts",
    "fit_camera",
    "get_tracker",
    "latent_motion_weights",
    "measure_magnitude",
    "measure_motion",
    "minmax_weights",
    "motion_magnitude",
    "motion_uniformity",
    "normalised_weights",
    "overlay_frames",
    "picture_area",
    "place_in_frame",
    "robust_weights",
    "weights_from_magnitude",
    "write_overlay",
]

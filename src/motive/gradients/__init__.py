"""One clip in, one projected gradient out (method §4-6).

Invariant: the full gradient never exists. Each parameter's gradient is projected the moment
backward has produced it and freed at once; a clip costs D' numbers, whatever the model's size.
"""

from motive.gradients.collector import GradientCollector
from motive.gradients.features import Feature, Featurizer, ZeroGradientError
from motive.gradients.objective import (
    Objective,
    Residual,
    fixed_noise,
    location_error,
    motion_weighted_loss,
)

__all__ = [
    "Feature",
    "Featurizer",
    "GradientCollector",
    "Objective",
    "Residual",
    "ZeroGradientError",
    "fixed_noise",
    "location_error",
    "motion_weighted_loss",
]

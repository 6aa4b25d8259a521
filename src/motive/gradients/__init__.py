"""One clip in, one projected gradient out (method §4-6).

Invariant: the full gradient never exists. Each parameter's gradient is projected the moment
backward has produced it and freed at once; a clip costs D' numbers, whatever the model's size.
Small gradients, of one clip or of several, are projected a few megabytes at a time.
"""

from motive.gradients.batch import BatchCollector, NotSeparableError, automatic_batch
from motive.gradients.collector import GradientCollector, parameter_groups
from motive.gradients.execution import TooLargeError
from motive.gradients.features import ClipInputs, Feature, Featurizer, ZeroGradientError
from motive.gradients.objective import (
    Objective,
    Residual,
    fixed_noise,
    location_error,
    motion_weighted_loss,
)

__all__ = [
    "BatchCollector",
    "ClipInputs",
    "Feature",
    "Featurizer",
    "GradientCollector",
    "NotSeparableError",
    "Objective",
    "Residual",
    "TooLargeError",
    "ZeroGradientError",
    "automatic_batch",
    "fixed_noise",
    "location_error",
    "motion_weighted_loss",
    "parameter_groups",
]

"""Gradients of how the error changes from frame to frame, weighted by motion."""

from motive.bench.clipwork import FeatureSpec
from motive.bench.methods.motive import GradientCosine

TEMPORAL_DIFFERENCE = GradientCosine(
    "MOTIVE, temporal difference",
    "temporal-difference",
    "Cosine of gradients of mean W̃ · (r_{f+1} - r_f)², r = prediction - target: what stands still "
    "cancels.",
    FeatureSpec(residual="temporal difference"),
)

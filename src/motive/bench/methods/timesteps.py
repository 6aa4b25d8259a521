"""MOTIVE over several noise levels  [general form of paper eq. 6]."""

from motive.bench.clipwork import FeatureSpec
from motive.bench.methods.motive import GradientCosine

TIMESTEPS = GradientCosine(
    "MOTIVE, 3 timesteps",
    "timesteps",
    "Gradients at t = 751, 550 and 300, each divided by its norm, then averaged (paper eq. 6 with "
    "|T| = 3).",
    FeatureSpec(timesteps=(751.0, 550.0, 300.0)),  # 751 first: shares MOTIVE's own noise
    quick=False,
)

"""MOTIVE without the motion mask: cosine of the ordinary loss's gradients  [paper eq. 6-8]."""

from motive.bench.clipwork import FeatureSpec
from motive.bench.methods.motive import GradientCosine

NO_MASK = GradientCosine(
    "gradient cosine, no mask",
    "no-mask",
    "MOTIVE with W ≡ 1: gradients of the ordinary training loss (paper eq. 6-8).",
    FeatureSpec(mask=False),
)

"""MOTIVE without captions: every clip is explained under the empty one.

A caption that says "bounces" over a clip that stands still leaves an error that is about the
caption. So the frozen control of a model that reads retrieves the motion it was *told*; without
captions it can find only what is seen.
"""

from motive.bench.clipwork import FeatureSpec
from motive.bench.methods.motive import GradientCosine

NO_CAPTION = GradientCosine(
    "MOTIVE, empty caption",
    "no-caption",
    "MOTIVE's gradients under the empty caption: nothing can be found in words.",
    FeatureSpec(caption=False),
    quick=False,
)

NO_CAPTION_NO_MASK = GradientCosine(
    "gradient cosine, empty caption, no mask",
    "no-caption-no-mask",
    "The same with W ≡ 1.",
    FeatureSpec(mask=False, caption=False),
    quick=False,
)

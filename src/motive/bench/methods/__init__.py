"""The methods on the board. A new one is a file that defines a `Method`, listed here."""

from motive.bench.methods.caption_similarity import CAPTIONS
from motive.bench.methods.dot_product import DOT_PRODUCT
from motive.bench.methods.from_file import FromFile
from motive.bench.methods.latent_similarity import LATENTS
from motive.bench.methods.magnitude import MAGNITUDE
from motive.bench.methods.mean_of_scores import (
    FEED_FORWARD,
    FEED_FORWARD_NO_MASK,
    TIMESTEP_SCORES,
    MeanOfScores,
)
from motive.bench.methods.motive import MOTIVE, GradientCosine
from motive.bench.methods.no_caption import NO_CAPTION, NO_CAPTION_NO_MASK
from motive.bench.methods.no_mask import NO_MASK
from motive.bench.methods.pixel_similarity import PIXELS
from motive.bench.methods.protocol import Method
from motive.bench.methods.random_scores import RANDOM
from motive.bench.methods.ridge_kernel import RIDGE_KERNEL
from motive.bench.methods.temporal_difference import TEMPORAL_DIFFERENCE
from motive.bench.methods.timesteps import TIMESTEPS
from motive.bench.methods.untrained import UNTRAINED
from motive.bench.methods.weight_maps import WEIGHT_MAPS
from motive.bench.methods.weightings import WEIGHTINGS
from motive.errors import UsageError

__all__ = ["METHODS", "FromFile", "GradientCosine", "MeanOfScores", "Method", "find_method"]

METHODS: tuple[Method, ...] = (
    RANDOM,
    PIXELS,
    LATENTS,
    CAPTIONS,
    MAGNITUDE,
    WEIGHT_MAPS,
    NO_MASK,
    MOTIVE,
    DOT_PRODUCT,
    RIDGE_KERNEL,
    TIMESTEPS,
    TIMESTEP_SCORES,
    TEMPORAL_DIFFERENCE,
    NO_CAPTION,
    NO_CAPTION_NO_MASK,
    FEED_FORWARD,
    FEED_FORWARD_NO_MASK,
    UNTRAINED,
    *WEIGHTINGS,
)


def find_method(key: str) -> Method:
    """The method of this key.

    Raises:
        UsageError: There is none; the message lists them.
    """
    for method in METHODS:
        if method.key == key:
            return method
    raise UsageError(f"method {key!r}: must be one of {', '.join(m.key for m in METHODS)}")

"""Control: the motion weights alone, no model."""

from motive.bench.methods.similarity import Similarity

WEIGHT_MAPS = Similarity(
    "weight maps alone",
    "weight-maps",
    "Cosine of the motion-weight maps W̃: similar masks, no model and no gradient.",
    lambda bench, role: bench.weights(role),
    uses_pixels=False,
    centred=False,
)

"""Caption similarity: what the text alone gives away."""

from motive.bench.methods.similarity import Similarity

CAPTIONS = Similarity(
    "caption similarity",
    "captions",
    "Cosine of mean-pooled caption embeddings; captions name the motion, no video is seen.",
    lambda bench, role: bench.captions(role),
    uses_pixels=False,
)

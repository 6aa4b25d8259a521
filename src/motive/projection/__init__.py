"""Random projections of gradients too large to hold (method §6).

Invariant: a projection is linear and stateless. The D'-vector of a parameter depends on the
parameter's name, its gradient, the seed and the sizes, never on other parameters, the device, the
worker or the order, so partial results can be added up anywhere.
"""

from motive.projection.dense import DenseGaussian
from motive.projection.fastfood import BlockedFastfood, fastfood_matrix
from motive.projection.parameters import ParameterTable
from motive.projection.protocol import Projection, ShardProjection
from motive.projection.sjlt import HashedSJLT
from motive.projection.srht import BlockedSRHT, srht_matrix

__all__ = [
    "BlockedFastfood",
    "BlockedSRHT",
    "DenseGaussian",
    "HashedSJLT",
    "ParameterTable",
    "Projection",
    "ShardProjection",
    "fastfood_matrix",
    "srht_matrix",
]

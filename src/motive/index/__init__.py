"""What is computed stays computed: features and clip facts on disk, with their fingerprint.

Invariant: a row is written once, whole, under one fingerprint. Features made under different
fingerprints are never in one table and never compared.
"""

from motive.index.features import FeatureRow, FeatureStore, FeatureTable
from motive.index.fingerprint import Fingerprint, differing_fields
from motive.index.manifest import ClipRecord, Manifest
from motive.index.table import LanceTable

__all__ = [
    "ClipRecord",
    "FeatureRow",
    "FeatureStore",
    "FeatureTable",
    "Fingerprint",
    "LanceTable",
    "Manifest",
    "differing_fields",
]

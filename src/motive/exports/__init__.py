"""A selection in the formats that video trainers read.

Invariant: every export is complete or says that it is not, holds the clips of one selection only,
and explains each of them in its `motive.json`.
"""

from motive.exports.exporting import ExportResult, Source, export_clips
from motive.exports.protocol import VIDEO_MODES, Export, Format, Item, Placed, Videos
from motive.exports.registry import FORMATS, find_format

__all__ = [
    "FORMATS",
    "VIDEO_MODES",
    "Export",
    "ExportResult",
    "Format",
    "Item",
    "Placed",
    "Source",
    "Videos",
    "export_clips",
    "find_format",
]

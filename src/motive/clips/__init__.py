"""Video clips: what they are, reading data sets, decoding to one standard, and writing back."""

from motive.clips.clip import Clip, ClipStandard, DecodedClip, Provenance, file_digest
from motive.clips.datasets import read_dataset
from motive.clips.decode import decode_clip, decode_unchanged
from motive.clips.encode import write_mp4
from motive.clips.export import write_diffsynth_jsonl
from motive.clips.folders import VIDEO_SUFFIXES
from motive.clips.lists import CAPTION_COLUMNS, LABEL_COLUMNS, VIDEO_COLUMNS
from motive.clips.source import VideoFacts, probe

__all__ = [
    "CAPTION_COLUMNS",
    "LABEL_COLUMNS",
    "VIDEO_COLUMNS",
    "VIDEO_SUFFIXES",
    "Clip",
    "ClipStandard",
    "DecodedClip",
    "Provenance",
    "VideoFacts",
    "decode_clip",
    "decode_unchanged",
    "file_digest",
    "probe",
    "read_dataset",
    "write_diffsynth_jsonl",
    "write_mp4",
]

"""The work on one clip of a motion table: decode once, measure, draw.

Invariant: what is found depends on the clip and the settings alone, not on which process does it
or what it did before. Pictures are written whole before the row that stands for them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from motive.clips import ClipStandard, decode_clip, probe
from motive.errors import ClipError, MotiveError
from motive.files import whole_file
from motive.index import ClipRecord
from motive.motion import Motion, MotionConfig, measure_motion, overlay_frames, write_overlay
from motive.runs.entries import clip_of, unusable
from motive.runs.motion_rows import stored_facts

STRIPS, OVERLAYS = "strips", "overlays"  # folders inside the motion folder
_TILE = 224  # px, longer side of a picture in a strip
_QUALITY = 82  # of JPEG
_SCALED_BY = 6  # frames that decide how hot a strip's motion map is
_NAME_BYTES = 120  # of a file name that are kept in its overlay's


@dataclass(frozen=True)
class MotionWork:
    """What is done with a clip; sent to worker processes.

    Attributes:
        folder: Motion folder.
        standard: Clip shape.
        config: How to measure.
        strip: Write the strip for the contact sheet.
        overlay: Write the overlay video.
    """

    folder: Path
    standard: ClipStandard
    config: MotionConfig
    strip: bool = True
    overlay: bool = False

    def strip_path(self, record: ClipRecord) -> Path:
        """Where the strip of a clip is, or would be."""
        return self.folder / STRIPS / record.clip_id[:2] / f"{record.clip_id}.jpg"

    def overlay_path(self, record: ClipRecord) -> Path:
        """Where the overlay video of a clip is, or would be."""
        stem = Path(record.source).stem.encode()[:_NAME_BYTES].decode(errors="ignore")
        return self.folder / OVERLAYS / f"{stem}-{record.clip_id[:8]}.mp4"


def measure_record(work: MotionWork, record: ClipRecord) -> ClipRecord:
    """Measure one clip and write what is asked for.

    Args:
        work: What to do.
        record: An entry whose id is known.

    Returns:
        The record with the facts under "facts" of `motion`, or with the reason why there are none.

    Raises:
        MotiveError: The folder cannot be written, or the GPU's memory is too small.
    """
    clip = clip_of(record)
    try:
        source = _source_facts(record)
        record = replace(record, **source)
        decoded = decode_clip(clip, work.standard)
        motion = measure_motion(
            decoded.pixels, work.config, clip=clip, provenance=decoded.provenance
        )
    except ClipError as error:
        return unusable(record, str(error))
    except torch.OutOfMemoryError as error:
        raise MotiveError(
            f"{record.source}: out of memory ({str(error).splitlines()[0]:.80}); use fewer "
            "--workers, fewer --frames, or a smaller --height and --width"
        ) from error
    _draw(work, record, decoded.pixels, motion)
    found = record.motion | {
        "tracker": work.config.tracker,
        "displacement": work.config.displacement,
        "facts": stored_facts(motion.facts),
    }
    return replace(record, motion=found, crop=decoded.provenance.crop)


def _source_facts(record: ClipRecord) -> dict[str, Any]:
    """Length, rate and size of the source, known even if the clip turns out unusable."""
    video = probe(record.source)
    end = video.duration if record.end is None else record.end
    if end is not None and video.duration is not None:
        end = min(end, video.duration)
    seconds = None if end is None else max(0.0, end - record.start)
    return {
        "source_fps": video.fps,
        "source_height": video.height,
        "source_width": video.width,
        "motion": {"seconds": seconds},
    }


def _draw(work: MotionWork, record: ClipRecord, pixels: torch.Tensor, motion: Motion) -> None:
    if work.strip:
        strip = motion_strip(pixels, motion)
        with whole_file(work.strip_path(record)) as partial:
            partial.write_bytes(strip)
    if work.overlay:
        write_overlay(work.overlay_path(record), pixels, motion.magnitude, work.standard.fps)


def motion_strip(pixels: torch.Tensor, motion: Motion) -> bytes:
    """First frame, last frame, and the motion map where most moves, side by side as a JPEG.

    Args:
        pixels: uint8 "f h w 3", RGB.
        motion: What was measured on them.
    """
    heat, last = motion.magnitude, len(pixels) - 1
    means = heat.mean(dim=(1, 2))
    for cut in motion.facts.cuts:  # displacement across a cut means nothing
        means[cut - 1] = -1.0
    peak = int(means.argmax())
    chosen = sorted({peak, *np.linspace(0, last, _SCALED_BY).round().astype(int).tolist()})
    chosen = [f for f in chosen if f == peak or f + 1 not in motion.facts.cuts]
    drawn = overlay_frames(pixels[chosen], heat[chosen])[chosen.index(peak)]
    pictures = (pixels[0], pixels[last], drawn)
    tiles = [_tile(picture.cpu().numpy()) for picture in pictures]
    image = np.ascontiguousarray(np.concatenate(tiles, axis=1)[:, :, ::-1])
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return bytes(encoded.tobytes())


def _tile(picture: np.ndarray) -> np.ndarray:
    """A picture "h w 3" at most `_TILE` high and wide; small ones stay as they are."""
    height, width = picture.shape[:2]
    scale = _TILE / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))

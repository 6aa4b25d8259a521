"""Videos as annotators get them: playable everywhere, and silent about where they come from.

Invariant: nothing but pictures and their times is copied. Titles, comments (generators like to
write prompt and model there), encoder notes, creation times and sound stay behind, because any of
them could tell one condition from another.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from av.bitstream import BitStreamFilterContext

from motive.clips import Clip, ClipStandard, VideoFacts, decode_clip, probe, write_mp4
from motive.clips.geometry import display_matrix
from motive.clips.source import average_fps, damaged, open_video
from motive.errors import ClipError
from motive.files import whole_file

_MOST_BYTES = 2 << 30  # of decoded frames held while a video is converted
_CRF = 10  # x264: far below what an eye tells from the source
_UPRIGHT = ((1, 0, 0, 1), (1 << 16, 0, 0, 1 << 16))  # absent, and identity in 16.16 fixed point
_BLOCK = 12  # known-bad videos: pixels along one edge of a mosaic block


@dataclass(frozen=True)
class StudyVideo:
    """A video inside the study.

    Attributes:
        file: Name in the study's `videos` folder; random, so that it says nothing.
        seconds: Length.
        width: Pixels.
        height: Pixels.
    """

    file: str
    seconds: float
    width: int
    height: int


def bring_video(source: Path, folder: Path) -> StudyVideo:
    """Copy a video into the study: H.264 as it is, anything else converted to it.

    Raises:
        ClipError: Missing, empty, no video, damaged, or a single picture.
        MotiveError: The study's folder cannot be written.
    """
    facts = probe(source)
    frames, seconds, turned = _measure(source)
    if frames < 2:
        raise ClipError(f"{source}: holds one picture only; motion needs at least two frames")
    target = folder / f"{secrets.token_hex(8)}.mp4"
    if facts.codec == "h264" and _is_common(source) and not turned:
        with whole_file(target) as partial:
            _copy_pictures(source, partial)
        return StudyVideo(target.name, seconds, facts.width, facts.height)
    pixels = _decoded(source, facts, frames, seconds)
    write_mp4(target, pixels, frames / seconds, crf=_CRF)
    return StudyVideo(target.name, seconds, pixels.shape[2], pixels.shape[1])


def bring_known_bad(source: Path, folder: Path, seed: int) -> StudyVideo:
    """A copy that nobody can prefer: its frames in a jumbled order, as a coarse mosaic.

    Args:
        source: A good video.
        folder: The study's `videos` folder.
        seed: Of the order of frames.
    """
    facts = probe(source)
    frames, seconds, _ = _measure(source)
    pixels = _decoded(source, facts, frames, seconds)
    order = np.random.default_rng(seed).permutation(frames)
    height, width = pixels.shape[1:3]
    # A tiny clip keeps a few blocks: it must be bad, not blank.
    block = min(_BLOCK, max(2, min(height, width) // 8))
    size = (max(1, width // block), max(1, height // block))
    bad = [
        cv2.resize(
            cv2.resize(pixels[i], size, interpolation=cv2.INTER_AREA),
            (width, height),
            interpolation=cv2.INTER_NEAREST,
        )
        for i in order
    ]
    target = folder / f"{secrets.token_hex(8)}.mp4"
    write_mp4(target, np.stack(bad), frames / seconds, crf=_CRF)
    return StudyVideo(target.name, seconds, facts.width, facts.height)


def _measure(source: Path) -> tuple[int, float, bool]:
    """(frames, seconds, whether a player turns it), from decoding all of it."""
    times: list[float] = []
    turned = False
    with open_video(source) as (container, stream):
        fps = average_fps(stream) or 25.0
        try:
            for frame in container.decode(stream):
                turned = turned or display_matrix(frame) not in _UPRIGHT
                times.append(len(times) / fps if frame.time is None else frame.time)
                if frame.is_corrupt:
                    raise ClipError(damaged(source, times[-1], None))
        except av.FFmpegError as error:
            raise ClipError(damaged(source, times[-1] if times else 0.0, error)) from None
    if not times:
        raise ClipError(f"{source}: holds no video frame; export it again")
    return len(times), times[-1] - times[0] + 1 / fps, turned


def _is_common(source: Path) -> bool:
    """Whether every browser plays this H.264: 8 bits, 4:2:0, square pixels."""
    with open_video(source) as (_, stream):
        square = stream.sample_aspect_ratio in (None, 0, 1)
        return stream.codec_context.pix_fmt == "yuv420p" and square


def _copy_pictures(source: Path, target: Path) -> None:
    """The packets of the video stream in a new mp4, without x264's note of its settings."""
    with (
        open_video(source) as (container, stream),
        av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as out,
    ):
        copy = out.add_stream_from_template(stream)
        copy.metadata.clear()
        # NAL units of type 6 (SEI) carry the encoder's name and options, no pictures.
        cleaned = BitStreamFilterContext("filter_units=remove_types=6", stream, copy)
        for packet in container.demux(stream):
            if packet.dts is None:
                continue
            for clean in cleaned.filter(packet):
                clean.stream = copy
                out.mux(clean)


def _decoded(source: Path, facts: VideoFacts, frames: int, seconds: float) -> np.ndarray:
    """All frames, uint8 "f h w 3", at the source's size and mean rate."""
    size = frames * facts.height * facts.width * 3
    if size > _MOST_BYTES:
        raise ClipError(
            f"{source}: {frames} frames of {facts.width}x{facts.height} are too much to convert "
            "at once; make it an H.264 mp4 (yuv420p), or shorten it"
        )
    width = max(1, round(facts.width * facts.pixel_aspect))
    standard = ClipStandard(frames, frames / seconds, facts.height, width)
    return decode_clip(Clip(str(source)), standard, short="repeat").pixels.numpy()

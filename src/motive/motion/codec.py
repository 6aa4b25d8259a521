"""Motion vectors that the encoder left in the file: a coarse, nearly free baseline.

An encoder's vectors say where a block's pixels were copied from, which is not always where the
thing was. H.264 and MPEG-4 files give them; HEVC, VP9 and AV1 decoders do not.

A vector points from a block to another frame: back to an earlier one or, in B-frames, on to a
later one. Which one is not exported; it is taken to be the nearest frame of that side that other
frames may be built on (no B-frame), and the vector is divided by that distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import av
import cv2
import numpy as np
import torch
from av.codec.context import Flags2
from av.video.frame import PictureType

from motive.clips import Clip, Provenance
from motive.clips.decode import timed_frames
from motive.clips.geometry import (
    display_matrix,
    fit_to_cover,
    is_turned,
    oriented,
    resize_and_crop,
)
from motive.clips.source import damaged, open_video, pixel_aspect
from motive.errors import ClipError


class CodecTracker:
    """Displacements from the motion vectors in a clip's file; see `FileTracker`."""

    name = "codec"

    @property
    def settings(self) -> dict[str, Any]:
        """Only the name: there is nothing to choose."""
        return {"name": self.name}

    def consecutive_in_file(
        self, clip: Clip, provenance: Provenance, size: tuple[int, int]
    ) -> torch.Tensor:
        """Displacement from each output frame to the next, in that frame's own coordinates.

        The steps of the source frames between two output frames are added up in place. The last
        frame gets the displacement of the one before.

        Args:
            clip: The file.
            provenance: Which source frames the output shows, from `decode_clip`.
            size: (height, width) of the output in pixels.

        Returns:
            float32 "f h w 2", (dx, dy) in output pixels; zeros for a single frame.

        Raises:
            ClipError: The file cannot be read, or its codec gives no motion vectors.
        """
        times = provenance.frame_times
        frames = _read_vectors(clip, times[0], times[-1])
        if len(set(times)) > 1 and not any(len(frame.vectors) for frame in frames):
            raise ClipError(
                f"{clip.source}: its codec ({frames[0].codec}) gives no motion vectors; encode it "
                "as H.264 with P-frames, or choose another tracker"
            )
        flow = np.zeros((len(times), *size, 2), np.float32)
        for f, (now, then) in enumerate(pairwise(times)):
            inside = [n for n, frame in enumerate(frames) if now < frame.time <= then]
            if inside:
                total = np.sum([_step(frames, n) for n in inside], axis=0)
                flow[f] = _standardised(total, frames[inside[0]], size)
        if len(times) > 1:
            flow[-1] = flow[-2]
        return torch.from_numpy(flow)


@dataclass(frozen=True)
class _CodedFrame:
    """A source frame without its picture; `vectors` is FFmpeg's structured array."""

    time: float
    is_b: bool
    vectors: np.ndarray
    size: tuple[int, int]  # stored height and width
    matrix: tuple[int, int, int, int]
    aspect: float
    codec: str


def _read_vectors(clip: Clip, first: float, last: float) -> list[_CodedFrame]:
    """The coded frames that lead from the time of the first output frame to that of the last."""
    found: list[_CodedFrame] = []
    with open_video(clip.source) as (container, stream):
        stream.codec_context.flags2 |= Flags2.export_mvs
        aspect, codec = pixel_aspect(stream), stream.codec_context.name
        try:
            for now in timed_frames(container, stream, first if first > 0 else None):
                # One more frame than needed: a B-frame looks ahead.
                if found and found[-1].time > last and not found[-1].is_b:
                    break
                data: Any = now.frame.side_data.get("MOTION_VECTORS")
                vectors = np.empty(0) if data is None else data.to_ndarray()
                is_b = now.frame.pict_type == PictureType.B
                size = (now.frame.height, now.frame.width)
                matrix = display_matrix(now.frame)
                found.append(_CodedFrame(now.time, is_b, vectors, size, matrix, aspect, codec))
        except av.FFmpegError as error:
            if not found or found[-1].time < last:
                raise ClipError(damaged(clip.source, first, error)) from None
    return found


def _step(frames: list[_CodedFrame], number: int) -> np.ndarray:
    """Displacement "h w 2" to this frame from the one before, in stored pixels.

    A frame without vectors (an I-frame) repeats the step after it, or else before it.
    """
    order = [number, *range(number + 1, len(frames)), *range(number - 1, -1, -1)]
    source = next((n for n in order if len(frames[n].vectors)), number)
    frame = frames[source]
    back, ahead = _distances(frames, source)
    vectors = frame.vectors
    if not len(vectors):
        return np.zeros((*frame.size, 2), np.float32)
    distance = np.where(vectors["source"] < 0, -back, ahead) * np.maximum(
        vectors["motion_scale"].astype(np.float64), 1
    )
    motion = np.stack([vectors["motion_x"], vectors["motion_y"]], 1) / distance[:, None]
    extent = np.stack([vectors["w"], vectors["h"]], 1).astype(int)
    # In the frame before, the block lay one step back.
    corner = np.stack([vectors["dst_x"], vectors["dst_y"]], 1) - extent / 2 - motion
    return _painted(np.round(corner).astype(int), extent, motion, frame.size)


def _painted(
    corner: np.ndarray, extent: np.ndarray, motion: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Blocks (left, top), (width, height) with their motion as an image "h w 2", averaged.

    Each block is written as the jumps at its four corners; a running sum then paints them all.
    """
    limit = np.array(size[::-1])
    left, top = np.clip(corner, 0, limit).T
    right, bottom = np.clip(corner + extent, 0, limit).T
    values = np.concatenate([motion, np.ones((len(motion), 1))], axis=1)
    jumps = np.zeros((size[0] + 1, size[1] + 1, 3))
    for x, y, sign in ((left, top, 1), (right, top, -1), (left, bottom, -1), (right, bottom, 1)):
        np.add.at(jumps, (y, x), sign * values)
    # Rounded, because the sums leave traces of 1e-12 px beyond the blocks.
    total = np.asarray(cv2.integral(jumps[:-1, :-1], sdepth=cv2.CV_64F))[1:, 1:].round(6)
    return (total[..., :2] / np.maximum(total[..., 2:], 1)).astype(np.float32)


def _distances(frames: list[_CodedFrame], number: int) -> tuple[int, int]:
    """How many frames back and ahead the nearest frames lie that others are built on."""
    before = next((n for n in range(number - 1, -1, -1) if not frames[n].is_b), number - 1)
    after = next((n for n in range(number + 1, len(frames)) if not frames[n].is_b), number + 1)
    return max(1, number - before), max(1, after - number)


def _standardised(step: np.ndarray, frame: _CodedFrame, size: tuple[int, int]) -> np.ndarray:
    """A displacement in stored pixels as one in output pixels, turned and cropped alike."""
    a, b, c, d = frame.matrix
    shown = oriented(step, frame.matrix)
    turned = is_turned(frame.matrix)
    if turned:
        shown = shown[..., ::-1] * np.array([np.sign(c), np.sign(b)], np.float32)
    else:
        shown = shown * np.array([np.sign(a), np.sign(d)], np.float32)
    aspect = 1 / frame.aspect if turned else frame.aspect
    fit = fit_to_cover((shown.shape[0], shown.shape[1]), aspect, size)
    per_pixel = np.array([fit.size[1] / fit.columns, fit.size[0] / fit.rows], np.float32)
    return resize_and_crop(shown * per_pixel, fit, size)

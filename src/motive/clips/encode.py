"""Write mp4 files that every browser, player and trainer opens.

Invariant: a file either exists whole or not at all; a killed run leaves no half video behind.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.video.reformatter import ColorRange, Colorspace

from motive.errors import UsageError
from motive.files import whole_file


def write_mp4(
    path: str | os.PathLike[str],
    pixels: torch.Tensor | np.ndarray,
    fps: float,
    *,
    crf: int = 16,
) -> None:
    """Encode frames as H.264 (yuv420p, BT.709, index at the front) under exactly this rate.

    H.264 with 4:2:0 colour needs even sizes: an odd height or width gains one row or column that
    repeats the edge.

    Args:
        path: File to write, replaced if it exists; its folder is made if missing.
        pixels: uint8 "f h w 3", RGB.
        fps: Frames per second written into the file.
        crf: x264's constant rate factor, 0 (lossless) to 51; 16 is visually lossless.

    Raises:
        UsageError: The pixels have another shape or type, or `fps` or `crf` is out of range.
        MotiveError: The file cannot be written (disk full, permissions).
    """
    frames = _checked(pixels, fps, crf)
    with whole_file(path) as partial:
        _encode(partial, frames, Fraction(fps).limit_denominator(1001), crf)


def _checked(pixels: torch.Tensor | np.ndarray, fps: float, crf: int) -> np.ndarray:
    """The frames as a numpy array of even height and width."""
    frames = pixels.detach().cpu().numpy() if isinstance(pixels, torch.Tensor) else pixels
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise UsageError(
            f"pixels {frames.dtype} {tuple(frames.shape)}: must be uint8 'f h w 3' with f, h, w > 0"
        )
    if not 0 < fps <= 1000:
        raise UsageError(f"fps={fps}: must be above 0 and at most 1000")
    if not 0 <= crf <= 51:
        raise UsageError(f"crf={crf}: must be between 0 and 51")
    _, height, width, _ = frames.shape
    if height % 2 or width % 2:
        frames = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return frames


def _encode(path: Path, frames: np.ndarray, rate: Fraction, crf: int) -> None:
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf)})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # x264's bytes depend on its number of threads
        # Colour is tagged, so that a reader does not guess another matrix from the picture's size.
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_range = ColorRange.MPEG
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = frame.reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
            frame.pts = index
            frame.time_base = 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())

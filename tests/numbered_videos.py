"""Small videos whose every frame says which one it is."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_BITS = 8


def frame_with_number(number: int, height: int = 32, width: int = 64) -> np.ndarray:
    """uint8 "h w 3": eight black or white columns that spell the number in binary."""
    bits = [(number >> bit) & 1 for bit in range(_BITS)]
    row = np.repeat(np.array(bits) * 255, -(-width // _BITS))[:width]
    return np.broadcast_to(row[None, :, None], (height, width, 3)).astype(np.uint8)


def number_on_frame(frame) -> int:
    """The number that `frame_with_number` drew, read back from pixels "h w 3"."""
    grey = np.asarray(frame, np.float64).mean((0, 2))
    columns = [part.mean() for part in np.array_split(grey, _BITS)]
    return sum((value > 127) << bit for bit, value in enumerate(columns))


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    fps: float = 16,
    *,
    times: Sequence[float] | None = None,
    rotation: int | None = None,
    pixel_aspect: Fraction | None = None,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    gop: int = 12,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode frames with PyAV alone, at a rate or at the given times in seconds."""
    clock = Fraction(1, 90000)
    with av.open(str(path), "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        default = {"preset": "ultrafast", "crf": "4"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=rate, options=default | (options or {}))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.codec_context.gop_size = gop
        if times is not None:
            stream.codec_context.time_base = clock
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            if times is None:
                frame.pts, frame.time_base = index, 1 / rate
            else:
                frame.pts, frame.time_base = round(times[index] / clock), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path

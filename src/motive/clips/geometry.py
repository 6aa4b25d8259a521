"""Where the pixels of a standardised frame come from: orientation, cover and centre crop.

Invariant: `Fit.crop` is exactly the source rectangle that the output shows, so a place in the
output can be traced to the source.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import cv2
import numpy as np


@dataclass(frozen=True)
class Fit:
    """Cut `rows` x `columns` at (top, left), resize to `size`, take the output at `offset`."""

    top: int
    left: int
    rows: int
    columns: int
    size: tuple[int, int]  # (height, width) after resizing
    offset: tuple[int, int]  # (row, column) where the output starts
    crop: tuple[float, float, float, float]  # (top, left, height, width) in source pixels


def display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """(a, b, c, d): the pixel (x, y) is displayed at (a x + c y, b x + d y), up to a shift."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return (1, 0, 0, 1)
    numbers = np.frombuffer(data, np.int32)  # type: ignore[call-overload]
    return (int(numbers[0]), int(numbers[1]), int(numbers[3]), int(numbers[4]))


def is_turned(matrix: tuple[int, int, int, int]) -> bool:
    """Whether the picture is shown on its side, so that width and height swap."""
    a, b, c, d = matrix
    return abs(b) + abs(c) > abs(a) + abs(d)


def oriented(image: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """The image as a player shows it: the nearest of the eight quarter turns and mirrorings."""
    a, b, c, d = matrix
    x, y = a, d
    if is_turned(matrix):
        image, x, y = image.transpose(1, 0, 2), c, b
    return image[:: -1 if y < 0 else 1, :: -1 if x < 0 else 1]


def fit_to_cover(source: tuple[int, int], aspect: float, target: tuple[int, int]) -> Fit:
    """The resize-to-cover and centre crop that bring `source` to `target` (both height, width).

    The source is cut to whole pixels around the kept rectangle before resizing, so that extreme
    shapes (1 x 10000) cost no more memory than others.
    """
    (height, width), (out_height, out_width) = source, target
    scale = max(out_height / height, out_width / (width * aspect))  # output px per square px
    kept_height = min(height, out_height / scale)
    kept_width = min(width, out_width / (scale * aspect))
    top, left = int((height - kept_height) / 2 + 1e-9), int((width - kept_width) / 2 + 1e-9)
    rows, columns = height - 2 * top, width - 2 * left
    size = (
        max(out_height, round(rows * scale)),
        max(out_width, round(columns * scale * aspect)),
    )
    offset = ((size[0] - out_height) // 2, (size[1] - out_width) // 2)
    per_row, per_column = rows / size[0], columns / size[1]  # source px per output px
    crop = (
        top + offset[0] * per_row,
        left + offset[1] * per_column,
        out_height * per_row,
        out_width * per_column,
    )
    return Fit(top, left, rows, columns, size, offset, crop)


def resize_and_crop(image: np.ndarray, fit: Fit, target: tuple[int, int]) -> np.ndarray:
    """Carry out a `Fit`: area averaging when shrinking, cubic when growing."""
    cut = image[fit.top : fit.top + fit.rows, fit.left : fit.left + fit.columns]
    cut = np.ascontiguousarray(cut)
    if (fit.rows, fit.columns) != fit.size:
        shrinks = fit.size[0] < fit.rows or fit.size[1] < fit.columns
        how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        cut = cv2.resize(cut, (fit.size[1], fit.size[0]), interpolation=how)
    (y, x), (height, width) = fit.offset, target
    return cut[y : y + height, x : x + width]

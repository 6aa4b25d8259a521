"""What the camera does: one global motion per frame, fitted to the flow, and what is left of it.

Invariant: the fit is a pure function of the flow (the random triples come from a fixed seed), and
something that fills less than about half of the picture is never taken for the camera, unless the
rest of the picture tells nothing.

How a frame is fitted: affine motions through many triples of places, and standing still, are
ranked by how much of the picture follows them, places near the border counting more because
objects tend to be in the middle. The best one is refined by iteratively reweighted least squares
with Geman-McClure weights, whose scale follows the spread of the places that agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from motive.errors import UsageError
from motive.motion.side_by_side import side_by_side

Array = NDArray[np.float64]
Model = Literal["affine", "homography"]

MODELS = ("affine", "homography")
_ENOUGH = 256  # px of the longer side; larger pictures are shrunk to look for places
_SIDE = 32  # places along the longer side that are fitted
_RANKED = 160  # places by which candidates are ranked
_TRIPLES = 128  # candidates; half of the places wrong leaves 16 clean triples
_SPREAD = 0.05  # least area of a triple, of the rectangle around all places
_FEWEST = 12  # places; fewer cannot tell a camera from an object
_TEXTURED = 0.5  # of the structure's trace: gradients as strong as noise
_GRADIENT_NOISE = 1.5  # grey levels per pixel, after compression
_AGREEING = 0.4  # of the places must agree; an object may fill more than half of the rest
_FINEST = 0.05  # px; below the noise of every tracker
_COARSEST = 1.5  # px by which places may disagree and still count as one camera
_STILL_BONUS = 0.95  # a camera that stands still needs no explanation
_ROUNDS = 8  # of reweighting; later ones move the fit by less than 0.001 px


@dataclass(frozen=True)
class CameraMotion:
    """Global motion of every frame of a clip.

    Attributes:
        matrices: float64 "f 3 3". A place (x, y, 1) in pixels from the picture's centre, y down,
            goes to the place that the matrix gives (after division by the third number).
        support: float64 "f": share of the fitted places that follow the camera, in [0, 1].
        size: (height, width) of the picture in pixels.
    """

    matrices: Array
    support: Array
    size: tuple[int, int]

    def flow(self, frame: int) -> torch.Tensor:
        """Displacement of every pixel of a frame by the camera alone, float32 "h w 2", pixels."""
        height, width = self.size
        x = np.arange(width) - (width - 1) / 2
        y = np.arange(height)[:, None] - (height - 1) / 2
        m = self.matrices[frame]
        out = np.empty((height, width, 2), np.float32)
        if np.array_equal(m[2], (0, 0, 1)):  # affine: a sum over columns and rows
            for axis, (row, column) in enumerate([(m[0, 0] - 1, m[0, 1]), (m[1, 0], m[1, 1] - 1)]):
                along = (row * x + m[axis, 2]).astype(np.float32)
                np.add(along, (column * y).astype(np.float32), out=out[..., axis])
            return torch.from_numpy(out)
        depth = m[2, 0] * x + m[2, 1] * y + m[2, 2]
        out[..., 0] = (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / depth - x
        out[..., 1] = (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / depth - y
        return torch.from_numpy(out)

    def mean_magnitude(self, frame: int) -> float:
        """Mean motion that the camera gives the picture in a frame, in pixels."""
        m = self.matrices[frame]
        y, x = np.meshgrid(
            *(np.linspace(-0.5, 0.5, 9) * (side - 1) for side in self.size), indexing="ij"
        )
        places = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
        ahead = m @ places
        return float(np.linalg.norm(ahead[:2] / ahead[2] - places[:2], axis=0).mean())


def fit_camera(
    flow: torch.Tensor,
    pixels: torch.Tensor | None = None,
    *,
    home: Sequence[int] | None = None,
    model: Model = "affine",
    area: torch.Tensor | None = None,
) -> CameraMotion:
    """Fit the camera's motion in every frame.

    Args:
        flow: float "f h w 2", pixels; consecutive or anchored.
        pixels: uint8 "f h w 3". A place then counts by its structure: fully at a corner, along an
            edge only across it, and hardly in a plain surface, whose flow is a guess.
        home: For each frame of the flow the picture in whose coordinates it stands; by default
            its own.
        model: "affine" (6 numbers a frame) or "homography" (8), which follows a flat background
            under any camera, but also noise.
        area: bool "h w": where the picture is (no letterbox bars); everywhere by default.

    Raises:
        UsageError: An unknown model.
    """
    if model not in MODELS:
        raise UsageError(f"camera_model={model!r}: must be one of {', '.join(MODELS)}")
    count, height, width, _ = flow.shape
    matrices = np.repeat(np.eye(3)[None], count, axis=0)
    support = np.ones(count)
    cells = _Cells(height, width, None if area is None else area.cpu().numpy())
    if not cells.enough:
        return CameraMotion(matrices, support, (height, width))
    numbers = range(count) if home is None else home

    @lru_cache(maxsize=4)  # anchored flow asks for the same picture again and again
    def spots(number: int) -> _Spots | None:
        return cells.spots(None if pixels is None else pixels[number].cpu().numpy())

    def fit(frame: int) -> tuple[Array, float]:
        found = spots(numbers[frame])
        if found is None:
            return np.eye(3), 1.0
        places = _Places(found, flow[frame].numpy(), cells)
        affine = places.refine(places.best_candidate())
        if model == "homography":
            return places.homography(affine)
        return places.in_pixels(affine), places.affine_support(affine)

    for frame, found in enumerate(side_by_side(fit, count)):
        matrices[frame], support[frame] = found
    return CameraMotion(matrices, support, (height, width))


@dataclass(frozen=True)
class _Spots:
    """Where a picture's flow is looked at: rows and columns "n", structure tensors "n 2 2"."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    structure: Array


class _Cells:
    """A regular grid over the picture; the flow is looked at in one place of each cell."""

    def __init__(self, height: int, width: int, area: NDArray[np.bool_] | None) -> None:
        self.size = (height, width)
        factor = min(1.0, _ENOUGH / max(height, width))
        self.seen = (max(1, round(height * factor)), max(1, round(width * factor)))
        side = max(1, round(max(self.seen) / _SIDE))
        self.rows, self.columns, self.side = self.seen[0] // side, self.seen[1] // side, side
        self.inside: NDArray[np.bool_] = np.ones((self.rows, self.columns), bool)
        if area is not None:
            shrunk = self._shrunk(area.astype(np.uint8) * 255)
            self.inside = np.asarray((self._by_cell(shrunk) == 255).all(axis=(2, 3)))
        self.enough = self.inside.sum() >= _FEWEST and min(self.rows, self.columns) >= 3
        generator = np.random.default_rng(0)
        number = int(self.inside.sum())
        self.ranked = generator.permutation(number)
        self.drawn = generator.integers(max(number, 1), size=(_TRIPLES * 16, 3))

    def spots(self, frame: NDArray[np.uint8] | None) -> _Spots | None:
        """The place of each cell with the best corner; None if there is too little structure."""
        side, (rows, columns) = self.side, np.nonzero(self.inside)
        if frame is None:
            middle = np.full(len(rows), side // 2 * (side + 1))
            structure = np.broadcast_to(np.eye(2), (len(rows), 2, 2))
            return self._in_picture(rows * side, columns * side, middle, structure)
        tensor, corner = _structure(self._shrunk(frame))
        inner = self._by_cell(corner).reshape(self.rows, self.columns, -1).argmax(-1)
        inner = inner[rows, columns]
        there = rows * side + inner // side, columns * side + inner % side
        xx, xy, yy = (tensor[..., i][there] for i in range(3))
        structure = np.stack([xx, xy, xy, yy], -1).reshape(-1, 2, 2)
        if (np.trace(structure, axis1=1, axis2=2) > _TEXTURED).sum() < _FEWEST:
            return None
        return self._in_picture(rows * side, columns * side, inner, structure)

    def _in_picture(
        self,
        top: NDArray[np.intp],
        left: NDArray[np.intp],
        inner: NDArray[np.intp],
        structure: Array,
    ) -> _Spots:
        """Places given by their cell's corner and their number in it, in the whole picture."""
        (height, width), (rows, columns) = self.size, self.seen
        row, column = top + inner // self.side, left + inner % self.side
        return _Spots(
            ((row + 0.5) * height / rows).astype(int),
            ((column + 0.5) * width / columns).astype(int),
            structure,
        )

    def _shrunk(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """An image "h w ..." of the size at which places are looked for."""
        if image.shape[:2] == self.seen:
            return image
        size = self.seen[::-1]
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _by_cell(self, values: np.ndarray) -> np.ndarray:
        """Values "h w" as "rows columns side side"; what is left over is cut off."""
        side = self.side
        cut = values[: self.rows * side, : self.columns * side]
        return cut.reshape(self.rows, side, self.columns, side).swapaxes(1, 2)


class _Places:
    """Flow and structure where the camera is fitted. Coordinates run to ±1 along the longer side.

    Differences are multiplied by the square root of the structure, so that their plain length
    says how far they can be seen; an affine motion is a vector of 6, its matrix "3 2" by rows.
    """

    def __init__(self, spots: _Spots, flow: np.ndarray, cells: _Cells) -> None:
        height, width = cells.size
        self.scale = max(height, width) / 2
        self.cells = cells
        self.vectors = flow[spots.rows, spots.columns].astype(np.float64) / self.scale
        x = (spots.columns - (width - 1) / 2) / self.scale
        y = (spots.rows - (height - 1) / 2) / self.scale
        self.design = np.stack([np.ones_like(x), x, y], axis=1)  # (n, 3)
        from_middle = np.maximum(np.abs(x) / width, np.abs(y) / height) * 2 * self.scale
        self.prior = 0.5 + from_middle
        self.textured = np.trace(spots.structure, axis1=1, axis2=2) > _TEXTURED
        self.root = _square_root(spots.structure)  # (n, 2, 2)
        terms = self.root[:, :, None, :] * self.design[:, None, :, None]
        self.terms = terms.reshape(-1, 6)  # (2 n, 6)
        self.seen = (self.root @ self.vectors[:, :, None]).reshape(-1)  # (2 n)

    def best_candidate(self) -> Array:
        """The affine motion "6" that most of the picture follows."""
        few = self.cells.ranked[self.textured[self.cells.ranked]][:_RANKED]
        drawn = self.cells.drawn[self.textured[self.cells.drawn].all(axis=1)]
        extent = np.ptp(self.design, axis=0)[1:].prod()
        chosen = drawn[np.abs(_triangle(self.design[drawn])) > _SPREAD * extent][:_TRIPLES]
        through = np.linalg.inv(self.design[chosen]) @ self.vectors[chosen]  # (k, 3, 2)
        candidates = np.concatenate([np.zeros((1, 6)), through.reshape(-1, 6)])
        both = np.stack([2 * few, 2 * few + 1], axis=1).ravel()
        left = self.terms[both] @ candidates.T - self.seen[both, None]
        squares = np.square(left[0::2]) + np.square(left[1::2])  # (n, k)
        # Scale: what the better part agrees on, for the candidate that agrees best.
        near = np.sqrt(_quantile(squares, _AGREEING).min())
        reach = np.clip(2.5 * near, 2 * _FINEST / self.scale, _COARSEST / self.scale)
        cost = self.prior[few] @ np.minimum(squares / reach**2, 1.0)
        cost[0] *= _STILL_BONUS
        return candidates[int(cost.argmin())]

    def refine(self, affine: Array) -> Array:
        """Reweighted least squares from a candidate, affine "6"."""
        for _ in range(_ROUNDS):
            left = self.terms @ affine - self.seen
            affine = self._solve(self.terms, self.seen, left, np.zeros(6))
        return affine

    def homography(self, affine: Array) -> tuple[Array, float]:
        """A homography refined from an affine motion: its matrix in pixels, and its support."""
        x, y = self.design[:, 1], self.design[:, 2]
        goal = self.design[:, 1:] + self.vectors
        no, one = np.zeros_like(x), np.ones_like(x)
        across = np.stack([x, y, one, no, no, no, -goal[:, 0] * x, -goal[:, 0] * y], 1)
        down = np.stack([no, no, no, x, y, one, -goal[:, 1] * x, -goal[:, 1] * y], 1)
        terms = (self.root @ np.stack([across, down], axis=1)).reshape(-1, 8)
        seen = (self.root @ goal[:, :, None]).reshape(-1)
        still = np.array([1.0, 0, 0, 0, 1.0, 0, 0, 0])
        left = self.terms @ affine - self.seen
        for _ in range(_ROUNDS):
            matrix = np.append(self._solve(terms, seen, left, still), 1.0).reshape(3, 3)
            ahead = np.stack([x, y, one], 1) @ matrix.T
            left = (self.root @ (ahead[:, :2] / ahead[:, 2:] - goal)[:, :, None]).reshape(-1)
        matrix[:2, 2] *= self.scale
        matrix[2, :2] /= self.scale
        return matrix, self.support(left)

    def support(self, left: Array) -> float:
        """Share of the textured places that a motion explains, from what it leaves "2 n"."""
        near = _lengths(left) < (3 * self._spread(left)) ** 2
        return float(near[self.textured].mean())

    def affine_support(self, affine: Array) -> float:
        """The same for an affine motion "6"."""
        return self.support(self.terms @ affine - self.seen)

    def in_pixels(self, affine: Array) -> Array:
        """Affine motion "6" as a matrix on pixels from the centre, "3 3"."""
        matrix = np.eye(3)
        matrix[:2, :2] += affine.reshape(3, 2)[1:].T
        matrix[:2, 2] = affine[:2] * self.scale
        return matrix

    def _solve(self, terms: Array, seen: Array, left: Array, still: Array) -> Array:
        """One step of reweighted least squares; what cannot be seen stays as in `still`."""
        reach = 2.5 * self._spread(left)  # Geman-McClure
        weights = np.repeat(self.prior / np.square(1 + _lengths(left) / reach**2), 2)
        weighted = terms * weights[:, None]
        normal = weighted.T @ terms
        ridge = 1e-6 * np.trace(normal) / len(normal)
        normal[np.diag_indices(len(normal))] += ridge
        solved: Array = np.linalg.solve(normal, weighted.T @ seen + ridge * still)
        return solved

    def _spread(self, left: Array) -> float:
        """Typical distance from the fit among the textured places that agree with it."""
        squares = _lengths(left)[self.textured]
        finest, coarsest = _FINEST / self.scale, _COARSEST / self.scale
        reach = np.clip(2.5 * np.sqrt(_quantile(squares, _AGREEING)), finest, coarsest)
        near = squares[squares <= reach**2]
        found = float(np.sqrt(near.mean() / 2)) if near.size else 0.0
        return min(max(found, finest), coarsest)


def _lengths(left: Array) -> Array:
    """Squared length "n" of differences "2 n"."""
    return np.square(left[0::2]) + np.square(left[1::2])


def _quantile(values: Array, share: float) -> Array:
    """Quantile along the first axis, without interpolation."""
    place = int(share * (len(values) - 1))
    found: Array = np.partition(values, place, axis=0)[place]
    return found


def _square_root(structure: Array) -> Array:
    """Square root of symmetric positive matrices "n 2 2" (Cayley-Hamilton)."""
    determinant = structure[:, 0, 0] * structure[:, 1, 1] - structure[:, 0, 1] ** 2
    root = np.sqrt(np.maximum(determinant, 0))
    trace = np.sqrt(np.trace(structure, axis1=1, axis2=2) + 2 * root)
    shifted = structure + root[:, None, None] * np.eye(2)
    out: Array = shifted / np.maximum(trace, 1e-12)[:, None, None]
    return out


def _triangle(corners: Array) -> Array:
    """Signed area of triangles of places (1, x, y), "k 3 3"."""
    a, b = corners[:, 1, 1:] - corners[:, 0, 1:], corners[:, 2, 1:] - corners[:, 0, 1:]
    return (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2


def _structure(frame: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Structure tensor (xx, xy, yy) "h w 3" with traces below 1, and smaller eigenvalue "h w"."""
    grey = cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (0, 0), 0.8)
    x = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    y = cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    products = np.stack([x * x, x * y, y * y], -1)
    tensor = np.asarray(cv2.GaussianBlur(products, (0, 0), 2.0), np.float32)
    tensor /= (tensor[..., 0] + tensor[..., 2] + _GRADIENT_NOISE**2)[..., None]
    half, gap = (tensor[..., 0] + tensor[..., 2]) / 2, (tensor[..., 0] - tensor[..., 2]) / 2
    return tensor, np.asarray(half - np.sqrt(gap * gap + tensor[..., 1] ** 2), np.float32)

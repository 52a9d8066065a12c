"""Boxes and the letterbox: plain geometry on arrays, shared by detection, tracking, training and scoring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def iou_matrix(boxes_a: NDArray[np.floating], boxes_b: NDArray[np.floating]) -> FloatArray:
    """Say how much each box of one list overlaps each box of another.

    Args:
        boxes_a: float, (N, 4), x1 y1 x2 y2 in any one unit.
        boxes_b: float, (M, 4), in the same unit.

    Returns:
        float32, (N, M), intersection over union in [0, 1]; 0 where both boxes are empty.
    """
    a = np.asarray(boxes_a, np.float32).reshape(-1, 4)
    b = np.asarray(boxes_b, np.float32).reshape(-1, 4)
    # Side by side as planes: along pairs of numbers numpy takes four times as long.
    left, top, right, bottom = (a[:, None, side] for side in range(4))
    other_left, other_top, other_right, other_bottom = (b[None, :, side] for side in range(4))
    width = np.minimum(right, other_right) - np.maximum(left, other_left)
    height = np.minimum(bottom, other_bottom) - np.maximum(top, other_top)
    intersection = np.maximum(width, 0) * np.maximum(height, 0)
    union = _areas(a)[:, None] + _areas(b)[None] - intersection
    overlap: FloatArray = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return overlap


def _areas(boxes: FloatArray) -> FloatArray:
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    area: FloatArray = sides[:, 0] * sides[:, 1]
    return area


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a picture was scaled into the upper left corner of a fixed canvas.

    Attributes:
        scale: Canvas pixels per picture pixel; the same in x and y, so faces keep their shape.
        width: Used width of the canvas, px.
        height: Used height of the canvas, px.
    """

    scale: float
    width: int
    height: int

    @classmethod
    def fit(cls, size: tuple[int, int], canvas: tuple[int, int]) -> Letterbox:
        """Fit a picture of ``size`` (width, height) px into ``canvas`` (width, height) px, enlarging at most twice."""
        scale = min(canvas[0] / size[0], canvas[1] / size[1], 2.0)
        width = min(canvas[0], max(1, round(size[0] * scale)))
        height = min(canvas[1], max(1, round(size[1] * scale)))
        return cls(scale, width, height)

    def to_picture(self, points: NDArray[np.floating]) -> FloatArray:
        """Carry canvas coordinates, (..., 2k) px as x y pairs, back to picture pixels."""
        return (np.asarray(points, np.float32) / self.scale).astype(np.float32)


def square_around(box: NDArray[np.floating], margin: float) -> FloatArray:
    """Make the square that the classifier looks at around a face box.

    Args:
        box: float, (4,), x1 y1 x2 y2, px; may reach outside the picture.
        margin: Share of the longer side added on every side, e.g. 0.25.

    Returns:
        float32, (4,), x1 y1 x2 y2, px, square, with the same centre; may reach outside the picture.
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    half = max(x2 - x1, y2 - y1) * (0.5 + margin)
    centre_x, centre_y = (x1 + x2) / 2, (y1 + y2) / 2
    return np.array([centre_x - half, centre_y - half, centre_x + half, centre_y + half], np.float32)


def squares_around(boxes: NDArray[np.floating], margin: float) -> FloatArray:
    """Do what `square_around` does for many boxes: float, (K, 4), to float32, (K, 4)."""
    sides = np.asarray(boxes, np.float64).reshape(-1, 4)
    centres = (sides[:, :2] + sides[:, 2:]) / 2
    halves = (sides[:, 2:] - sides[:, :2]).max(axis=1, keepdims=True) * (0.5 + margin)
    squares: FloatArray = np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)
    return squares

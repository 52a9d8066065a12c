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
    left_top = np.maximum(a[:, None, :2], b[None, :, :2])
    right_bottom = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.clip(right_bottom - left_top, 0, None)
    intersection = sides[..., 0] * sides[..., 1]
    area_a = np.clip(a[:, 2] - a[:, 0], 0, None) * np.clip(a[:, 3] - a[:, 1], 0, None)
    area_b = np.clip(b[:, 2] - b[:, 0], 0, None) * np.clip(b[:, 3] - b[:, 1], 0, None)
    union = area_a[:, None] + area_b[None, :] - intersection
    overlap = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    result: FloatArray = overlap.astype(np.float32, copy=False)
    return result


def suppress_overlaps(boxes: NDArray[np.floating], scores: NDArray[np.floating], max_iou: float) -> NDArray[np.intp]:
    """Keep the best box of every heap of overlapping ones (greedy non-maximum suppression).

    Args:
        boxes: float, (N, 4), x1 y1 x2 y2.
        scores: float, (N,), higher is better.
        max_iou: Two kept boxes overlap by at most this, in [0, 1].

    Returns:
        intp, (K,), indices of the kept boxes, best first.
    """
    if len(scores) < 2:
        return np.arange(len(scores))
    order = np.argsort(-np.asarray(scores), kind="stable")
    overlap = iou_matrix(boxes, boxes)
    alive = np.ones(len(order), bool)
    kept: list[int] = []
    for index in order:
        if alive[index]:
            kept.append(int(index))
            alive &= overlap[index] <= max_iou
    return np.asarray(kept, np.intp)


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

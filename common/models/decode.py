"""From the detector's raw output to faces: numpy only, only points above the threshold are looked at."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray, suppress_overlaps

STRIDES = (8, 16, 32)
COLUMNS = 16
MAX_CANDIDATES = 2000
MAX_LOG_SIDE = 8.0


@dataclass(frozen=True, slots=True)
class Detections:
    """The faces of one canvas, best first.

    Attributes:
        boxes: float32, (K, 4), x1 y1 x2 y2, canvas px; may reach outside the canvas.
        scores: float32, (K,), 0..1.
        landmarks: float32, (K, 5, 2), x y, canvas px: the eyes (the picture's left one first), nose tip, mouth corners.
    """

    boxes: FloatArray
    scores: FloatArray
    landmarks: FloatArray


NOTHING = Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 5, 2), np.float32))


@functools.lru_cache(maxsize=64)
def grid(canvas: tuple[int, int]) -> FloatArray:
    """Give the grid points of a canvas in the order of the raw output.

    Args:
        canvas: (width, height), px, multiples of 32.

    Returns:
        float32, (N, 3): column, row, stride in px. Shared: do not write to it.
    """
    levels = []
    for stride in STRIDES:
        rows, columns = np.mgrid[: canvas[1] // stride, : canvas[0] // stride]
        level = np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], axis=1)
        levels.append(level.astype(np.float32))
    points: FloatArray = np.concatenate(levels)
    points.setflags(write=False)
    return points


def decode(raw: NDArray[np.floating], canvas: tuple[int, int], min_score: float, max_iou: float) -> list[Detections]:
    """Turn the raw output of a batch into faces.

    Args:
        raw: float, (B, N, 16), as ``common.models.networks.DetectorGraph`` gives it.
        canvas: (width, height) px that the batch had.
        min_score: Faces below are left out, 0..1.
        max_iou: Two faces of one canvas overlap by at most this, 0..1.

    Returns:
        One ``Detections`` for each canvas of the batch.

    Raises:
        ValueError: The shape of ``raw`` does not belong to the canvas.
    """
    points = grid(canvas)
    if raw.ndim != 3 or raw.shape[1:] != (len(points), COLUMNS):
        raise ValueError(
            f"raw output of shape {raw.shape} where (B, {len(points)}, {COLUMNS}) belongs to a canvas of {canvas}"
        )
    return [_decode_one(np.asarray(one), points, min_score, max_iou) for one in raw]


def _decode_one(raw: NDArray[np.floating], points: FloatArray, min_score: float, max_iou: float) -> Detections:
    chosen = np.flatnonzero(raw[:, 0] >= min_score)
    if not len(chosen):
        return NOTHING
    return settle(raw[chosen], points[chosen], max_iou)


def settle(values: NDArray[np.floating], anchors: FloatArray, max_iou: float) -> Detections:
    """Turn the points of one canvas that are above the threshold into faces.

    Args:
        values: float, (M, 16), their rows of the raw output, in its order.
        anchors: float32, (M, 3), their grid points.
        max_iou: Two faces overlap by at most this, 0..1.
    """
    if len(values) > MAX_CANDIDATES:
        best = np.argsort(-values[:, 0], kind="stable")[:MAX_CANDIDATES]
        values, anchors = values[best], anchors[best]
    values = values.astype(np.float32)
    finite = np.isfinite(values).all(axis=1)
    values, anchors = values[finite], anchors[finite]
    boxes, landmarks = place(values[:, 1:15], anchors)
    kept = suppress_overlaps(boxes, values[:, 0], max_iou)
    return Detections(boxes[kept], values[kept, 0], landmarks[kept])


def place(deltas: FloatArray, anchors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Turn deltas at grid points into boxes and landmarks.

    Args:
        deltas: float32, (K, 14): dx, dy, log w, log h, five landmark dx dy, all in strides.
        anchors: float32, (K, 3): column, row, stride in px.

    Returns:
        Boxes float32 (K, 4) x1 y1 x2 y2 px and landmarks float32 (K, 5, 2) x y px.
    """
    where, stride = anchors[:, :2], anchors[:, 2:3]
    centres = (where + deltas[:, :2]) * stride
    halves = np.exp(np.minimum(deltas[:, 2:4], MAX_LOG_SIDE)) * stride / 2
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    landmarks = (deltas[:, 4:14].reshape(-1, 5, 2) + where[:, None, :]) * stride[:, :, None]
    return boxes.astype(np.float32), landmarks.astype(np.float32)

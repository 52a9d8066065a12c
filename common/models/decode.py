"""From the detector's raw output to faces: numpy only, only points above the threshold are looked at."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray
from common.models.suppression import suppress_overlaps

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


@dataclass(frozen=True, slots=True)
class DetectionBatch:
    """The faces of several canvases, canvas by canvas, best first in each.

    Attributes:
        boxes: As in `Detections`, float32, (K, 4).
        scores: float32, (K,).
        landmarks: float32, (K, 5, 2).
        owners: intp, (K,), ascending: number of the canvas.
        count: How many canvases there were.
    """

    boxes: FloatArray
    scores: FloatArray
    landmarks: FloatArray
    owners: NDArray[np.intp]
    count: int

    def chosen(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> DetectionBatch:
        """Give only some faces: a mask, or their numbers in an order that leaves ``owners`` ascending."""
        boxes, scores, landmarks = self.boxes[which], self.scores[which], self.landmarks[which]
        return DetectionBatch(boxes, scores, landmarks, self.owners[which], self.count)

    def enlarged(self, factor: float) -> DetectionBatch:
        """Give the same faces on canvases ``factor`` times as large."""
        return DetectionBatch(self.boxes * factor, self.scores, self.landmarks * factor, self.owners, self.count)

    def split(self) -> list[Detections]:
        """Give one `Detections` for each canvas."""
        spans = pairwise(np.searchsorted(self.owners, np.arange(self.count + 1)).tolist())
        return [Detections(self.boxes[a:b], self.scores[a:b], self.landmarks[a:b]) for a, b in spans]


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
    """Turn the raw output of a batch into faces, one `Detections` for each canvas; else as `decode_batch`."""
    return decode_batch(raw, canvas, min_score, max_iou).split()


def decode_batch(
    raw: NDArray[np.floating], canvas: tuple[int, int], min_score: float, max_iou: float
) -> DetectionBatch:
    """Turn the raw output of a batch into faces.

    Args:
        raw: float, (B, N, 16), as ``common.models.networks.DetectorGraph`` gives it.
        canvas: (width, height) px that the batch had.
        min_score: Faces below are left out, 0..1.
        max_iou: Two faces of one canvas overlap by at most this, 0..1.

    Raises:
        ValueError: The shape of ``raw`` does not belong to the canvas.
    """
    points = grid(canvas)
    if raw.ndim != 3 or raw.shape[1:] != (len(points), COLUMNS):
        raise ValueError(
            f"raw output of shape {raw.shape} where (B, {len(points)}, {COLUMNS}) belongs to a canvas of {canvas}"
        )
    owners, places = np.nonzero(raw[..., 0] >= min_score)
    values = raw[owners, places].astype(np.float32, copy=False)
    return settle(values, points[places], owners, len(raw), max_iou)


def settle(
    values: FloatArray, anchors: FloatArray, owners: NDArray[np.intp], count: int, max_iou: float
) -> DetectionBatch:
    """Turn the points of several canvases that are above the threshold into faces.

    Args:
        values: float32, (M, 16), their rows of the raw output, in its order.
        anchors: float32, (M, 3), their grid points.
        owners: intp, (M,), the canvas of each, ascending.
        count: Canvases.
        max_iou: Two faces of one canvas overlap by at most this, 0..1.
    """
    if len(owners) > MAX_CANDIDATES and np.bincount(owners).max() > MAX_CANDIDATES:
        best = _best_of_each(values[:, 0], owners)
        values, anchors, owners = values[best], anchors[best], owners[best]
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        values, anchors, owners = values[finite], anchors[finite], owners[finite]
    boxes, landmarks = place(values[:, 1:15], anchors)
    kept = suppress_overlaps(boxes, values[:, 0], owners, max_iou)
    return DetectionBatch(boxes, values[:, 0], landmarks, owners, count).chosen(kept)


def _best_of_each(scores: FloatArray, owners: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number the best ``MAX_CANDIDATES`` points of each canvas, canvas by canvas."""
    order = np.lexsort((-scores, owners))
    counts = np.bincount(owners)
    ranks = np.arange(len(order)) - (np.cumsum(counts) - counts)[owners]
    best: NDArray[np.intp] = order[ranks < MAX_CANDIDATES]
    return best


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

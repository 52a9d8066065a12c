"""From candidates of many canvases to faces, all canvases at once: the same answers as one by one, in less time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray
from common.models.decode import MAX_CANDIDATES, Detections, place, settle

MOST_TOGETHER = 1 << 22
"""Pairs of boxes that may lie in memory at once."""


def settle_all(
    values: FloatArray, anchors: FloatArray, owners: NDArray[np.intp], count: int, max_iou: float
) -> list[Detections]:
    """Do what ``decode.settle`` does for each canvas.

    Args:
        values: float32, (M, 16), rows of the raw output, in its order.
        anchors: float32, (M, 3), their grid points.
        owners: intp, (M,), the canvas of each, ascending.
        count: Canvases.
        max_iou: Two faces of one canvas overlap by at most this, 0..1.
    """
    borders = np.searchsorted(owners, np.arange(count + 1))
    most = int(np.diff(borders).max(initial=0))
    if most > MAX_CANDIDATES or count * most * most > MOST_TOGETHER:
        spans = pairwise(borders)
        return [settle(values[first:last], anchors[first:last], max_iou) for first, last in spans]
    finite = np.isfinite(values).all(axis=1)
    values, anchors, owners = values[finite], anchors[finite], owners[finite]
    best_first = np.lexsort((-values[:, 0], owners))
    values, anchors = values[best_first], anchors[best_first]
    borders = np.searchsorted(owners, np.arange(count + 1))
    boxes, landmarks = place(values[:, 1:15], anchors)
    ranks = np.arange(len(owners)) - borders[owners]
    kept = _kept(boxes, owners, ranks, (count, most), max_iou)
    boxes, scores, landmarks = boxes[kept], values[kept, 0], landmarks[kept]
    ends = np.searchsorted(owners[kept], np.arange(count + 1))
    spans = pairwise(ends)
    return [Detections(boxes[first:last], scores[first:last], landmarks[first:last]) for first, last in spans]


def _kept(
    boxes: FloatArray, owners: NDArray[np.intp], ranks: NDArray[np.intp], shape: tuple[int, int], max_iou: float
) -> NDArray[np.bool_]:
    """Say which boxes stay: a rank is decided for all canvases together, the best one first."""
    table = np.zeros((*shape, 4), np.float32)
    alive = np.zeros(shape, bool)
    table[owners, ranks], alive[owners, ranks] = boxes, True
    apart = _overlaps(table) <= max_iou
    for rank in range(shape[1] - 1):
        alive[:, rank + 1 :] &= apart[:, rank, rank + 1 :] | ~alive[:, rank, None]
    kept: NDArray[np.bool_] = alive[owners, ranks]
    return kept


def _overlaps(boxes: FloatArray) -> FloatArray:
    """Give float32, (B, K, K), as ``geometry.iou_matrix`` does for each (K, 4)."""
    corner, end = boxes[..., :2], boxes[..., 2:]
    left_top = np.maximum(corner[:, :, None], corner[:, None])
    sides = np.clip(np.minimum(end[:, :, None], end[:, None]) - left_top, 0, None)
    intersection = sides[..., 0] * sides[..., 1]
    area = np.clip(end[..., 0] - corner[..., 0], 0, None) * np.clip(end[..., 1] - corner[..., 1], 0, None)
    union = area[:, :, None] + area[:, None] - intersection
    overlap: FloatArray = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return overlap

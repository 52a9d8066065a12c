"""Non-maximum suppression: of every heap of overlapping boxes the best one is kept."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray


def suppress_overlaps(
    boxes: NDArray[np.floating], scores: NDArray[np.floating], owners: NDArray[np.intp], max_iou: float
) -> NDArray[np.intp]:
    """Keep the best box of every heap of overlapping ones (greedy non-maximum suppression), for each owner.

    Args:
        boxes: float, (N, 4), x1 y1 x2 y2, finite; each has an area.
        scores: float, (N,), higher is better.
        owners: intp, (N,), at least 0, e.g. numbers of pictures; boxes of different owners never overlap.
        max_iou: Two kept boxes of one owner overlap by at most this, in [0, 1].

    Returns:
        intp, (K,), indices of the kept boxes, owner by owner, best first in each.
    """
    if not len(scores):
        return np.empty(0, np.intp)
    order = np.lexsort((-np.asarray(scores), owners))
    corners = np.asarray(boxes, np.float64)[order]
    rectangles = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    # OpenCV drops scores of 0 and is asked about one owner at a time: places in the order serve as well.
    places = np.arange(len(order), 0, -1, dtype=np.float32)
    ends = [0, *(np.flatnonzero(np.diff(owners[order])) + 1).tolist(), len(order)]
    kept = [
        order[a:b][np.asarray(cv2.dnn.NMSBoxes(rectangles[a:b], places[a:b], 0.0, max_iou), np.intp)]  # type: ignore[arg-type]
        for a, b in pairwise(ends)
    ]
    return np.concatenate(kept)

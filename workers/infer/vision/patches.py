"""Patches: squares of a canvas that are looked at by themselves, and which of them show what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray
from common.images import Picture, paste

PATCH_PX = 192
PATCH_STEP_PX = 32
"""Patches start at multiples of the largest stride, so that the detector's grid lies as on the whole canvas."""
RIM_PX = 16
"""What a patch shows around a place that it was cut for, unless the canvas ends there."""
CUT_PX = 8
"""A face that comes so near to the inner rim of a patch is cut off: another patch shows it whole."""
MOST_SHARE = 0.6
"""Patches that cover more of the canvas cost more than they save; then the whole canvas is looked at."""
MOST_PLACES = 64

Corner = tuple[int, int]


def most_patches(canvas: tuple[int, int]) -> int:
    """Say how many patches cost less than the whole of a canvas of (width, height) px."""
    return int(MOST_SHARE * canvas[0] * canvas[1] / PATCH_PX**2)


def patches_over(places: FloatArray, canvas: tuple[int, int], most: int) -> tuple[Corner, ...] | None:
    """Cover places with few patches.

    Args:
        places: float32, (K, 4), x1 y1 x2 y2, canvas px, most urgent first.
        canvas: (width, height), px.
        most: Most patches.

    Returns:
        Upper left corners of the patches; None where more would be needed.
    """
    if len(places) > MOST_PLACES:
        return None
    open_ = [_inside(place, canvas) for place in places.tolist()]
    patches: list[Corner] = []
    while open_:
        if len(patches) == most:
            return None
        first = open_[0]
        together = first
        for place in sorted(open_[1:], key=lambda other: _distance(first, other)):
            wider = _union(together, place)
            if _shows(_corner(wider, canvas), wider, canvas):
                together = wider
        corner = _corner(together, canvas)
        patches.append(corner)
        # The first place is done with even where it is too large to be shown whole.
        open_ = [place for place in open_[1:] if not _shows(corner, place, canvas)]
    return tuple(patches)


def cut(picture: Picture, corner: Corner, out: Picture) -> None:
    """Cut a patch out of a canvas that holds a picture in its upper left corner and is black elsewhere.

    Args:
        picture: uint8, (H, W, 3).
        corner: Upper left corner, px.
        out: uint8, (`PATCH_PX`, `PATCH_PX`, 3), written in place.
    """
    x, y = corner
    paste(picture[y : y + PATCH_PX, x : x + PATCH_PX], out)


def uncut(boxes: FloatArray, corners: FloatArray, canvases: FloatArray) -> NDArray[np.bool_]:
    """Say which faces of patches are not cut off by the patch's rim.

    Args:
        boxes: float32, (..., 4), x1 y1 x2 y2, px of the patch.
        corners: float32, (..., 2), x y, upper left corner of the patch of each, canvas px.
        canvases: float32, (..., 2), width, height, px, of the canvas of each.
    """
    far = PATCH_PX - CUT_PX
    kept: NDArray[np.bool_] = (
        ((boxes[..., :2] >= CUT_PX) | (corners == 0)) & ((boxes[..., 2:] <= far) | (corners >= canvases - PATCH_PX))
    ).all(axis=-1)
    return kept


_Box = tuple[float, float, float, float]


def _inside(box: Sequence[float], canvas: tuple[int, int]) -> _Box:
    x1, y1, x2, y2 = box
    return max(0.0, x1), max(0.0, y1), min(float(canvas[0]), x2), min(float(canvas[1]), y2)


def _union(a: _Box, b: _Box) -> _Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _distance(a: _Box, b: _Box) -> float:
    return abs(a[0] + a[2] - b[0] - b[2]) + abs(a[1] + a[3] - b[1] - b[3])


def _corner(box: _Box, canvas: tuple[int, int]) -> Corner:
    def start(low: float, high: float, side: int) -> int:
        wanted = round(((low + high) / 2 - PATCH_PX / 2) / PATCH_STEP_PX) * PATCH_STEP_PX
        return max(0, min(wanted, side - PATCH_PX))

    return start(box[0], box[2], canvas[0]), start(box[1], box[3], canvas[1])


def _shows(corner: Corner, box: _Box, canvas: tuple[int, int]) -> bool:
    """Say whether a patch shows a box with the rim around it, or as much of that as the canvas has."""
    for start, low, high, side in zip(corner, box[:2], box[2:], canvas, strict=True):
        end = start + PATCH_PX
        if (start > 0 and low < start + RIM_PX) or (end < side and high > end - RIM_PX):
            return False
        if low < start or high > end:
            return False
    return True

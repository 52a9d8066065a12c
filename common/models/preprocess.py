"""From pictures to what the networks are fed: the one way, shared by training and inference."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from common.geometry import Letterbox, squares_around
from common.images import Picture, crop, paste, scale

BLUR_SIDE_PX = 112
"""Crops of this side tell sharpness in the unit of events and thresholds, whatever side a classifier takes."""


@functools.lru_cache(maxsize=256)
def choose_canvas(size: tuple[int, int], canvases: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """Choose the canvas for a picture: no more scaling than on a 640 px canvas, and the least area to compute.

    Args:
        size: Picture (width, height), px.
        canvases: Canvas sizes (width, height), px, not empty.

    Returns:
        The canvas on which the picture is largest, among those of at most 640 px if any; the smallest on a tie.
    """
    usual = [canvas for canvas in canvases if max(canvas) <= 640] or list(canvases)
    return min(usual, key=lambda canvas: (-round(Letterbox.fit(size, canvas).scale, 2), canvas[0] * canvas[1]))


def letterbox(picture: Picture, canvas: tuple[int, int], out: Picture | None = None) -> tuple[Picture, Letterbox]:
    """Scale a picture into the upper left corner of a black canvas.

    Args:
        picture: uint8, (H, W, 3), BGR.
        canvas: Wanted (width, height), px.
        out: uint8, (height, width, 3), written in place if given (one slot of a batch).

    Returns:
        The canvas, and the letterbox that carries boxes back with ``to_picture``.
    """
    target = np.empty((canvas[1], canvas[0], 3), np.uint8) if out is None else out
    scaled, fit = fitted(picture, canvas)
    paste(scaled, target)
    return target, fit


def fitted(picture: Picture, canvas: tuple[int, int]) -> tuple[Picture, Letterbox]:
    """Scale a picture to the size that it has on a canvas of (width, height) px; the same one where it has it."""
    fit = Letterbox.fit((picture.shape[1], picture.shape[0]), canvas)
    return scale(picture, (fit.width, fit.height)), fit


def face_crops(picture: Picture, boxes: NDArray[np.floating], side: int, margin: float) -> NDArray[np.uint8]:
    """Cut every face out of a picture the way the classifier was trained.

    Args:
        picture: uint8, (H, W, 3), BGR.
        boxes: float, (K, 4), x1 y1 x2 y2, px of the picture.
        side: Side of the crops, px.
        margin: Share of the box's longer side added on every side.

    Returns:
        uint8, (K, side, side, 3), BGR.
    """
    squares = squares_around(np.asarray(boxes, np.float32), margin)
    crops = np.empty((len(squares), side, side, 3), np.uint8)
    for square, target in zip(squares, crops, strict=True):
        crop(picture, square, side, target)
    return crops


def blur_scale(side: int) -> float:
    """Say by what the variance of the Laplacian over crops of ``side`` px is multiplied to be that over 112 px crops.

    The third power is what photographs show: over 405 faces of 24 to 100 px the variance at 80 px is 2.0 to 2.9 times
    that at 112 px (quartiles by size 1.8 to 2.9), by the power 2.7 times. Without it another side would move faces
    across the judge's thresholds.
    """
    return float((side / BLUR_SIDE_PX) ** 3)

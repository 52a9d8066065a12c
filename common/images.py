"""Pixels: the few OpenCV operations that training and inference must do alike. Pictures are uint8, (H, W, 3), BGR."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import FrameRejectedError

Picture = NDArray[np.uint8]
MAX_SIDE_PX = 8192
MIN_SIDE_PX = 8
MOST_BILINEAR = 2.2
"""Up to this factor pictures and crops shrink bilinearly; a little above 2, so that 2688 px become 1280 that way."""


def resize(picture: Picture, size: tuple[int, int]) -> Picture:
    """Resize a picture: averaging where it shrinks, bilinear where it grows.

    Args:
        picture: uint8, (H, W, 3), BGR, not empty.
        size: Wanted (width, height), px.

    Returns:
        uint8, (height, width, 3), BGR; the picture itself where the size is right already.
    """
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    shrinks = size[0] < width or size[1] < height
    return np.asarray(
        cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8
    )


def scale(picture: Picture, size: tuple[int, int]) -> Picture:
    """Resize a whole picture: bilinear unless it shrinks to less than half, then averaging.

    Averaging over a number of pixels that is not whole takes six times as long. Up to a half it hardly differs: of each
    pair of pixels that meet in one, the nearer has 0.75 of the weight instead of 0.67 where three become two.

    Args:
        picture: uint8, (H, W, 3), BGR, not empty.
        size: Wanted (width, height), px, of about the same shape.

    Returns:
        uint8, (height, width, 3), BGR; the picture itself where the size is right already.
    """
    if not bilinear_suffices((picture.shape[1], picture.shape[0]), size):
        return resize(picture, size)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def bilinear_suffices(have: tuple[int, int], want: tuple[int, int]) -> bool:
    """Say whether a picture that becomes another size, both (width, height) px, keeps what bilinear would skip."""
    return have != want and max(have[0] / want[0], have[1] / want[1]) <= MOST_BILINEAR


def paste(picture: Picture, canvas: Picture) -> None:
    """Put a picture into the upper left corner of a canvas and blacken the rest, in place.

    Args:
        picture: uint8, (h, w, 3), at most as large as the canvas.
        canvas: uint8, (H, W, 3).
    """
    height, width = picture.shape[:2]
    canvas[:height, :width] = picture
    canvas[height:] = 0
    canvas[:height, width:] = 0


def halve(picture: Picture) -> Picture:
    """Shrink a picture to half.

    Args:
        picture: uint8, (H, W, 3); an odd last row or column is halved together with black.

    Returns:
        uint8, (H / 2, W / 2, 3), sides rounded up.
    """
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        picture = np.asarray(cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_CONSTANT), np.uint8)
    size = (picture.shape[1] // 2, picture.shape[0] // 2)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def crop(picture: Picture, box: NDArray[np.floating], side: int, out: Picture | None = None) -> Picture:
    """Cut a square out of a picture and bring it to a fixed side; what lies outside the picture is black.

    Shrinks as `scale` does: bilinearly, unless to less than half.

    Args:
        picture: uint8, (H, W, 3), BGR.
        box: float, (4,), x1 y1 x2 y2, px, square; may reach outside the picture.
        side: Side of the result, px.
        out: uint8, (side, side, 3), written in place if given (one slot of a batch).

    Returns:
        uint8, (side, side, 3), BGR, black where the box is empty or wholly outside.
    """
    height, width = picture.shape[:2]
    left, top = int(np.floor(box[0])), int(np.floor(box[1]))
    length = max(1, round(float(max(box[2] - box[0], box[3] - box[1]))))
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + length, width), min(top + length, height)
    result = np.empty((side, side, 3), np.uint8) if out is None else out
    if x1 >= x2 or y1 >= y2:
        result[:] = 0
        return result
    scale = side / length
    column, row = min(side - 1, round((x1 - left) * scale)), min(side - 1, round((y1 - top) * scale))
    columns = max(1, min(side, round((x2 - left) * scale)) - column)
    rows = max(1, min(side, round((y2 - top) * scale)) - row)
    if (columns, rows) != (side, side):
        result[:] = 0
    method = cv2.INTER_LINEAR if length <= MOST_BILINEAR * side else cv2.INTER_AREA
    # Written where it belongs: a copy of its own would cost a third more.
    target = result[row : row + rows, column : column + columns]
    cv2.resize(picture[y1:y2, x1:x2], (columns, rows), dst=target, interpolation=method)
    return result


def read_picture(path: Path) -> Picture:
    """Read a picture file as it lies on disk (no rotation by its orientation tag).

    Returns:
        uint8, (H, W, 3), BGR.

    Raises:
        FrameRejectedError: Missing or no picture (``decode``), or outside the size limits (``dimensions``).
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise FrameRejectedError("decode", f"{path}: {error.strerror or error}") from error
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if data.size else None
    except cv2.error as error:
        raise FrameRejectedError("decode", f"{path}: no picture that can be read") from error
    if picture is None:
        raise FrameRejectedError("decode", f"{path}: no picture that can be read")
    if max(picture.shape[:2]) > MAX_SIDE_PX or min(picture.shape[:2]) < MIN_SIDE_PX:
        raise FrameRejectedError(
            "dimensions", f"{path}: {picture.shape[1]}×{picture.shape[0]} px is outside the limits"
        )
    return np.asarray(picture, np.uint8)


def warp(picture: Picture, matrix: NDArray[np.floating], size: tuple[int, int]) -> Picture:
    """Move, scale and turn a picture; what comes from outside is black.

    Args:
        picture: uint8, (H, W, 3).
        matrix: float, (2, 3), carries picture px to result px.
        size: Result (width, height), px.
    """
    return np.asarray(cv2.warpAffine(picture, np.asarray(matrix, np.float64), size, flags=cv2.INTER_LINEAR), np.uint8)


def blur(picture: Picture, sigma_px: float) -> Picture:
    """Blur a picture as a lens out of focus does (Gaussian, standard deviation in px)."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma_px), np.uint8)


def smear(picture: Picture, length_px: int, angle_deg: float) -> Picture:
    """Blur a picture along a line, as motion does."""
    kernel = np.zeros((length_px, length_px), np.float32)
    kernel[length_px // 2] = 1
    turn = cv2.getRotationMatrix2D(((length_px - 1) / 2, (length_px - 1) / 2), angle_deg, 1.0)
    kernel = np.asarray(cv2.warpAffine(kernel, turn, (length_px, length_px)), np.float32)
    return np.asarray(cv2.filter2D(picture, -1, kernel / max(float(kernel.sum()), 1e-6)), np.uint8)


def through_jpeg(picture: Picture, quality: int) -> Picture:
    """Send a picture through JPEG compression at a quality of 1..100 and back."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def fill_polygon(picture: Picture, corners: NDArray[np.floating], colour: tuple[int, int, int]) -> None:
    """Fill a polygon in place, with smooth edges.

    Args:
        picture: uint8, (H, W, 3), BGR.
        corners: float, (K, 2), x y, px.
        colour: B, G, R, 0..255.
    """
    cv2.fillPoly(picture, [np.round(np.asarray(corners) * 8).astype(np.int32)], colour, cv2.LINE_AA, 3)


def draw_line(picture: Picture, ends: NDArray[np.floating], colour: tuple[int, int, int], width_px: int) -> None:
    """Draw a line in place; ``ends`` is float (2, 2), x y, px, and ``colour`` B, G, R."""
    (x1, y1), (x2, y2) = np.round(np.asarray(ends)).astype(int).tolist()
    cv2.line(picture, (x1, y1), (x2, y2), colour, width_px, cv2.LINE_AA)

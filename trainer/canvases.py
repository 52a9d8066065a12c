"""Make training canvases for the detector: pictures at many scales, cropped, mirrored, four together, degraded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from common.geometry import FloatArray
from common.images import Picture, blur, resize, smear, through_jpeg
from trainer.augment import relight

MIN_FACE_PX = 6.0
MIN_VISIBLE = 0.6
PRODUCTION_LONG_SIDE_PX = 640.0


@dataclass(frozen=True, slots=True)
class Canvas:
    """One training example.

    Attributes:
        pixels: uint8, (S, S, 3), BGR.
        boxes: float32, (K, 4), x1 y1 x2 y2, px: faces to find.
        ignored: float32, (J, 4), px: cut or tiny faces; finding them is neither right nor wrong.
    """

    pixels: Picture
    boxes: FloatArray
    ignored: FloatArray


def make_canvas(
    pictures: list[tuple[Picture, FloatArray]], side: int, mosaic: float, random: np.random.Generator
) -> Canvas:
    """Make a canvas of the first picture, or of all of them with the chance ``mosaic``.

    Args:
        pictures: Four pictures, uint8 (H, W, 3) BGR, with their boxes float32 (K, 4) px.
        side: Side of the canvas, px.
        mosaic: Chance of showing four pictures, 0..1.
        random: Source of chance.
    """
    if random.random() >= mosaic:
        scale = math.exp(random.uniform(math.log(0.4), math.log(1.5)))
        canvas = window(*pictures[0], side, scale, random)
        return Canvas(degrade(canvas.pixels, random), canvas.boxes, canvas.ignored)
    half = side // 2
    pixels = np.zeros((side, side, 3), np.uint8)
    boxes, ignored = [], []
    for (column, row), picture in zip(((0, 0), (half, 0), (0, half), (half, half)), pictures, strict=True):
        tile = window(*picture, half, math.exp(random.uniform(math.log(0.25), math.log(0.9))), random)
        pixels[row : row + half, column : column + half] = tile.pixels
        shift = np.array([column, row, column, row], np.float32)
        boxes.append(tile.boxes + shift)
        ignored.append(tile.ignored + shift)
    return Canvas(degrade(pixels, random), np.concatenate(boxes), np.concatenate(ignored))


def window(picture: Picture, boxes: FloatArray, side: int, scale: float, random: np.random.Generator) -> Canvas:
    """Scale a picture relative to production's size, mirror it perhaps, and look at a window of it, faces preferred."""
    height, width = picture.shape[:2]
    scale *= PRODUCTION_LONG_SIDE_PX / max(height, width)
    small = resize(picture, (max(8, round(width * scale)), max(8, round(height * scale))))
    boxes = boxes * np.tile([small.shape[1] / width, small.shape[0] / height], 2).astype(np.float32)
    if random.random() < 0.5:
        small = small[:, ::-1]
        boxes = np.stack([small.shape[1] - boxes[:, 2], boxes[:, 1], small.shape[1] - boxes[:, 0], boxes[:, 3]], axis=1)
    target = None
    if len(boxes) and random.random() < 0.8:
        box = boxes[int(random.integers(len(boxes)))]
        target = ((box[:2] + box[2:]) / 2).tolist()
    left, top = (_start(small.shape[1 - axis], side, target[axis] if target else None, random) for axis in (0, 1))
    pixels = np.zeros((side, side, 3), np.uint8)
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + side, small.shape[1]), min(top + side, small.shape[0])
    pixels[y1 - top : y2 - top, x1 - left : x2 - left] = small[y1:y2, x1:x2]
    return _sort_out(pixels, boxes - np.array([left, top, left, top], np.float32), side)


def _start(length: int, side: int, target: float | None, random: np.random.Generator) -> int:
    low, high = min(0, length - side), max(0, length - side)
    if target is None or length <= side:
        return int(random.integers(low, high + 1))
    wanted = target - side * random.uniform(0.15, 0.85)
    return int(np.clip(round(wanted), low, high))


def _sort_out(pixels: Picture, boxes: FloatArray, side: int) -> Canvas:
    clipped = np.clip(boxes, 0, side)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    visible = (clipped[:, 2:] - clipped[:, :2]).prod(axis=1) / np.maximum(area, 1e-6)
    large = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) >= MIN_FACE_PX
    kept = (visible >= MIN_VISIBLE) & large
    left_over = (visible > 0) & ~kept
    return Canvas(pixels, clipped[kept].astype(np.float32), clipped[left_over].astype(np.float32))


def degrade(picture: Picture, random: np.random.Generator) -> Picture:
    """Light, focus, motion and compression, each some of the time."""
    if random.random() < 0.6:
        picture = relight(picture, random)
    if random.random() < 0.12:
        picture = blur(picture, random.uniform(0.4, 1.5))
    if random.random() < 0.06:
        picture = smear(picture, int(random.integers(3, 8)), random.uniform(0, 180))
    if random.random() < 0.4:
        picture = through_jpeg(picture, int(random.integers(30, 91)))
    return picture

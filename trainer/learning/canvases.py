"""Make training canvases for the detector: pictures at many scales, cropped, mirrored, four together, degraded."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from common.geometry import FloatArray
from common.images import Picture, blur, resize, smear, through_jpeg
from trainer.faces.augment import relight

MIN_FACE_PX = 6.0
MIN_VISIBLE = 0.6
DECOY_SHARE = 0.35
FILLED = 0.8  # of the canvas's side, by the long side of a picture that is alone on it
PRODUCTION_LONG_SIDE_PX = 640.0


@dataclass(frozen=True, slots=True)
class Example:
    """A picture to make canvases of.

    Attributes:
        pixels: uint8, (H, W, 3), BGR.
        boxes: float32, (K, 4), x1 y1 x2 y2, px: faces to find.
        overlooked: float32, (J, 4), px: faces that nobody boxed; finding them is neither right nor wrong.
        decoys: float32, (D, 4), px: places taken for faces that are none; shown more often than by chance.
    """

    pixels: Picture
    boxes: FloatArray
    overlooked: FloatArray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    decoys: FloatArray = field(default_factory=lambda: np.zeros((0, 4), np.float32))


@dataclass(frozen=True, slots=True)
class Canvas:
    """One training example.

    Attributes:
        pixels: uint8, (S, S, 3), BGR.
        boxes: float32, (K, 4), x1 y1 x2 y2, px: faces to find.
        ignored: float32, (J, 4), px: cut, tiny or overlooked faces; finding them is neither right nor wrong.
        decoys: float32, (D, 4), px: known to be no faces.
    """

    pixels: Picture
    boxes: FloatArray
    ignored: FloatArray
    decoys: FloatArray


def make_canvas(pictures: list[Example], side: int, mosaic: float, random: np.random.Generator) -> Canvas:
    """Make a canvas of the first picture, or of all of them with the chance ``mosaic``.

    Args:
        pictures: Four pictures.
        side: Side of the canvas, px.
        mosaic: Chance of showing four pictures, 0..1.
        random: Source of chance.
    """
    if random.random() >= mosaic:
        smallest = max(0.4, FILLED * side / PRODUCTION_LONG_SIDE_PX)  # smaller still is for four pictures together
        scale = math.exp(random.uniform(math.log(smallest), math.log(1.6)))
        canvas = window(pictures[0], side, scale, random)
        return replace(canvas, pixels=degrade(canvas.pixels, random))
    half = side // 2
    pixels = np.zeros((side, side, 3), np.uint8)
    parts: list[list[FloatArray]] = [[], [], []]
    for (column, row), picture in zip(((0, 0), (half, 0), (0, half), (half, half)), pictures, strict=True):
        tile = window(picture, half, math.exp(random.uniform(math.log(0.25), math.log(0.9))), random)
        pixels[row : row + half, column : column + half] = tile.pixels
        shift = np.array([column, row, column, row], np.float32)
        for part, boxes in zip(parts, (tile.boxes, tile.ignored, tile.decoys), strict=True):
            part.append(boxes + shift)
    return Canvas(degrade(pixels, random), *(np.concatenate(part) for part in parts))


def window(example: Example, side: int, scale: float, random: np.random.Generator) -> Canvas:
    """Scale a picture relative to production's size, mirror it perhaps, and look at a window of it, faces preferred."""
    height, width = example.pixels.shape[:2]
    scale *= PRODUCTION_LONG_SIDE_PX / max(height, width)
    small = resize(example.pixels, (max(8, round(width * scale)), max(8, round(height * scale))))
    factors = np.tile([small.shape[1] / width, small.shape[0] / height], 2).astype(np.float32)
    boxes, overlooked, decoys = (one * factors for one in (example.boxes, example.overlooked, example.decoys))
    if random.random() < 0.5:
        small = small[:, ::-1]
        boxes, overlooked, decoys = (_mirrored(one, small.shape[1]) for one in (boxes, overlooked, decoys))
    target = _target(boxes, decoys, random)
    left, top = (_start(small.shape[1 - axis], side, target[axis] if target else None, random) for axis in (0, 1))
    pixels = np.zeros((side, side, 3), np.uint8)
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + side, small.shape[1]), min(top + side, small.shape[0])
    pixels[y1 - top : y2 - top, x1 - left : x2 - left] = small[y1:y2, x1:x2]
    shift = np.array([left, top, left, top], np.float32)
    return _sort_out(pixels, boxes - shift, _seen(overlooked - shift, side), _seen(decoys - shift, side))


def _mirrored(boxes: FloatArray, width: int) -> FloatArray:
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)


def _target(boxes: FloatArray, decoys: FloatArray, random: np.random.Generator) -> list[float] | None:
    """Choose what the window must show: mostly a face, a decoy in a third of the windows where there is one."""
    wanted = decoys if len(decoys) and random.random() < DECOY_SHARE else boxes
    if not len(wanted) or random.random() >= 0.8:
        return None
    box = wanted[int(random.integers(len(wanted)))]
    middle: list[float] = ((box[:2] + box[2:]) / 2).tolist()
    return middle


def _start(length: int, side: int, target: float | None, random: np.random.Generator) -> int:
    low, high = min(0, length - side), max(0, length - side)
    if target is None or length <= side:
        return int(random.integers(low, high + 1))
    wanted = target - side * random.uniform(0.15, 0.85)
    return int(np.clip(round(wanted), low, high))


def _seen(boxes: FloatArray, side: int) -> FloatArray:
    clipped = np.clip(boxes, 0, side)
    seen: FloatArray = clipped[(clipped[:, 2:] > clipped[:, :2]).all(axis=1)].astype(np.float32)
    return seen


def _sort_out(pixels: Picture, boxes: FloatArray, overlooked: FloatArray, decoys: FloatArray) -> Canvas:
    side = pixels.shape[0]
    clipped = np.clip(boxes, 0, side)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    visible = (clipped[:, 2:] - clipped[:, :2]).prod(axis=1) / np.maximum(area, 1e-6)
    large = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) >= MIN_FACE_PX
    kept = (visible >= MIN_VISIBLE) & large
    left_over = np.concatenate([clipped[(visible > 0) & ~kept], overlooked])
    return Canvas(pixels, clipped[kept].astype(np.float32), left_over.astype(np.float32), decoys)


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

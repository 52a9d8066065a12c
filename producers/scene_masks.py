"""Masks drawn on a portrait: worn right, under the nose, under the chin, and on the way between them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from producers.scene_portraits import Picture, Points, Portrait, rounded

Outline = NDArray[np.float32]
Colour = tuple[int, int, int]

COLOURS: dict[str, Colour] = {"blue": (214, 184, 128), "white": (236, 236, 232), "black": (46, 42, 40)}
POSES = ("worn", "nose", "chin")
_FINE = 3


@dataclass(frozen=True, slots=True)
class Wear:
    """How a mask is worn at one moment.

    Attributes:
        colour: A name of `COLOURS`.
        pose: Where it sits: ``worn``, ``nose`` (under the nose) or ``chin``.
        towards: Where it is being moved to; the same as ``pose`` while it rests.
        share: How far it has moved, 0..1.
    """

    colour: str
    pose: str
    towards: str
    share: float = 0.0


def put_on(portrait: Portrait, wear: Wear) -> Picture:
    """Draw a mask on a portrait.

    Returns:
        uint8, (H, W, 3), BGR; a new picture of the portrait's size.
    """
    points = portrait.points
    start, end = _outline(points, wear.pose), _outline(points, wear.towards)
    outline = start + (end - start) * np.float32(wear.share)
    picture = portrait.picture.astype(np.float32)
    shape = picture.shape[:2]
    colour = np.asarray(COLOURS[wear.colour], np.float32)

    shadow = cv2.GaussianBlur(_fill(outline + _xy(0, 1.5), shape), (0, 0), 3.0)[..., None]
    picture *= 1 - 0.28 * shadow
    straps = _straps(points, outline, shape)[..., None]
    picture = picture * (1 - 0.85 * straps) + np.minimum(colour * 0.9 + 18, 235) * 0.85 * straps
    cover = cv2.GaussianBlur(_fill(outline, shape), (0, 0), 0.7)[..., None]
    cloth = colour * _shading(outline, portrait.picture)[..., None]
    picture = picture * (1 - cover) + cloth * cover
    return rounded(picture)


def _outline(points: Points, pose: str) -> Outline:
    """Give ten corners: the upper edge from left to right (5), then jaw, chin and jaw again (5)."""
    at = {key: _xy(*value) for key, value in points.items()}
    middle = (at["cheek_left"] + at["cheek_right"]) / 2
    height = float(at["chin"][1] - at["bridge"][1])
    drop = {"worn": 0.05, "nose": 0.07, "chin": 0.22}[pose]
    lower = [
        middle + (at[key] - middle) * _xy(1.03, 1.0) + _xy(0, height * drop)
        for key in ("jaw_right", "chin_right", "chin", "chin_left", "jaw_left")
    ]
    if pose == "chin":
        left, right = at["jaw_left"], at["jaw_right"]
        top = _xy(at["chin"][0], at["lip_bottom"][1] + 0.1 * height)
    elif pose == "nose":
        left, right = (
            at["cheek_left"] + _xy(1, 0.13 * height),
            at["cheek_right"] + _xy(-1, 0.13 * height),
        )
        top = at["nose_base"] + _xy(0, 0.07 * height)
    else:
        left, right = (
            at["cheek_left"] - _xy(0, 0.03 * height),
            at["cheek_right"] - _xy(0, 0.03 * height),
        )
        top = at["bridge"]
    rise = _xy(0, 0.06 * height if pose == "worn" else 0.02 * height)
    edges = [(corner + top) / 2 - rise * np.float32(0.2) for corner in (left, right)]
    upper = [left, edges[0], top - rise * np.float32(0.4), edges[1], right]
    return np.asarray(upper + lower, np.float32)


def _xy(x: float, y: float) -> Outline:
    return np.array([x, y], np.float32)


def _fill(outline: Outline, shape: tuple[int, ...]) -> NDArray[np.float32]:
    canvas = np.zeros((shape[0] * _FINE, shape[1] * _FINE), np.uint8)
    cv2.fillPoly(canvas, [np.rint(_smooth(outline) * _FINE).astype(np.int32)], 255, cv2.LINE_AA)
    small = cv2.resize(canvas, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(255)


def _smooth(outline: Outline) -> Outline:
    """Round the corners of a closed outline (Catmull-Rom, eight pieces a side)."""
    before, after, next_but_one = (np.roll(outline, shift, axis=0) for shift in (1, -1, -2))
    pieces = []
    for step in np.linspace(0, 1, 8, endpoint=False, dtype=np.float32):
        square, cube = step * step, step * step * step
        pieces.append(
            0.5
            * (
                2 * outline
                + (after - before) * step
                + (2 * before - 5 * outline + 4 * after - next_but_one) * square
                + (3 * outline - before - 3 * after + next_but_one) * cube
            )
        )
    return np.stack(pieces, axis=1).reshape(-1, 2).astype(np.float32)


def _straps(points: Points, outline: Outline, shape: tuple[int, ...]) -> NDArray[np.float32]:
    canvas = np.zeros((shape[0] * _FINE, shape[1] * _FINE), np.uint8)
    pairs = (
        (outline[0], points["ear_left"]),
        (outline[9], points["ear_left"]),
        (outline[4], points["ear_right"]),
        (outline[5], points["ear_right"]),
    )
    for corner, ear in pairs:
        start, end = (np.rint(np.asarray(point) * _FINE).astype(int) for point in (corner, ear))
        cv2.line(canvas, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), 255, 5, cv2.LINE_AA)
    small = cv2.resize(canvas, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(255)


def _shading(outline: Outline, picture: Picture) -> NDArray[np.float32]:
    """Say how bright the cloth is at each pixel: rounded, pleated, and lit as the face is."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    centre = (outline[2] + outline[7]) / 2
    half_width = float(outline[4][0] - outline[0][0]) / 2
    half_height = max(1.0, float(outline[7][1] - outline[2][1]) / 2)
    across = (columns - centre[0]) / half_width
    down = (rows - centre[1]) / half_height
    light = 1.04 - 0.26 * across**2 - 0.12 * np.clip(down, 0, 1.2) ** 2
    bent = down + 0.18 * across**2
    for place in (-0.32, 0.02, 0.36):
        light -= 0.13 * np.exp(-(((bent - place) / 0.045) ** 2)) - 0.05 * np.exp(-(((bent - place + 0.09) / 0.05) ** 2))
    light -= 0.08 * np.exp(-(((bent + 0.86) / 0.05) ** 2))
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (0, 0), 9.0).astype(np.float32)
    patch = grey[int(outline[2][1]) : int(outline[7][1]), int(outline[0][0]) : int(outline[4][0])]
    own = np.clip(grey / max(1.0, float(patch.mean())), 0.75, 1.2)
    return np.asarray(light * (0.6 + 0.4 * own), np.float32)

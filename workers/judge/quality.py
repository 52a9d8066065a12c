"""How well a face could be seen in one frame: its size, its sharpness, where it looks, what hides it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from common.resultrecord import Face

FRONTAL_DEG = 35.0
AWAY_DEG = 70.0
_NOSE_DEPTH = 0.45  # how far the tip of the nose stands out, in distances between the eyes
_PROFILE = 0.05
Box = tuple[float, float, float, float]


class Look(NamedTuple):
    """What one frame can say about one face.

    Attributes:
        face_px: Longer side, px.
        blur: Variance of the Laplacian; None where it was not measured.
        yaw: Where the face looks, degrees: 0 into the camera, positive to the picture's right; None without landmarks.
        occlusion: Share of the face that another, nearer face covers, 0 to 1.
    """

    face_px: float
    blur: float | None = None
    yaw: int | None = None
    occlusion: float = 0.0


def look_of(face: Face, size: tuple[int, int], occlusion: float = 0.0) -> Look:
    """Measure a face of a frame of ``size`` (width, height) px."""
    x1, y1, x2, y2 = face.box
    width_px, height_px = (x2 - x1) * size[0], (y2 - y1) * size[1]
    face_px = height_px if height_px > width_px else width_px
    return Look(face_px, face.blur, yaw_of(face.landmarks, size), occlusion)


def yaw_of(landmarks: Sequence[tuple[float, float]], size: tuple[int, int]) -> int | None:
    """Estimate how far a head is turned, from where the nose lies between eyes and mouth.

    Args:
        landmarks: The eyes (the picture's left one first), nose tip, mouth corners, relative to the frame.
        size: Width and height of the frame, px.

    Returns:
        Whole degrees, -90 to 90; None without five landmarks.
    """
    if len(landmarks) != 5:
        return None
    width, height = size
    (ax, ay), (bx, by), (nx, ny), (cx, cy), (dx, dy) = landmarks
    across_x, across_y = (bx - ax) * width, (by - ay) * height
    eyes = math.hypot(across_x, across_y)
    off_x = (nx - (ax + bx + cx + dx) / 4) * width
    off_y = (ny - (ay + by + cy + dy) / 4) * height
    if eyes < 1e-6:
        return 90 if off_x > 0 else -90
    along = (off_x * across_x + off_y * across_y) / eyes
    return round(math.degrees(math.atan2(along, _NOSE_DEPTH * eyes)))


def occlusions(boxes: Sequence[Box]) -> list[float]:
    """Say for each face of a frame which share of it another face covers that stands nearer, so is larger and lower."""
    found = [0.0] * len(boxes)
    if len(boxes) < 2:
        return found
    order = sorted(range(len(boxes)), key=lambda index: boxes[index][0])
    for place, first in enumerate(order):
        x1, y1, x2, y2 = boxes[first]
        for second in order[place + 1 :]:
            u1, v1, u2, v2 = boxes[second]
            if u1 >= x2:
                break
            height = min(y2, v2) - max(y1, v1)
            if height <= 0:
                continue
            shared = height * (min(x2, u2) - u1)
            own, other = (x2 - x1) * (y2 - y1), (u2 - u1) * (v2 - v1)
            hidden, area = (first, own) if other > own and v2 > y2 else (second, other)
            if hidden == first or (own > other and y2 > v2):
                found[hidden] = max(found[hidden], round(min(1.0, shared / area), 2))
    return found

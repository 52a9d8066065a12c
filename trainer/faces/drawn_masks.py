"""Draw masks on bare faces by their landmarks: worn right, under the nose, or under the chin."""

from __future__ import annotations

import numpy as np

from common.geometry import FloatArray
from common.images import Picture, blur, draw_line, fill_polygon
from common.models.manifest import LABELS

MASK, NO_MASK, INCORRECT = LABELS.index("mask"), LABELS.index("no_mask"), LABELS.index("incorrect")
WAYS = ("right", "under_nose", "under_chin", "collar")
SHARES = (0.38, 0.21, 0.17, 0.24)
COLOURS = ((245, 245, 245), (250, 220, 190), (200, 140, 60), (220, 180, 120), (150, 90, 30), (25, 25, 25), (60, 60, 60))


def draw_mask(patch: Picture, landmarks: FloatArray, random: np.random.Generator) -> tuple[Picture, int]:
    """Draw one of three ways to wear a mask on a bare face, or a collar below it, which is no mask.

    Args:
        patch: uint8, (P, P, 3), BGR; not changed.
        landmarks: float32, (5, 2), x y px: eyes, nose tip, mouth corners.
        random: Source of chance.

    Returns:
        A new picture and its label.
    """
    frame = FaceFrame(landmarks)
    way = random.choice(WAYS, p=SHARES)
    colour = random_colour(random)
    layer = patch.copy()
    corners = frame.place(outline(str(way), random))
    if way != "collar" and random.random() < 0.5:
        ears = frame.place(
            np.array([[-1.75, 0.1 + random.uniform(-0.2, 0.3)], [1.75, 0.1 + random.uniform(-0.2, 0.3)]])
        )
        draw_line(layer, np.stack([corners[0], ears[0]]), colour, int(random.integers(1, 3)))
        draw_line(layer, np.stack([corners[len(corners) // 2 - 1], ears[1]]), colour, int(random.integers(1, 3)))
    fill_polygon(layer, corners, colour)
    if random.random() < 0.4:
        pleats(layer, corners, colour, random)
    if random.random() < 0.5:
        layer = shade(layer, patch, random)
    return layer, {"right": MASK, "collar": NO_MASK}.get(str(way), INCORRECT)


class FaceFrame:
    """Coordinates of a face: origin between the eyes, x along the eyes, y down to the mouth.

    One unit of x is half the distance that the face is wide at the eyes' corners (about the distance from an eye to the
    middle); one unit of y the distance from the eyes to the mouth.
    """

    def __init__(self, landmarks: FloatArray) -> None:
        left, right, nose, mouth_left, mouth_right = landmarks.astype(np.float64)
        self.origin = (left + right) / 2
        self.down = (mouth_left + mouth_right) / 2 - self.origin
        across = (right - left) / 2
        length = float(np.hypot(*self.down))
        narrowest = 0.42 * length  # a turned face keeps some width
        self.across = across * max(1.0, narrowest / max(float(np.hypot(*across)), 1e-6))
        self.nose_y = float(np.clip(np.dot(nose - self.origin, self.down) / max(length**2, 1e-6), 0.4, 0.75))

    def place(self, points: FloatArray) -> FloatArray:
        """Carry points, (K, 2), of the face to the picture, float32 px."""
        placed: FloatArray = (self.origin + points[:, :1] * self.across + points[:, 1:] * self.down).astype(np.float32)
        return placed


def outline(way: str, random: np.random.Generator) -> FloatArray:
    """Give a mask's outline in face coordinates, clockwise from the upper left, float (K, 2)."""
    top, bottom = {
        "right": (random.uniform(0.15, 0.48), random.uniform(1.45, 1.8)),
        "under_nose": (random.uniform(0.74, 0.92), random.uniform(1.45, 1.8)),
        "under_chin": (random.uniform(1.28, 1.45), random.uniform(1.75, 2.2)),
        "collar": (random.uniform(1.8, 2.15), random.uniform(2.6, 3.4)),
    }[way]
    width, low = random.uniform(1.25, 1.85), random.uniform(0.55, 1.2)
    if way == "collar":
        width, low = random.uniform(1.6, 3.0), random.uniform(1.6, 3.0)
    sag = random.uniform(0, 0.2) if way == "right" else random.uniform(-0.05, 0.05)
    middle = (top + bottom) / 2
    right = [[width, top + sag], [width * random.uniform(0.95, 1.1), middle], [low, bottom - random.uniform(0, 0.15)]]
    left = [[-x, y] for x, y in reversed(right)]
    shape = [*right, *([[0, bottom + random.uniform(0, 0.12)]] if random.random() < 0.7 else []), *left]
    peak = [[0, top - random.uniform(0, 0.08)]] if random.random() < 0.7 else []
    if random.random() < 0.25:  # a plain box, as a quick hand would draw it
        return np.array([[-width, top], [width, top], [width, bottom], [-width, bottom]], np.float32)
    ordered = [left[-1], *peak, *shape[:-1]]
    return np.array(ordered, np.float32)


def random_colour(random: np.random.Generator) -> tuple[int, int, int]:
    """Give a mask's colour, B G R: the usual ones, sometimes any."""
    if random.random() < 0.2:
        base = random.uniform(0, 255, 3)
    else:
        base = np.array(COLOURS[int(random.integers(len(COLOURS)))]) + random.normal(0, 12, 3)
    blue, green, red = np.clip(base, 0, 255).astype(int).tolist()
    return blue, green, red


def pleats(layer: Picture, corners: FloatArray, colour: tuple[int, int, int], random: np.random.Generator) -> None:
    """Draw two to four darker folds across a mask, in place."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    darker = tuple(int(value * 0.85) for value in colour)
    for share in np.linspace(0.3, 0.8, int(random.integers(2, 5))):
        y = low[1] + share * (high[1] - low[1])
        ends = np.array([[low[0] + 0.15 * (high[0] - low[0]), y], [high[0] - 0.15 * (high[0] - low[0]), y]])
        draw_line(layer, ends, (darker[0], darker[1], darker[2]), 1)


def shade(layer: Picture, bare: Picture, random: np.random.Generator) -> Picture:
    """Let a drawn mask take up some of the face's own light and lose its sharp edge."""
    light = blur(bare, 8.0).astype(np.float32).mean(axis=-1, keepdims=True)
    light = light / max(float(light.mean()), 1.0)
    changed = (layer != bare).any(axis=-1, keepdims=True)
    strength = random.uniform(0.2, 0.7)
    lit = np.clip(layer * (1 - strength + strength * light), 0, 255)
    mixed = np.where(changed, lit, bare).astype(np.uint8)
    return blur(mixed, 0.6) if random.random() < 0.5 else mixed

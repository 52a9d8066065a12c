"""The people of the synthetic scene: two public-domain portraits in several clothes, hair colours and mirrorings."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Points = dict[str, tuple[float, float]]

_FOLDER = Path(__file__).parent / "portraits"


@dataclass(frozen=True, slots=True)
class Look:
    """How one person differs from the portrait.

    Attributes:
        portrait: ``collins`` or ``hopper``.
        mirrored: Left and right exchanged.
        coat: BGR of the clothes, or None for the portrait's own.
        hair: Brightness of the hair relative to the portrait's.
        tone: Brightness of the whole person relative to the portrait's.
    """

    portrait: str
    mirrored: bool = False
    coat: tuple[int, int, int] | None = None
    hair: float = 1.0
    tone: float = 1.0


LOOKS = (
    Look("collins", coat=(128, 84, 40), hair=0.42),
    Look("hopper"),
    Look("collins", mirrored=True),
    Look("hopper", mirrored=True, coat=(58, 42, 112), tone=0.93),
    Look("collins", coat=(104, 112, 92), hair=0.72, tone=0.95),
    Look("hopper", coat=(70, 104, 84), tone=1.05),
)
PERSONS = len(LOOKS)


@dataclass(frozen=True, slots=True)
class Portrait:
    """One person, cut out.

    Attributes:
        picture: uint8, (H, W, 3), BGR.
        alpha: uint8, (H, W); 255 is the person.
        face: x1, y1, x2, y2 of the face, px of the picture.
        points: Where eyes, nose, lips, chin, jaw and ears are, px; left and right as the picture shows them.
    """

    picture: Picture
    alpha: Picture
    face: tuple[float, float, float, float]
    points: Points


@functools.lru_cache(maxsize=PERSONS)
def person(number: int) -> Portrait:
    """Give one of the `PERSONS` persons; shared, so do not write to its arrays."""
    look = LOOKS[number]
    portrait = _load(look.portrait)
    picture = portrait.picture.copy()
    if look.portrait == "collins":
        picture = _tint_hair(picture, portrait, look.hair)
    if look.coat is not None:
        picture = _tint_coat(picture, portrait, look)
    if look.tone != 1.0:
        picture = np.asarray(cv2.convertScaleAbs(picture, alpha=look.tone), np.uint8)
    changed = Portrait(picture, portrait.alpha, portrait.face, portrait.points)
    return _mirror(changed) if look.mirrored else changed


def _load(name: str) -> Portrait:
    facts: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text("utf-8"))
    picture = cv2.imread(str(_FOLDER / f"{name}.jpg"), cv2.IMREAD_COLOR)
    alpha = cv2.imread(str(_FOLDER / f"{name}_alpha.png"), cv2.IMREAD_GRAYSCALE)
    if picture is None or alpha is None:
        raise FileNotFoundError(f"{_FOLDER / name}: portrait is missing from the installation")
    points = {key: (float(x), float(y)) for key, (x, y) in facts["points"].items()}
    x1, y1, x2, y2 = facts["face"]
    return Portrait(np.asarray(picture, np.uint8), np.asarray(alpha, np.uint8), (x1, y1, x2, y2), points)


def _mirror(portrait: Portrait) -> Portrait:
    width = portrait.picture.shape[1]
    swap = {"left": "right", "right": "left"}
    points: Points = {}
    for key, (x, y) in portrait.points.items():
        stem, _, side = key.rpartition("_")
        points[f"{stem}_{swap[side]}" if side in swap else key] = (width - 1 - x, y)
    x1, y1, x2, y2 = portrait.face
    return Portrait(
        np.ascontiguousarray(portrait.picture[:, ::-1]),
        np.ascontiguousarray(portrait.alpha[:, ::-1]),
        (width - x2, y1, width - x1, y2),
        points,
    )


def _tint_hair(picture: Picture, portrait: Portrait, brightness: float) -> Picture:
    if brightness == 1.0:
        return picture
    height, width = picture.shape[:2]
    hue, saturation, _ = cv2.split(cv2.cvtColor(picture, cv2.COLOR_BGR2HSV))
    brown = ((hue > 8) & (hue < 30) & (saturation > 55)).astype(np.float32)
    x1, y1, x2, y2 = portrait.face
    skin = np.zeros((height, width), np.uint8)
    axes = (int((x2 - x1) * 0.43), int((y2 - y1) * 0.44))
    cv2.ellipse(skin, (int((x1 + x2) / 2), int((y1 + y2) / 2) + 20), axes, 0, 0, 360, 255, -1)
    hair = brown * (skin == 0)
    hair[int(y2 - 25) :] = 0
    weight = cv2.GaussianBlur(hair, (0, 0), 2.5)[..., None]
    return rounded(picture * (1 - weight * (1 - brightness)))


def _tint_coat(picture: Picture, portrait: Portrait, look: Look) -> Picture:
    hue, saturation, value = cv2.split(cv2.cvtColor(picture, cv2.COLOR_BGR2HSV))
    orange = look.portrait == "collins"
    cloth = (
        ((hue < 16) | (hue > 172)) & (saturation > 120) if orange else (value < 75) & ~((hue < 22) & (saturation > 80))
    )
    cloth[: int(portrait.face[3] - 8)] = False
    weight = cv2.GaussianBlur(cloth.astype(np.float32), (0, 0), 1.5)[..., None]
    light = value.astype(np.float32)[..., None] / (215.0 if orange else 60.0)
    coat = np.asarray(look.coat, np.float32) * (light if orange else 0.55 + 0.6 * light)
    return rounded(picture * (1 - weight) + coat * weight)


def rounded(picture: NDArray[np.floating]) -> Picture:
    """Bring brightness values back to uint8, (H, W, 3)."""
    return np.asarray(np.clip(np.rint(picture), 0, 255), np.uint8)

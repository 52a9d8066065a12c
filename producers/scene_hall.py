"""The station hall behind the people of the synthetic scene: walls, lights, pillars, floor, signs."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from producers.scene_portraits import Picture

_WIDTH, _HEIGHT = 960, 540
_HORIZON = 232
_PALETTES = ((204, 206, 200), (196, 208, 214), (214, 206, 196), (196, 204, 190))
_ACCENTS = ((150, 84, 30), (60, 120, 40), (40, 60, 170), (120, 50, 110))
_FONT = cv2.FONT_HERSHEY_DUPLEX


def hall(title: str, number: int, size: tuple[int, int]) -> Picture:
    """Draw a hall.

    Args:
        title: Name on the sign.
        number: Chooses colours, pillars and signs.
        size: (width, height), px.

    Returns:
        uint8, (height, width, 3), BGR, without noise.
    """
    wall = np.asarray(_PALETTES[number % len(_PALETTES)], np.float32)
    accent = _ACCENTS[(number // 4) % len(_ACCENTS)]
    picture = _shell(wall)
    _lights(picture)
    _back_wall(picture, accent, number)
    for x in (130, 320, 640, 830):
        _pillar(picture, x + (number % 3 - 1) * 14, 30 if 200 < x < 760 else 46, wall)
    _sign(picture, title, number, accent)
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if size[0] < _WIDTH else cv2.INTER_CUBIC)
    return np.asarray(cv2.GaussianBlur(scaled, (0, 0), max(0.5, size[0] / _WIDTH)), np.uint8)


def _shell(wall: NDArray[np.float32]) -> Picture:
    rows, columns = np.mgrid[:_HEIGHT, :_WIDTH].astype(np.float32)
    middle = 1 - 0.25 * ((columns - _WIDTH / 2) / (_WIDTH / 2)) ** 2
    light = np.where(rows < _HORIZON, 0.62 + 0.3 * rows / _HORIZON, 0.0)
    depth = np.maximum((rows - _HORIZON) / (_HEIGHT - _HORIZON), 1e-3)
    tile_x = np.floor((columns - _WIDTH / 2) / (depth * 260 + 8) + 1000)
    tile_y = np.floor(3.4 / (depth + 0.12))
    check = np.where((tile_x + tile_y) % 2 == 0, 0.03, -0.03)
    floor = 0.52 + 0.24 * depth + check
    floor += 0.1 * np.exp(-(((columns - _WIDTH / 2) / 130) ** 2)) * (1 - depth)
    light = np.where(rows >= _HORIZON, floor, light) * middle
    return np.asarray(np.clip(light[..., None] * wall, 0, 255), np.uint8)


def _lights(picture: Picture) -> None:
    glow = np.zeros_like(picture)
    for side in (-1, 1):
        for near, far in ((1.0, 0.74), (0.66, 0.5), (0.45, 0.36), (0.32, 0.27)):
            corners = [
                (480 + side * 330 * near, 200 - 210 * near),
                (480 + side * 430 * near, 200 - 210 * near),
                (480 + side * 430 * far, 200 - 210 * far),
                (480 + side * 330 * far, 200 - 210 * far),
            ]
            cv2.fillPoly(glow, [np.rint(corners).astype(np.int32)], (250, 250, 246), cv2.LINE_AA)
    halo = cv2.GaussianBlur(glow, (0, 0), 18)
    cv2.add(picture, (halo * 0.35).astype(np.uint8), picture)
    np.maximum(picture, glow, out=picture)


def _back_wall(picture: Picture, accent: tuple[int, int, int], number: int) -> None:
    cv2.rectangle(picture, (352, 168), (608, 246), (112, 114, 112), -1)
    for index in range(5):
        left = 360 + index * 50
        shade = 70 + 14 * ((index + number) % 3)
        cv2.rectangle(picture, (left, 176), (left + 40, 246), (shade + 12, shade + 6, shade), -1)
        cv2.line(picture, (left + 20, 176), (left + 20, 246), (150, 150, 148), 1)
    cv2.rectangle(picture, (352, 158), (608, 170), accent, -1)
    cv2.line(picture, (0, 250), (352, 246), (120, 122, 120), 2, cv2.LINE_AA)
    cv2.line(picture, (608, 246), (960, 250), (120, 122, 120), 2, cv2.LINE_AA)
    for left, width in ((20, 74), (866, 74)):
        cv2.rectangle(picture, (left, 120), (left + width, 232), (58, 60, 62), -1)
        cv2.rectangle(picture, (left + 5, 126), (left + width - 5, 226), accent, -1)
        for line in range(4):
            right = left + 16 + (number * 7 + line * 13) % 40
            cv2.line(picture, (left + 12, 176 + line * 11), (right, 176 + line * 11), (226, 226, 226), 2)


def _pillar(picture: Picture, x: int, width: int, wall: NDArray[np.float32]) -> None:
    left, right = x - width // 2, x + width // 2
    bottom = 262 if width < 40 else 330
    across = np.linspace(-1, 1, right - left, dtype=np.float32)
    light = 0.96 - 0.34 * (across - 0.2) ** 2
    picture[:bottom, left:right] = np.clip(light[None, :, None] * wall, 0, 255).astype(np.uint8)
    cv2.rectangle(picture, (left - 3, bottom - 10), (right + 3, bottom), (96, 98, 98), -1)


def _sign(picture: Picture, title: str, number: int, accent: tuple[int, int, int]) -> None:
    for x in (384, 576):
        cv2.line(picture, (x, 40), (x, 92), (90, 92, 92), 3)
    cv2.rectangle(picture, (340, 92), (620, 138), accent, -1)
    cv2.rectangle(picture, (340, 92), (620, 138), (235, 235, 235), 1)
    text = title[:16].replace("_", " ").replace("-", " ").title()
    cv2.putText(picture, text, (352, 123), _FONT, 0.72, (250, 250, 250), 1, cv2.LINE_AA)
    cv2.putText(picture, f"{number % 9 + 1}", (588, 125), _FONT, 0.8, (120, 230, 250), 2, cv2.LINE_AA)

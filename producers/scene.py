"""A synthetic camera in a station hall: people with and without masks walk through, and the truth about them is known.

Made for demonstrations and tests: the picture at any time follows from the scene's name and seed alone.
"""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from producers.scene_hall import hall
from producers.scene_masks import Wear, put_on
from producers.scene_portraits import Picture, person
from producers.scene_visits import State, Visit, visits_between

_MOVE_S = 0.5
_MOVE_STEPS = 6
_BODY_FACES = 6.0
_OVERLAP_PX = 56
_NOISE_PX = 64
_NOISE_LEVELS = 9


@dataclass(frozen=True, slots=True)
class SceneFace:
    """One person of one picture, as truth.

    Attributes:
        visit: The visit it belongs to.
        box: x1, y1, x2, y2 of the face, px; may reach outside the picture.
        state: How the mask is worn.
        visible: Whether the face is wholly in the picture and large enough to judge.
    """

    visit: Visit
    box: tuple[float, float, float, float]
    state: State
    visible: bool


class SceneCamera:
    """Draws a synthetic scene. Not shared between threads while drawing.

    Args:
        name: Name of the scene; it is on the sign in the hall and decides, with the seed, what happens.
        seed: Another seed makes another scene of the same name.
        size: (width, height) of the pictures, px, at least 160×120 and 4:3 or wider.
    """

    def __init__(self, name: str, seed: int = 0, size: tuple[int, int] = (960, 540)) -> None:
        self.name = name
        self.seed = seed
        self.width, self.height = size
        number = zlib.crc32(f"{name}:{seed}".encode())
        bright = hall(name, number, size).astype(np.int16) - _NOISE_LEVELS // 2
        self._hall = np.asarray(np.clip(bright, 0, 255), np.uint8)
        grain = np.random.default_rng(number).normal(
            _NOISE_LEVELS / 2, 2.0, (size[1] + _NOISE_PX, size[0] + _NOISE_PX, 3)
        )
        self._grain = np.clip(np.rint(grain), 0, _NOISE_LEVELS).astype(np.uint8)

    def frame(self, t: float) -> Picture:
        """Draw the picture of time ``t`` s: uint8, (height, width, 3), BGR; before 0 the hall is empty."""
        canvas = self._hall.copy()
        seen = sorted(visits_between(self.name, self.seed, t, t + 1e-6), key=lambda visit: visit.place_at(t).face)
        for visit in seen:
            self._draw(canvas, visit, t)
        moment = zlib.crc32(round(t * 1000).to_bytes(8, "little", signed=True))
        row, column = moment % _NOISE_PX, moment // _NOISE_PX % _NOISE_PX
        return np.asarray(cv2.add(canvas, self._grain[row : row + self.height, column : column + self.width]), np.uint8)

    def truth(self, start_s: float, end_s: float) -> list[Visit]:
        """Give the visits of which something is seen between two times of the scene, s."""
        return list(visits_between(self.name, self.seed, start_s, end_s))

    def faces(self, t: float) -> list[SceneFace]:
        """Give the faces of the picture of time ``t``, with their boxes in px."""
        result = []
        for visit in visits_between(self.name, self.seed, t, t + 1e-6):
            place = visit.place_at(t)
            x1, y1, x2, y2 = place.box(self.width / self.height)
            box = (x1 * self.width, y1 * self.height, x2 * self.width, y2 * self.height)
            result.append(SceneFace(visit, box, visit.state_at(t), visit.start_s <= t <= visit.end_s))
        return result

    def _draw(self, canvas: Picture, visit: Visit, t: float) -> None:
        place = visit.place_at(t)
        portrait = person(visit.person)
        x1, y1, x2, y2 = portrait.face
        scale = place.face * self.height / (y2 - y1)
        left = place.x * self.width - (x1 + x2) / 2 * scale
        top = place.y * self.height - (y1 + y2) / 2 * scale
        height = portrait.picture.shape[0]
        body = _body(visit.person)
        _blit(canvas, body, (left, top + (height - _OVERLAP_PX) * scale), scale)
        _blit(canvas, _bust(visit.person, _wear(visit, t)), (left, top), scale)


@dataclass(frozen=True, slots=True)
class _Sprite:
    """A cut-out, ready to be blended: colour already multiplied by alpha, and what is left of the background."""

    colour: Picture
    rest: Picture


def _wear(visit: Visit, t: float) -> Wear | None:
    pose = _pose(visit, visit.state_at(t))
    for since, state in visit.states[1:]:
        before = visit.state_at(since - 0.01)
        if abs(t - since) < _MOVE_S / 2:
            step = round((t - since + _MOVE_S / 2) / _MOVE_S * _MOVE_STEPS) / _MOVE_STEPS
            return Wear(visit.colour, _pose(visit, before) or "chin", _pose(visit, state) or "chin", step)
    return Wear(visit.colour, pose, pose) if pose else None


def _pose(visit: Visit, state: State) -> str | None:
    return {"mask": "worn", "incorrect": visit.pose, "no_mask": None}[state]


_BUSTS = 32
"""As many as four scenes show at once, with some to spare; each is most of a megabyte."""


@functools.lru_cache(maxsize=_BUSTS)
def _bust(number: int, wear: Wear | None) -> _Sprite:
    portrait = person(number)
    picture = portrait.picture if wear is None else put_on(portrait, wear)
    alpha = portrait.alpha.astype(np.float32)
    alpha[-_OVERLAP_PX:] *= np.linspace(1, 0, _OVERLAP_PX, dtype=np.float32)[:, None] ** 0.7
    return _sprite(picture, alpha.astype(np.uint8))


@functools.lru_cache(maxsize=16)
def _body(number: int) -> _Sprite:
    """Draw the coat below the portrait, from its lowest rows down to the floor."""
    portrait = person(number)
    top, bottom = portrait.face[1], portrait.face[3]
    length = int((bottom - top) * _BODY_FACES) + int(top) - portrait.picture.shape[0] + _OVERLAP_PX
    edge = portrait.alpha[-6].astype(np.float32)
    inside = np.flatnonzero(edge > 200)
    centre, half = (inside[0] + inside[-1]) / 2, (inside[-1] - inside[0]) / 2
    down = np.linspace(0, 1, length, dtype=np.float32)[:, None]
    columns = np.arange(len(edge), dtype=np.float32)[None, :]
    across = (columns - centre) / (half * (1 - 0.2 * down - 0.9 * np.clip(down - 0.92, 0, 1)))
    coat = np.median(portrait.picture[-25:][portrait.alpha[-25:] > 250], axis=0).astype(np.float32)
    light = 1.08 - 0.3 * across**2 - 0.3 * down + 0.05 * np.sin(across * 7.0 + number) * (0.4 + down)
    light -= 0.25 * np.exp(-((across / 0.012) ** 2))
    for arm in (-0.7, 0.7):
        light -= 0.3 * np.exp(-(((across - arm) / 0.035) ** 2)) * (down < 0.62)
    colour = coat * light[..., None]
    alpha = np.clip((1 - np.abs(across)) * half / 2.5, 0, 1) * 255
    return _sprite(np.clip(colour, 0, 255).astype(np.uint8), alpha.astype(np.uint8))


def _sprite(picture: Picture, alpha: Picture) -> _Sprite:
    weight = cv2.merge([alpha, alpha, alpha])
    return _Sprite(
        np.asarray(cv2.multiply(picture, weight, scale=1 / 255), np.uint8), np.asarray(255 - weight, np.uint8)
    )


def _blit(canvas: Picture, sprite: _Sprite, corner: tuple[float, float], scale: float) -> None:
    """Blend a scaled cut-out into the canvas, in place; only its part inside the canvas is touched."""
    height, width = sprite.colour.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = round(corner[0]), round(corner[1])
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + size[0], canvas.shape[1]), min(top + size[1], canvas.shape[0])
    if x1 >= x2 or y1 >= y2:
        return
    method = cv2.INTER_AREA if scale < 0.6 else cv2.INTER_LINEAR
    inside = np.s_[y1 - top : y2 - top, x1 - left : x2 - left]
    colour = cv2.resize(sprite.colour, size, interpolation=method)[inside]
    rest = cv2.resize(sprite.rest, size, interpolation=method)[inside]
    region = canvas[y1:y2, x1:x2]
    canvas[y1:y2, x1:x2] = cv2.add(cv2.multiply(region, rest, scale=1 / 255), colour)

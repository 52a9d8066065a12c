"""Who walks through the synthetic scene when, where, and how masked: the truth that pictures are drawn from.

Everything follows from the scene's name and seed, for any time, without memory. Visits are made to be unambiguous:
every one lasts several seconds, every state at least `MIN_STATE_S`, faces keep apart, and a place stays empty for a
while between two visitors.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

State = Literal["mask", "no_mask", "incorrect"]
Walk = Literal["left", "right", "middle", "across"]

CYCLE_S = 16.0
MIN_STATE_S = 3.0
_STEP_S = 0.05
_FACE_ASPECT = 0.8

_PLANS: tuple[tuple[tuple[Walk, float], ...], ...] = (
    (("left", 0.3), ("right", 1.6)),
    (("across", 0.3),),
    (("left", 0.3), ("middle", 0.6), ("right", 1.5)),
)
_SCRIPTS: tuple[tuple[State, ...], ...] = (
    ("no_mask",),
    ("mask",),
    ("incorrect",),
    ("no_mask", "mask"),
    ("mask",),
    ("mask", "incorrect"),
)
_STAY_S: dict[Walk, float] = {"left": 11.0, "right": 11.0, "middle": 11.0, "across": 11.5}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a face is at one moment.

    Attributes:
        x: Centre, share of the picture's width; outside 0..1 before and after the visit.
        y: Centre, share of the picture's height.
        face: Height of the face, share of the picture's height.
    """

    x: float
    y: float
    face: float

    def box(self, aspect: float) -> tuple[float, float, float, float]:
        """Give the face's box x1, y1, x2, y2 in shares, in a picture of ``aspect`` = width / height."""
        half_width, half_height = self.face * _FACE_ASPECT / 2 / aspect, self.face / 2
        return self.x - half_width, self.y - half_height, self.x + half_width, self.y + half_height


@dataclass(frozen=True, slots=True)
class Visit:
    """One person's way through the scene. Times are seconds of the scene's clock.

    Attributes:
        number: Counts the scene's visits from 0, in the order of planning.
        person: Which of the portraits, see ``producers.scene_portraits``.
        walk: The way taken.
        enter_s: The first part of the person may be seen from here on.
        leave_s: Nothing of the person is seen from here on.
        start_s: The face is wholly in the picture from here on.
        end_s: The face is wholly in the picture until here.
        states: From when on each state holds; the first at ``enter_s``.
        colour: Colour of the mask, a name of ``producers.scene_masks.COLOURS``.
        pose: How a mask is worn wrongly, ``nose`` or ``chin``.
        size: Height of the face at rest, share of the picture's height.
        height: Where the face's centre is at rest, share of the picture's height.
        phase: Makes people sway differently, radians.
    """

    number: int
    person: int
    walk: Walk
    enter_s: float
    leave_s: float
    start_s: float
    end_s: float
    states: tuple[tuple[float, State], ...]
    colour: str
    pose: str
    size: float
    height: float
    phase: float

    def state_at(self, t: float) -> State:
        """Say how the mask is worn at ``t`` seconds."""
        return [state for since, state in self.states if since <= t or since == self.enter_s][-1]

    def place_at(self, t: float) -> Place:
        """Say where the face is at ``t`` seconds."""
        return _place(self.walk, t - self.enter_s, self)


def visits_between(name: str, seed: int, start_s: float, end_s: float) -> Iterator[Visit]:
    """Give the visits of which something is seen between two times, s, in order of planning; none before 0."""
    shift = _shift(name, seed)
    first = max(0, int((start_s + shift) // CYCLE_S) - 1)
    last = int((end_s + shift) // CYCLE_S) + 1
    for cycle in range(first, last):
        for visit in _cycle(name, seed, cycle):
            if 0 <= visit.enter_s < end_s and visit.leave_s > start_s:
                yield visit


def _shift(name: str, seed: int) -> float:
    """Say how far into its first cycle a scene begins, s, so that several cameras do not run in step."""
    return _number(name, seed, "shift") % 64 / 64 * CYCLE_S


def _number(*parts: object) -> int:
    return zlib.crc32(":".join(str(part) for part in parts).encode())


@functools.lru_cache(maxsize=256)
def _cycle(name: str, seed: int, cycle: int) -> tuple[Visit, ...]:
    offset = _number(name, seed, "plan")
    plan = _PLANS[(cycle + offset) % len(_PLANS)]
    crowd = np.random.default_rng(_number(name, seed, cycle, "crowd")).permutation(6)
    start = cycle * CYCLE_S - _shift(name, seed)
    result = []
    for slot, (walk, after) in enumerate(plan):
        number = cycle * 3 + slot
        result.append(_visit(_number(name, seed, cycle, slot), number, int(crowd[slot]), (walk, start + after, offset)))
    return tuple(result)


def _visit(seed: int, number: int, person: int, way: tuple[Walk, float, int]) -> Visit:
    walk, enter, offset = way
    chance = np.random.default_rng(seed)
    script = _SCRIPTS[(number + number // 6 + offset) % len(_SCRIPTS)]
    leave = enter + _STAY_S[walk]
    size = {"left": 0.165, "right": 0.165, "middle": 0.15, "across": 0.18}[walk] * float(chance.uniform(0.85, 1.25))
    changed = enter + _STAY_S[walk] / 2 + float(chance.uniform(-0.3, 0.3))
    draft = Visit(
        number=number,
        person=person,
        walk=walk,
        enter_s=enter,
        leave_s=leave,
        start_s=enter,
        end_s=leave,
        states=tuple(zip((enter, changed), script, strict=False)),
        colour=str(chance.choice(["blue", "blue", "white", "black"])),
        pose=str(chance.choice(["nose", "chin"])),
        size=size,
        height=float(chance.uniform(0.36, 0.43)),
        phase=float(chance.uniform(0, 6.28)),
    )
    return _with_visible_times(draft)


def _with_visible_times(draft: Visit) -> Visit:
    times = np.arange(draft.enter_s, draft.leave_s, _STEP_S)
    inside = [t for t in times if _seen(draft.place_at(float(t)))]
    values = {field: getattr(draft, field) for field in draft.__slots__}
    values.update(start_s=float(inside[0]), end_s=float(inside[-1]))
    return Visit(**values)


def _seen(place: Place) -> bool:
    """Say whether a face is wholly in the picture and large enough to judge; for 4:3 and wider pictures."""
    half = place.face * _FACE_ASPECT / 2 / (4 / 3)
    return half <= place.x <= 1 - half and place.face >= 0.075


def _place(walk: Walk, t: float, visit: Visit) -> Place:
    sway = 0.006 * np.sin(0.9 * t + visit.phase)
    bob = 0.006 * visit.size / 0.17 * np.sin(7.0 * t + visit.phase)
    if walk == "across":
        x = -0.14 + 1.28 * t / _STAY_S["across"]
        x, flip = (x, False) if visit.number % 2 else (1 - x, True)
        size = visit.size * (0.9 + 0.12 * t / _STAY_S["across"] * (-1 if flip else 1) + (0.12 if flip else 0))
        return Place(float(x), float(visit.height + bob), float(size))
    coming = _ease(t / 3.2)
    going = _ease((_STAY_S[walk] - t) / 2.8)
    if walk == "middle":
        near = _ease(t / 4.0)
        size = visit.size * (0.12 + 0.88 * near) * (0.12 + 0.88 * _ease((_STAY_S[walk] - t) / 3.2))
        return Place(float(0.5 + sway), float(visit.height + 0.25 * bob), float(size))
    inside = min(coming, going)
    x = -0.14 + 0.34 * inside + sway
    size = visit.size * (0.8 + 0.2 * coming)
    return Place(float(x if walk == "left" else 1 - x), float(visit.height + bob * (1 - inside)), float(size))


def _ease(share: float) -> float:
    """Walk evenly and slow down at the end: 0..1 to 0..1."""
    share = min(max(share, 0.0), 1.0)
    return share * (1.6 - 0.6 * share)

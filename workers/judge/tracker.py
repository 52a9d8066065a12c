"""Follows faces from frame to frame of one camera: constant-velocity prediction and the best overall assignment.

Positions are relative to the frame, distances are in face sizes and speeds in relative units a second, so that neither
the resolution nor the frame rate matters. Every stored value is rounded as it is made: what is written to the
broker is exactly what the next judge goes on with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from scipy.optimize import linear_sum_assignment

from workers.judge.episodes import Case
from workers.judge.limits import Limits
from workers.judge.votes import VoteWindow

_FORBIDDEN = 1e6
_SETTLED_SIZES_A_SECOND = 5.0
_FIRST_SIZES_A_SECOND = 9.0  # a person who walks across: 1.4 m/s at 0.16 m of face
_GATE_SIZES = 0.7
_WIDEST_GATE_SIZES = 3.0
_COAST_S = 1.0
_FASTEST_SIZES_A_SECOND = 12.0
_BIRTH_DISTANCE_SIZES = 0.5
_CONFIRMED_HITS = 2


class Face(NamedTuple):
    """Centre and size of a face, relative to the frame's width and height."""

    x: float
    y: float
    w: float
    h: float


class Frame(NamedTuple):
    """A frame, as an event names it; times in ms since 1970."""

    frame_id: str
    width: int
    height: int
    captured_ms: int
    published_ms: int
    inferred_ms: int


class Sight(NamedTuple):
    """How a face looked when it was last seen."""

    frame: Frame
    box: tuple[float, float, float, float]
    score: float
    blur: float | None


@dataclass(slots=True)
class Track:
    """One face over time. ``x y w h`` as `Face`, ``vx vy`` a second."""

    session: int
    first_seq: int
    ordinal: int
    hits: int
    misses: int
    first_ms: int
    last_ms: int
    x: float
    y: float
    w: float
    h: float
    vx: float
    vy: float
    sight: Sight
    window: VoteWindow = field(default_factory=VoteWindow)
    case: Case = field(default_factory=Case)

    @property
    def confirmed(self) -> bool:
        """Whether it was seen often enough to be a face."""
        return self.hits >= _CONFIRMED_HITS

    def uid(self, camera: str) -> str:
        """Name the track; the same on every machine."""
        return f"{camera}:{self.session}:{self.first_seq}:{self.ordinal}"

    def see(self, face: Face, t_ms: int) -> None:
        """Move to where the face was found, and learn its speed."""
        dt = (t_ms - self.last_ms) / 1000
        if dt > 0:
            gain = 0.8 if self.hits == 1 else dt / (dt + 0.2)
            reach = min(dt, _COAST_S)
            fastest_x, fastest_y = _FASTEST_SIZES_A_SECOND * face.w, _FASTEST_SIZES_A_SECOND * face.h
            vx = self.vx + gain * (face.x - self.x - self.vx * reach) / dt
            vy = self.vy + gain * (face.y - self.y - self.vy * reach) / dt
            self.vx = round(max(-fastest_x, min(fastest_x, vx)), 5)
            self.vy = round(max(-fastest_y, min(fastest_y, vy)), 5)
        self.x, self.y = face.x, face.y
        self.w = round(0.5 * self.w + 0.5 * face.w, 5)
        self.h = round(0.5 * self.h + 0.5 * face.h, 5)
        self.hits += 1
        self.misses = 0
        self.last_ms = max(self.last_ms, t_ms)

    def gone(self, t_ms: int, limits: Limits) -> bool:
        """Say whether the person has left."""
        unseen = t_ms - self.last_ms
        if not self.confirmed:
            return unseen > limits.tentative_ms
        return unseen > limits.lost_at_most_ms or (unseen > limits.lost_ms and self.misses >= limits.lost_frames)


def face_of(box: tuple[float, float, float, float]) -> Face:
    """Turn corners into centre and size, rounded as they are stored."""
    x1, y1, x2, y2 = box
    return Face(
        round((x1 + x2) / 2, 5), round((y1 + y2) / 2, 5), round(max(x2 - x1, 1e-4), 5), round(max(y2 - y1, 1e-4), 5)
    )


def assign(tracks: list[Track], faces: list[Face], t_ms: int) -> list[int]:
    """Say which track each face continues.

    Args:
        tracks: All that are followed.
        faces: Those of the new frame.
        t_ms: Capture time of the frame.

    Returns:
        For each face the index of its track, or -1 for a new one.
    """
    if not tracks or not faces:
        return [-1] * len(faces)
    costs = [[_cost(track, face, t_ms) for track in tracks] for face in faces]
    if len(tracks) == 1 and len(faces) == 1:
        return [0 if costs[0][0] < _FORBIDDEN else -1]
    plain = _without_rivals(costs, len(tracks))
    if plain is not None:
        return plain
    chosen = [-1] * len(faces)
    for face, track in zip(*linear_sum_assignment(costs), strict=True):
        if costs[face][track] < _FORBIDDEN:
            chosen[face] = int(track)
    return chosen


def is_echo(face: Face, others: list[Face]) -> bool:
    """Say whether a face without a track is a second box on a face that has one."""
    return any(_distance(face, other.x, other.y, other.w, other.h) < _BIRTH_DISTANCE_SIZES for other in others)


def _distance(face: Face, x: float, y: float, w: float, h: float) -> float:
    return math.hypot((face.x - x) / (0.5 * (face.w + w)), (face.y - y) / (0.5 * (face.h + h)))


def _cost(track: Track, face: Face, t_ms: int) -> float:
    dt = max(0.0, (t_ms - track.last_ms) / 1000)
    reach = min(dt, _COAST_S)
    x, y = track.x + track.vx * reach, track.y + track.vy * reach
    distance = _distance(face, x, y, track.w, track.h)
    speed = _FIRST_SIZES_A_SECOND if track.hits == 1 else _SETTLED_SIZES_A_SECOND
    if distance > min(_WIDEST_GATE_SIZES, _GATE_SIZES + speed * dt):
        return _FORBIDDEN
    growth = abs(math.log(face.w * face.h / (track.w * track.h)))
    if growth > 1.6:
        return _FORBIDDEN
    return distance + 0.3 * growth + 0.5 * (1 - _overlap(track, face, x, y)) + (0 if track.confirmed else 0.3)


def _overlap(track: Track, face: Face, x: float, y: float) -> float:
    width = min(x + track.w / 2, face.x + face.w / 2) - max(x - track.w / 2, face.x - face.w / 2)
    height = min(y + track.h / 2, face.y + face.h / 2) - max(y - track.h / 2, face.y - face.h / 2)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (track.w * track.h + face.w * face.h - width * height)


def _without_rivals(costs: list[list[float]], tracks: int) -> list[int] | None:
    """Assign at once where no face and no track has a choice; None where somebody has to decide."""
    taken = [False] * tracks
    chosen: list[int] = []
    for row in costs:
        near = [index for index, cost in enumerate(row) if cost < _FORBIDDEN]
        if len(near) > 1 or (near and taken[near[0]]):
            return None
        if near:
            taken[near[0]] = True
        chosen.append(near[0] if near else -1)
    return chosen

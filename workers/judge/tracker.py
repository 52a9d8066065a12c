"""A face that is followed from frame to frame of one camera: where it is, how it moves, when it is gone.

Positions are relative to the frame, distances are in face sizes and speeds in relative units a second, so that neither
the resolution nor the frame rate matters. Every stored value is rounded as it is made: what is written to the
broker is exactly what the next judge goes on with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from workers.judge.episodes import Case
from workers.judge.limits import Limits
from workers.judge.rounding import five
from workers.judge.votes import VoteWindow
from workers.judge.zoning import Presences

COAST_S = 1.0
_FASTEST_SIZES_A_SECOND = 12.0
_CONFIRMED_HITS = 2
_EDGE_SIZES = 0.75
_STILL_SIZES = 0.12
_STILL_GROWTH = 1.15
_STILL_MS = 5000
_LEAST = 1e-4


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
    yaw: int | None = None
    occlusion: float = 0.0

    def rounded(self) -> Sight:
        """Give it as it is told."""
        x1, y1, x2, y2 = self.box
        box = (round(x1, 4), round(y1, 4), round(x2, 4), round(y2, 4))
        blur = None if self.blur is None else round(self.blur, 1)
        return Sight(self.frame, box, round(self.score, 3), blur, self.yaw, self.occlusion)


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
    places: Presences = field(default_factory=dict)
    still: tuple[float, float, float, int] = (0.0, 0.0, 0.0, 0)
    """Where and how wide it was when it last moved, and when, ms."""

    @property
    def confirmed(self) -> bool:
        """Whether it was seen often enough to be a face."""
        return self.hits >= _CONFIRMED_HITS

    @property
    def stationary(self) -> bool:
        """Whether it has not moved for a while, as no living face does."""
        return bool(self.still[3]) and self.last_ms - self.still[3] >= _STILL_MS

    def uid(self, camera: str) -> str:
        """Name the track; the same on every machine."""
        return f"{camera}:{self.session}:{self.first_seq}:{self.ordinal}"

    def see(self, face: Face, t_ms: int) -> None:
        """Move to where the face was found, and learn its speed."""
        face_x, face_y, face_w, face_h = face
        dt = (t_ms - self.last_ms) / 1000
        if dt > 0:
            gain = 0.8 if self.hits == 1 else dt / (dt + 0.2)
            reach = dt if dt < COAST_S else COAST_S
            self.vx = _possible(self.vx + gain * (face_x - self.x - self.vx * reach) / dt, face_w)
            self.vy = _possible(self.vy + gain * (face_y - self.y - self.vy * reach) / dt, face_h)
        self.x, self.y = face_x, face_y
        self.w = width = five(0.5 * self.w + 0.5 * face_w)
        self.h = five(0.5 * self.h + 0.5 * face_h)
        self.hits += 1
        self.misses = 0
        self.last_ms = max(self.last_ms, t_ms)
        x, y, w, _ = self.still
        moved = abs(face_x - x) > _STILL_SIZES * face_w or abs(face_y - y) > _STILL_SIZES * face_h
        if moved or not w / _STILL_GROWTH <= width <= w * _STILL_GROWTH:
            self.still = (face_x, face_y, width, t_ms)

    def gone(self, t_ms: int, limits: Limits) -> bool:
        """Say whether the person has left."""
        unseen = t_ms - self.last_ms
        if not self.confirmed:
            return unseen > limits.tentative_ms
        if unseen <= limits.lost_ms:
            return False
        if unseen > limits.lost_at_most_ms:
            return True
        patience = limits.lost_ms if self.leaving else limits.reattach_ms
        return unseen > patience and self.misses >= limits.lost_frames

    @property
    def leaving(self) -> bool:
        """Whether it was last seen at the picture's edge, or about to reach it."""
        x, y = self.x + 0.5 * self.vx, self.y + 0.5 * self.vy
        across, down = _EDGE_SIZES * self.w, _EDGE_SIZES * self.h
        return not (across < x < 1 - across and down < y < 1 - down)


def face_of(box: tuple[float, float, float, float]) -> Face:
    """Turn corners into centre and size, rounded as they are stored."""
    x1, y1, x2, y2 = box
    w, h = x2 - x1, y2 - y1
    w, h = five(w if w > _LEAST else _LEAST), five(h if h > _LEAST else _LEAST)
    return Face(five((x1 + x2) / 2), five((y1 + y2) / 2), w, h)


def _possible(speed: float, size: float) -> float:
    """Keep a speed along one axis within what a face of this size can do."""
    fastest = _FASTEST_SIZES_A_SECOND * size
    return five(-fastest if speed < -fastest else fastest if speed > fastest else speed)

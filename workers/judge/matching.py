"""Says which face of a frame continues which track: constant-velocity prediction and the best overall assignment."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.optimize import linear_sum_assignment

from workers.judge.tracker import COAST_S, Face, Track
from workers.judge.votes import UNDETERMINED

_FORBIDDEN = 1e6
_SETTLED_SIZES_A_SECOND = 5.0
_FIRST_SIZES_A_SECOND = 9.0  # a person who walks across: 1.4 m/s at 0.16 m of face
_GATE_SIZES = 0.7
_WIDEST_GATE_SIZES = 3.0
_BIRTH_DISTANCE_SIZES = 0.5
_GROWTH = 1.6  # of the area, as a logarithm
_LOST_S = 1.5
_REATTACH_GATE_SIZES = 1.5
_REATTACH_GROWTH = 0.7
_LOST_COST = 1.0  # a face goes to somebody who is in view rather than to somebody who was lost
_CONTRADICTION_COST = 0.25
_Expected = tuple[float, float, float, float, float, float, float]
"""Where a track's face should be now (x y w h), how far off it may be, in place and in size, and what a match costs
beside that."""


def assign(tracks: list[Track], faces: list[Face], t_ms: int, label: Callable[[int], int] | None = None) -> list[int]:
    """Say which track each face continues.

    Args:
        tracks: All that are followed.
        faces: Those of the new frame.
        t_ms: Capture time of the frame.
        label: Says what the face of an index looks like, `UNDETERMINED` where that is not clear; asked only where
            several tracks want one face. None goes by place alone.

    Returns:
        For each face the index of its track, or -1 for a new one.
    """
    if not tracks or not faces:
        return [-1] * len(faces)
    expected = [_expect(track, t_ms) for track in tracks]
    if len(tracks) == 1 and len(faces) == 1:
        return [0 if _costs(expected, faces[0])[0] < _FORBIDDEN else -1]
    costs = [_costs(expected, face) for face in faces]
    plain = _without_rivals(costs, len(tracks))
    if plain is not None:
        return plain
    if label is not None:
        _mind_looks(costs, tracks, label)
    chosen = [-1] * len(faces)
    for face_index, track_index in zip(*linear_sum_assignment(costs), strict=True):
        if costs[face_index][track_index] < _FORBIDDEN:
            chosen[face_index] = int(track_index)
    return chosen


def _mind_looks(costs: list[list[float]], tracks: list[Track], label: Callable[[int], int]) -> None:
    """Make it dearer for a face to continue a track whose verdict it contradicts."""
    for index, row in enumerate(costs):
        looks = label(index)
        if looks == UNDETERMINED:
            continue
        for place, track in enumerate(tracks):
            if track.case.verdict not in (looks, UNDETERMINED):
                row[place] += _CONTRADICTION_COST


def is_echo(face: Face, others: list[Face]) -> bool:
    """Say whether a face without a track is a second box on a face that has one."""
    return any(_distance(face, other.x, other.y, other.w, other.h) < _BIRTH_DISTANCE_SIZES for other in others)


def _distance(face: Face, x: float, y: float, w: float, h: float) -> float:
    return math.hypot((face.x - x) / (0.5 * (face.w + w)), (face.y - y) / (0.5 * (face.h + h)))


def _expect(track: Track, t_ms: int) -> _Expected:
    dt = max(0.0, (t_ms - track.last_ms) / 1000)
    reach = dt if dt < COAST_S else COAST_S
    x, y = track.x + track.vx * reach, track.y + track.vy * reach
    if dt > _LOST_S:
        return x, y, track.w, track.h, _REATTACH_GATE_SIZES, _REATTACH_GROWTH, _LOST_COST
    speed = _FIRST_SIZES_A_SECOND if track.hits == 1 else _SETTLED_SIZES_A_SECOND
    gate = _GATE_SIZES + speed * dt
    gate = gate if gate < _WIDEST_GATE_SIZES else _WIDEST_GATE_SIZES
    return x, y, track.w, track.h, gate, _GROWTH, 0.0 if track.confirmed else 0.3


def _costs(expected: list[_Expected], face: Face) -> list[float]:
    """Say what it costs that a face continues each track."""
    face_x, face_y, face_w, face_h = face
    costs: list[float] = []
    for x, y, w, h, gate, most_growth, extra in expected:
        cost = _FORBIDDEN
        across = (face_x - x) / (0.5 * (face_w + w))
        if -gate <= across <= gate:
            distance = math.hypot(across, (face_y - y) / (0.5 * (face_h + h)))
            if distance <= gate:
                growth = abs(math.log(face_w * face_h / (w * h)))
                if growth <= most_growth:
                    cost = distance + 0.3 * growth + 0.5 * (1 - _overlap((x, y, w, h), face)) + extra
        costs.append(cost)
    return costs


def _overlap(where: tuple[float, float, float, float], face: Face) -> float:
    (x, y, w, h), (face_x, face_y, face_w, face_h) = where, face
    right, face_right, left, face_left = x + w / 2, face_x + face_w / 2, x - w / 2, face_x - face_w / 2
    width = (right if right < face_right else face_right) - (left if left > face_left else face_left)
    foot, face_foot, top, face_top = y + h / 2, face_y + face_h / 2, y - h / 2, face_y - face_h / 2
    height = (foot if foot < face_foot else face_foot) - (top if top > face_top else face_top)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (w * h + face_w * face_h - width * height)


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

"""In which zones a followed face is, with inertia: a step over the line and back is no visit.

A zone counts once the test point was inside for a number of frames and for some time, and until it was outside for as
long. The first sight of a face is the exception: somebody who appears inside is inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from common.zones import Box, Polygon, TestPoint, Zone, contains, deciding_point
from workers.judge.ruling import Ruling


@dataclass(frozen=True, slots=True)
class WatchedZone:
    """A zone as one camera draws it.

    Attributes:
        id: Name.
        corners: Polygon, relative to the picture.
        extent: Its bounding box, x1 y1 x2 y2.
        test_point: Which point of a box decides.
        inertia_frames: Frames in a row on the other side before it counts.
        inertia_ms: Time on the other side before it counts.
        ruling: The policy inside; None leaves the camera's.
    """

    id: str
    corners: tuple[tuple[float, float], ...]
    extent: Box
    test_point: TestPoint
    inertia_frames: int
    inertia_ms: int
    ruling: Ruling | None

    @classmethod
    def of(cls, zone: Zone, corners: Polygon, ruling: Ruling | None) -> WatchedZone:
        """Prepare a zone of the plan."""
        xs, ys = zip(*corners, strict=True)
        extent = (min(xs), min(ys), max(xs), max(ys))
        inertia_ms = round(zone.inertia_s * 1000)
        return cls(zone.id, tuple(corners), extent, zone.test_point, zone.inertia_frames, inertia_ms, ruling)

    def holds(self, box: Box) -> bool:
        """Say whether a face with this relative box is inside."""
        x, y = deciding_point(box, self.test_point)
        x1, y1, x2, y2 = self.extent
        return x1 <= x <= x2 and y1 <= y <= y2 and contains(self.corners, x, y)


@dataclass(slots=True)
class Presence:
    """How a face stands to one zone that it has touched. Times in ms of capture.

    Attributes:
        inside: Whether the zone counts as current.
        since_ms: When it was entered last; 0 for never.
        frames: Frames in a row on the other side.
        other_ms: Time of the first of them.
    """

    inside: bool = False
    since_ms: int = 0
    frames: int = 0
    other_ms: int = 0


Presences = dict[str, Presence]


class Passage(NamedTuple):
    """What one frame changed."""

    entered: bool = False
    left: bool = False
    unsettled: bool = False
    """Whether a zone with its own policy may be about to change, so that no episode should start yet."""


NO_PASSAGE = Passage()


def locate(zones: tuple[WatchedZone, ...], presences: Presences, box: Box, t_ms: int, *, first: bool) -> Passage:
    """Note where a face was seen; ``presences`` is changed in place."""
    entered = left = unsettled = False
    for zone in zones:
        holds, presence = zone.holds(box), presences.get(zone.id)
        if presence is None:
            if not holds:
                continue
            presence = presences[zone.id] = Presence()
        if holds == presence.inside:
            presence.frames = 0
            continue
        presence.other_ms = presence.other_ms if presence.frames else t_ms
        presence.frames += 1
        waited = presence.frames >= zone.inertia_frames and t_ms - presence.other_ms >= zone.inertia_ms
        if not (waited or first):
            unsettled |= zone.ruling is not None
            continue
        presence.inside, presence.frames = holds, 0
        entered, left = entered or holds, left or not holds
        if holds:
            presence.since_ms = presence.other_ms
    return Passage(entered, left, unsettled)


def current(presences: Presences) -> list[str]:
    """Name the zones that a face is in, the one entered first in front."""
    return sorted((name for name, one in presences.items() if one.inside), key=lambda name: presences[name].since_ms)


def entered(presences: Presences) -> list[str]:
    """Name the zones that a face has been in, in the order in which it touched them."""
    return [name for name, one in presences.items() if one.since_ms]


def dwell_ms(presences: Presences, t_ms: int) -> int:
    """Say how long a face has been in the current zone that it entered first; 0 where it is in none."""
    return max((max(0, t_ms - one.since_ms) for one in presences.values() if one.inside), default=0)


def forget_unknown(zones: tuple[WatchedZone, ...], presences: Presences) -> None:
    """Drop the zones that a changed plan no longer has."""
    names = {zone.id for zone in zones}
    for name in [name for name in presences if name not in names]:
        del presences[name]

"""How many people without a mask were in a zone lately, over all cameras that draw it. Pure; times in ms are given in.

Moments are those of the event log's entries and of what follows from them, so that whoever repeats the work comes to
the same incidents at the same times.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from common.events import IncidentPhase
from common.siteplan import IncidentRule

REMEMBERED = 256
UPDATE_MS = 5000
_NAME_LETTERS = 12


class Sighting(NamedTuple):
    """An episode that counts: since when, at which camera, and as which episode's person."""

    at_ms: int
    camera: str
    person: str


@dataclass(slots=True)
class Crowd:
    """One rule's count in its zone. Times in ms.

    Attributes:
        seen: Short name of an episode → its sighting.
        is_open: Whether an incident runs.
        opened_ms: When it was opened; part of its id.
        told: Count in its last message.
        told_ms: When that was.
        updates: Its updates so far.
        peak: Its highest count.
        cameras: Cameras that saw its people.
    """

    seen: dict[str, Sighting] = field(default_factory=dict)
    is_open: bool = False
    opened_ms: int = 0
    told: int = 0
    told_ms: int = 0
    updates: int = 0
    peak: int = 0
    cameras: list[str] = field(default_factory=list)

    @property
    def persons(self) -> int:
        """People who count now; several episodes may be one person."""
        return len({one.person for one in self.seen.values()})

    def see(self, episode: str, camera: str, t_ms: int, merge_ms: int) -> None:
        """Count an episode, or take it for somebody whom another camera has just seen."""
        name = episode[:_NAME_LETTERS]
        if name in self.seen:
            return
        twin = self._twin(camera, t_ms - merge_ms) if merge_ms else None
        self.seen[name] = Sighting(t_ms, camera, name) if twin is None else twin._replace(camera=camera)
        if len(self.seen) > REMEMBERED:
            del self.seen[next(iter(self.seen))]

    def next_ms(self, rule: IncidentRule) -> int | None:
        """Say when something is to be looked at again, if nobody comes; None for never."""
        moments = [one.at_ms + _within_ms(rule) for one in self.seen.values()]
        if self.is_open and self.persons > self.peak:
            moments.append(self.told_ms + UPDATE_MS)
        return min(moments, default=None)

    def step(self, t_ms: int, rule: IncidentRule | None) -> IncidentPhase | None:
        """Forget those whose time is over and say which message is due, noting that it was sent.

        Args:
            t_ms: The time.
            rule: The rule in force; None closes what is open, as the plan no longer has it.
        """
        oldest_ms = t_ms - (_within_ms(rule) if rule else 0)
        self.seen = {name: one for name, one in self.seen.items() if rule and one.at_ms > oldest_ms}
        number, phase = self.persons, self._phase(t_ms, rule)
        if phase == "opened":
            self.is_open, self.opened_ms, self.updates, self.peak, self.cameras = True, t_ms, 0, 0, []
        elif phase == "updated":
            self.updates += 1
        elif phase == "closed":
            self.is_open = False
        if self.is_open or phase:
            self.cameras = sorted({*self.cameras, *(one.camera for one in self.seen.values())})
        if phase is not None:
            self.told, self.told_ms, self.peak = number, t_ms, max(self.peak, number)
        return phase

    def to_json(self) -> list[Any]:
        """Write it for the stored state."""
        said = [int(self.is_open), self.opened_ms, self.told, self.told_ms, self.updates, self.peak, self.cameras]
        return [self.seen, *said]

    @classmethod
    def from_json(cls, raw: list[Any]) -> Crowd:
        """Read what `to_json` wrote."""
        seen, is_open, *said = raw
        return cls({name: Sighting(*one) for name, one in seen.items()}, bool(is_open), *said)

    def _phase(self, t_ms: int, rule: IncidentRule | None) -> IncidentPhase | None:
        number = self.persons
        if self.is_open:
            if rule is None or number <= rule.more_than:
                return "closed"
            return "updated" if number > self.peak and t_ms - self.told_ms >= UPDATE_MS else None
        return "opened" if rule is not None and number > rule.more_than else None

    def _twin(self, camera: str, since_ms: int) -> Sighting | None:
        """Find the oldest person seen since, of whom this camera has not told yet."""
        told = {one.person for one in self.seen.values() if one.camera == camera}
        return next((one for one in self.seen.values() if one.at_ms >= since_ms and one.person not in told), None)


def _within_ms(rule: IncidentRule) -> int:
    return round(rule.within_min * 60_000)

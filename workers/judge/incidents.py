"""Incidents of one camera: more than so many people without a mask within so many minutes.

They are read off the violation events that the camera's judge has just made, so that what counts is exactly what was
said. A person counts once, with the first message of such a verdict. Rules with a zone are the site stage's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from common import events
from common.events import CloudEvent, IncidentData, IncidentPhase, ViolationData
from common.siteplan import IncidentRule
from workers.judge.context import CameraContext

_REMEMBERED = 64
_NAME_LETTERS = 8


@dataclass(slots=True)
class Incident:
    """One rule's count at one camera. Times in ms.

    Attributes:
        seen: Short name of an episode → when it was counted; oldest first.
        ordinal: Incidents opened so far.
        is_open: Whether one runs.
        told: Count in its last message.
        told_ms: When that was.
        updates: Updates of the running one.
        opened_ms: When the running one was opened.
        peak: Highest count of the running one.
    """

    seen: dict[str, int] = field(default_factory=dict)
    ordinal: int = 0
    is_open: bool = False
    told: int = 0
    told_ms: int = 0
    updates: int = 0
    opened_ms: int = 0
    peak: int = 0

    def to_json(self) -> list[Any]:
        """Write it for the stored state."""
        said = [self.ordinal, int(self.is_open), self.told, self.told_ms, self.updates, self.opened_ms, self.peak]
        return [self.seen, *said]

    @classmethod
    def from_json(cls, raw: list[Any]) -> Incident:
        """Read what `to_json` wrote."""
        seen, ordinal, is_open, *said = raw
        return cls(dict(seen), ordinal, bool(is_open), *said)


Incidents = dict[str, Incident]
"""Rule id → its count."""


def count(context: CameraContext, incidents: Incidents, violations: Iterable[CloudEvent], now_ms: int) -> None:
    """Count the people of whom violation events tell; ``incidents`` is changed in place."""
    for event in violations:
        data = event.data
        if not isinstance(data, ViolationData) or data.lifecycle == "ended":
            continue
        for rule in context.incidents:
            if data.verdict in rule.verdicts:
                seen = incidents.setdefault(rule.id, Incident()).seen
                seen.setdefault(event.subject[:_NAME_LETTERS], now_ms)
                if len(seen) > _REMEMBERED:
                    del seen[next(iter(seen))]


def due(
    context: CameraContext, incidents: Incidents, now_ms: int, *, over: bool = False
) -> list[tuple[IncidentPhase, str, Incident, IncidentRule | None]]:
    """Say which messages are due, and note that they were sent: phase, rule id, incident, and its rule if it has one.

    Args:
        context: Names the rules in force; an incident of another rule is closed and forgotten.
        incidents: Changed in place.
        now_ms: The time.
        over: Close everything: the camera's source has ended.
    """
    found: list[tuple[IncidentPhase, str, Incident, IncidentRule | None]] = []
    rules = {rule.id: rule for rule in context.incidents}
    for name in list(incidents):
        incident, rule = incidents[name], rules.get(name)
        phase = _step(incident, None if over else rule, now_ms, context.limits.update_ms)
        if phase is not None:
            found.append((phase, name, incident, rule))
        if rule is None:
            del incidents[name]
    return found


def _step(incident: Incident, rule: IncidentRule | None, now_ms: int, update_ms: int) -> IncidentPhase | None:
    oldest_ms = now_ms - round((rule.within_min if rule else 0) * 60_000)
    for name in [name for name, at_ms in incident.seen.items() if at_ms <= oldest_ms]:
        del incident.seen[name]
    number = len(incident.seen)
    phase: IncidentPhase | None = None
    if incident.is_open and (rule is None or number <= rule.more_than):
        incident.is_open, phase = False, "closed"
    elif incident.is_open and number > incident.peak and now_ms - incident.told_ms >= update_ms:
        incident.updates += 1
        phase = "updated"
    elif not incident.is_open and rule is not None and number > rule.more_than:
        incident.is_open, incident.opened_ms, incident.updates, incident.peak = True, now_ms, 0, 0
        incident.ordinal += 1
        phase = "opened"
    if phase is not None:
        incident.told, incident.told_ms, incident.peak = number, now_ms, max(incident.peak, number)
    return phase


def word(
    context: CameraContext,
    due_now: tuple[IncidentPhase, str, Incident, IncidentRule | None],
    sequence: str,
    now_ms: int,
) -> CloudEvent:
    """Put a message into words."""
    phase, name, incident, rule = due_now
    camera, kind = context.camera.id, events.INCIDENT_TYPES[phase]
    subject = events.incident_id(camera, name, incident.ordinal)
    moment = events.timestamp(now_ms / 1000)
    return CloudEvent(
        id=events.episode_event_id(subject, phase, incident.updates if phase == "updated" else 0),
        source=events.source_of(context.camera.site, camera),
        type=kind,
        subject=subject,
        time=moment,
        dataschema=events.schema_uri(kind),
        partitionkey=camera,
        sequence=sequence,
        data=IncidentData(
            state=phase,
            rule=name,
            zone=rule.zone if rule else None,
            more_than=rule.more_than if rule else None,
            within_ms=round(rule.within_min * 60_000) if rule else None,
            persons=incident.told,
            peak=incident.peak,
            opened_at=events.timestamp(incident.opened_ms / 1000),
            closed_at=moment if phase == "closed" else None,
            camera=context.camera,
            cameras=[camera],
        ),
    )

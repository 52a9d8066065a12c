"""Names and times of events: what the same facts give on every machine.

Ids of messages that belong to an episode are derived from what happened, never from clocks or counters of a process,
so that a judge that repeats its work after a crash writes the same ids again.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

SCHEMA_URI = "https://maskwatch.example/schemas"
_NAMESPACE = uuid.UUID("6d61736b-7761-5463-8000-6576656e7473")


def timestamp(unix_s: float) -> str:
    """Write a time in seconds since 1970 as RFC 3339 UTC with milliseconds."""
    moment = datetime.fromtimestamp(unix_s, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def source_of(site: str, camera: str) -> str:
    """Name the source of a camera's events."""
    return f"/sites/{site}/cameras/{camera}"


def site_source(site: str) -> str:
    """Name the source of the events of a whole site."""
    return f"/sites/{site}"


def zone_source(site: str, zone: str) -> str:
    """Name the source of the events of a zone."""
    return f"/sites/{site}/zones/{zone}"


def schema_uri(event_type: str) -> str:
    """Name the JSON Schema of an event type; the files lie in ``docs/schemas``."""
    return f"{SCHEMA_URI}/{event_type}.json"


def episode_id(camera: str, rule: str, track_uid: str, ordinal: int) -> str:
    """Name the ``ordinal``-th episode of a track under a rule; the same inputs give the same id on every machine."""
    return str(uuid.uuid5(_NAMESPACE, f"{camera}|{rule}|{track_uid}|{ordinal}"))


def episode_event_id(episode: str, kind: str, ordinal: int) -> str:
    """Name the ``ordinal``-th message of a kind within an episode; repeating the work repeats the id."""
    return str(uuid.uuid5(_NAMESPACE, f"{episode}|{kind}|{ordinal}"))


def status_event_id(camera: str, session: int, ordinal: int) -> str:
    """Name a camera's status message by its own count in the judge's stored state, so that a repeat repeats the id."""
    return str(uuid.uuid5(_NAMESPACE, f"{camera}|status|{session}|{ordinal}"))


def incident_id(camera: str, rule: str, ordinal: int) -> str:
    """Name the ``ordinal``-th incident of a rule at a camera."""
    return str(uuid.uuid5(_NAMESPACE, f"{camera}|incident|{rule}|{ordinal}"))


def zone_incident_id(zone: str, rule: str, opened_ms: int) -> str:
    """Name the incident of a rule in a zone that was opened at a moment, ms of the event log's entries."""
    return str(uuid.uuid5(_NAMESPACE, f"zones/{zone}|incident|{rule}|{opened_ms}"))


def window_event_id(source: str, start_ms: int, minutes: int) -> str:
    """Name the message of a source about a window of statistics."""
    return str(uuid.uuid5(_NAMESPACE, f"{source}|window|{start_ms}|{minutes}"))


def sequence(number: int) -> str:
    """Write a sequence number of a source so that it sorts as text."""
    return f"{number:012d}"

"""What a subscriber asks for and what it gets: events, and notices of events that it missed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict, cast

from common.broker.events.log import LoggedEvent

_PREFIX, _SUFFIX = "maskwatch.", ".v1"


class CloudEventDict(TypedDict):
    """A CloudEvent as parsed JSON; `docs/events.md` describes each attribute and the ``data`` of each type."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    dataschema: str
    partitionkey: str
    sequence: str
    traceparent: NotRequired[str]
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the log.

    Attributes:
        body: The parsed CloudEvent.
        raw: The same as it is stored: UTF-8 JSON.
        id: CloudEvents id.
        type: CloudEvents type.
        camera: Camera id.
        partition: Partition of the log.
        entry_id: Its place there; the cursor after it.
    """

    body: CloudEventDict
    raw: bytes
    id: str
    type: str
    camera: str
    partition: int
    entry_id: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that the subscriber did not get and will not get.

    Attributes:
        partition: Partition of the log.
        after: Entry id of the last event before the gap.
        until: Entry id of the first one behind it, or of the entry that cannot be read.
        reason: ``trimmed``: the log no longer reaches back so far. ``unreadable``: an entry holds no CloudEvent.
    """

    partition: int
    after: str
    until: str
    reason: Literal["trimmed", "unreadable"]


Item = Event | Gap


@dataclass(frozen=True, slots=True)
class Subscription:
    """What is wanted of the event log.

    Attributes:
        start: Where to begin: ``0`` (everything kept), ``now``, or an entry id after which to read. A ``name`` that
            the broker remembers wins over it.
        name: Name under which the broker remembers the cursor; empty remembers nothing.
        cameras: Only these cameras; empty takes all.
        types: Only these types, in full (``maskwatch.violation.started.v1``), or without prefix and version, or the
            first part of that (``violation``); empty takes all.
        follow: Wait for new events, rather than end where the log ends.
        remember: ``handled``: the place is stored about every second; an event counts as handled when the next is
            asked for. ``asked``: it is stored only by `Subscriber.remember`.
        window: How many event ids are kept to drop repeats by.
    """

    start: str = "now"
    name: str = ""
    cameras: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    follow: bool = True
    remember: Literal["handled", "asked"] = "handled"
    window: int = 10_000

    def wants(self, event: LoggedEvent) -> bool:
        """Say whether an event passes the filters."""
        if self.cameras and event.camera not in self.cameras:
            return False
        return not self.types or any(type_matches(event.type, wanted) for wanted in self.types)


def type_matches(event_type: str, wanted: str) -> bool:
    """Say whether an event type is meant by a full type, a short one (``violation.started``) or its first part."""
    short = event_type.removeprefix(_PREFIX).removesuffix(_SUFFIX)
    return wanted in (event_type, short) or short.startswith(wanted + ".")


def parsed(logged: LoggedEvent, after: str) -> Item:
    """Make the item of a log entry; an entry that holds no CloudEvent becomes a visible gap."""
    try:
        body = json.loads(logged.event)
    except ValueError:
        body = None
    if (
        not isinstance(body, dict)
        or not {"id", "source", "type"} <= body.keys()
        or not isinstance(body.get("data"), dict)
    ):
        return Gap(logged.partition, after, logged.entry_id, "unreadable")
    event = cast(CloudEventDict, body)
    return Event(event, logged.event, logged.id, logged.type, logged.camera, logged.partition, logged.entry_id)

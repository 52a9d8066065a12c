"""Violations, tallies and news as the site stage finds them in the streams; for its tests."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any

from common.broker.siteinbox import SiteNews
from common.events import VIOLATION_TYPES, CloudEvent, IncidentData, WindowData
from common.partition import partition_of
from common.siteplan import SitePlan
from common.tally import Tally
from workers.site.engine import NEWS, Entry, SiteJudge
from workers.site.state import SiteState

T0 = 1_790_000_400_000
"""A moment at the begin of a minute, 10 min past a whole half hour; ms since 1970."""
SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1]]
PARTITIONS = 4


def a_plan(cameras: Iterable[str] = ("gate-1", "gate-2"), **parts: Any) -> SitePlan:
    """Cameras that all draw the zone "platform", and a rule for more than two people within a minute."""
    raw: dict[str, Any] = {
        "site": "west",
        "zones": [{"id": "platform"}],
        "cameras": [{"id": name, "source": "x", "zones": {"platform": SQUARE}} for name in cameras],
        "incidents": [{"id": "crowd", "zone": "platform", "more_than": 2, "within_min": 1}],
        "statistics": {"window_min": 1, "grace_s": 5},
    }
    return SitePlan.model_validate(raw | parts)


def a_violation(episode: str, camera: str, **fields: Any) -> dict[bytes, bytes]:
    """The log entry of a message of an episode."""
    kind = VIOLATION_TYPES[fields.pop("lifecycle", "started")]
    data = {"verdict": "no_mask", "zones": {"current": ["platform"]}, "camera": {"id": camera}} | fields
    subject = str(uuid.uuid5(uuid.NAMESPACE_OID, episode))
    event = {"type": kind, "subject": subject, "data": data}
    return {b"event": json.dumps(event).encode(), b"type": kind.encode(), b"camera": camera.encode(), b"id": b"x"}


def seen(at_s: float, episode: str, camera: str = "gate-1", **fields: Any) -> Entry:
    """A message of an episode, ``at_s`` s after `T0`."""
    stream = f"events {partition_of(camera, PARTITIONS)}"
    return Entry(T0 + round(at_s * 1000), 0, stream, a_violation(episode, camera, **fields))


def tallied(at_s: float, camera: str = "gate-1", start_s: float = 0, **persons: list[int]) -> Entry:
    """A tally of a minute's window that began ``start_s`` after `T0`; ``everywhere`` and ``outside`` name scopes."""
    names = {"everywhere": "", "outside": "-"}
    counts = {names.get(name, name): found for name, found in persons.items()}
    tally = Tally(camera=camera, start_ms=T0 + round(start_s * 1000), minutes=1, up_s=60, persons=counts)
    stream = f"tallies {partition_of(camera, PARTITIONS)}"
    return Entry(T0 + round(at_s * 1000), 0, stream, {b"t": tally.to_bytes()})


def told(at_s: float, news: SiteNews) -> Entry:
    """News in the inbox."""
    return Entry(T0 + round(at_s * 1000), 0, NEWS, {b"n": news.to_bytes()})


def play(judge: SiteJudge, entries: Iterable[Entry], until_s: float) -> list[CloudEvent]:
    """Take entries in order, let time pass until ``until_s`` after `T0`, and give the events."""
    for entry in sorted(entries, key=lambda entry: entry[:3]):
        judge.pass_time(entry.at_ms)
        judge.take(entry)
    judge.pass_time(T0 + round(until_s * 1000))
    return [event for event, _ in judge.events]


def judge_of(**parts: Any) -> SiteJudge:
    """A judge that has been there since `T0`."""
    judge = SiteJudge(a_plan(**parts), SiteState())
    judge.pass_time(T0)
    return judge


def incidents(events: Iterable[CloudEvent]) -> list[str]:
    """The incidents in short: ``opened:3``."""
    return [f"{event.data.state}:{event.data.persons}" for event in events if isinstance(event.data, IncidentData)]


def windows(events: Iterable[CloudEvent]) -> list[WindowData]:
    """The windows that were told of."""
    return [event.data for event in events if isinstance(event.data, WindowData)]

"""Judges the site as a whole: violations, tallies and news in, events out. No clock, no broker; time comes in.

site = SiteJudge(plan, SiteState(), Noted())
for entry in sorted(entries):
    site.pass_time(entry.at_ms)
    site.take(entry)
site.pass_time(now_ms)      # once everything before it was taken
site.events                 # what is to be logged, in order
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from common.broker.siteinbox import SiteNews
from common.errors import WireError
from common.events import VIOLATION_TYPES, CloudEvent
from common.log import Log
from common.siteplan import IncidentRule, SitePlan
from common.tally import Tally, window_start
from workers.site import wording
from workers.site.crowd import Crowd
from workers.site.state import SiteState
from workers.site.windows import Span, WindowSum, rows_of

EVENTS, TALLIES, NEWS = "events", "tallies", "news"
_log = Log("site")
_COUNTED = (VIOLATION_TYPES["started"].encode(), VIOLATION_TYPES["updated"].encode())
_MOST_SKIPPED = 200
_AT = "@"


class Entry(NamedTuple):
    """One entry of a stream; entries are taken in this order.

    Attributes:
        at_ms: Its broker time.
        number: Its number within that ms.
        stream: Name of the stream: kind and partition, such as ``events 3``.
        fields: Its content.
    """

    at_ms: int
    number: int
    stream: str
    fields: dict[bytes, bytes]


@dataclass(slots=True)
class Noted:
    """What was found out, for metrics.

    Attributes:
        refused: Entries that were passed over, by kind of stream and reason.
        late: Tallies that came after their window was told of.
    """

    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    late: int = 0


class SiteJudge:
    """The judge of a site.

    Args:
        plan: The plan in force.
        state: Changed in place; what is in it belongs to the events that were made.

    Attributes:
        events: Events that are due, each with the camera it is filed under, or none.
        noted: What was found out since it was last taken.
    """

    def __init__(self, plan: SitePlan, state: SiteState) -> None:
        self.state = state
        self.events: list[tuple[CloudEvent, str]] = []
        self.noted = Noted()
        self._plan = plan
        self._rules = _zone_rules(plan)

    def follow(self, plan: SitePlan, now_ms: int) -> None:
        """Put another plan in force; incidents of rules that it no longer has are closed."""
        self._plan, self._rules = plan, _zone_rules(plan)
        for name in [name for name in self.state.crowds if name not in self._rules]:
            self._look_at(name, now_ms)
            del self.state.crowds[name]

    def take(self, entry: Entry) -> None:
        """Take one entry; what cannot be read is noted and passed over."""
        kind = entry.stream.partition(" ")[0]
        try:
            if kind == EVENTS:
                self._take_event(entry)
            elif kind == TALLIES:
                self._take_tally(entry)
            else:
                self._take_news(entry)
        except WireError as error:
            self.noted.refused[kind, error.reason] += 1
            _log.warning("entry_refused", stream=entry.stream, reason=error.reason, error=str(error)[:300])
        except Exception as error:  # noqa: BLE001 - one entry must never stop the site stage
            self.noted.refused[kind, "fault"] += 1
            _log.error("entry_failed", stream=entry.stream, at_ms=entry.at_ms, error=repr(error)[:300])

    def pass_time(self, to_ms: int) -> None:
        """Let time pass: whatever falls due up to ``to_ms`` happens at its own moment."""
        self._open_windows(to_ms)
        while (due := self._next()) is not None and due[0] <= to_ms:
            moment_ms, what = due
            if isinstance(what, Span):
                self._tell(what)
            else:
                self._look_at(what, moment_ms)

    def _take_event(self, entry: Entry) -> None:
        if not self._rules or entry.fields.get(b"type") not in _COUNTED:
            return
        try:
            event = json.loads(entry.fields[b"event"])
            data, episode = event["data"], str(event["subject"])
            verdict, zones, camera = data["verdict"], set(data["zones"]["current"]), str(data["camera"]["id"])
        except (ValueError, KeyError, TypeError) as error:
            raise WireError("schema", f"event: {error!r}"[:200]) from error
        for name, rule in self._rules.items():
            if rule.zone in zones and verdict in rule.verdicts:
                crowd = self.state.crowds.setdefault(name, Crowd())
                crowd.see(episode, camera, entry.at_ms, round(rule.merge_s * 1000))
                self._look_at(name, entry.at_ms)

    def _take_tally(self, entry: Entry) -> None:
        try:
            tally = Tally.model_validate_json(entry.fields.get(b"t", b""))
        except ValueError as error:
            raise WireError("schema", f"tally: {' '.join(str(error).split())}"[:200]) from error
        span = Span(tally.start_ms, tally.minutes)
        if self._due_ms(span) <= entry.at_ms:
            self.noted.late += 1
            _log.warning("tally_late", camera=tally.camera, window_end_ms=span.end_ms, came_ms=entry.at_ms)
            return
        self.state.windows.setdefault(span, WindowSum()).add(tally)

    def _take_news(self, entry: Entry) -> None:
        news = SiteNews.from_bytes(entry.fields.get(b"n", b""))
        if news.id in self.state.news:
            return
        self.events.append((wording.news_event(self.state, self._plan.site, news), news.camera))
        self.state.remember_news(news.id)

    def _open_windows(self, t_ms: int) -> None:
        minutes, length_ms = self._plan.statistics.window_min, self._plan.statistics.window_ms
        last_ms, newest = window_start(t_ms, length_ms), self.state.newest
        first_ms = last_ms
        if newest is not None:
            first_ms = max(window_start(newest.start_ms, length_ms) + length_ms, last_ms - _MOST_SKIPPED * length_ms)
        for start_ms in range(first_ms, last_ms + 1, length_ms):
            self.state.newest = Span(start_ms, minutes)
            self.state.windows.setdefault(self.state.newest, WindowSum())

    def _next(self) -> tuple[int, str | Span] | None:
        moments: list[tuple[int, str | Span]] = []
        for name, rule in self._rules.items():
            crowd = self.state.crowds.get(name)
            moment_ms = crowd.next_ms(rule) if crowd else None
            if moment_ms is not None:
                moments.append((moment_ms, name))
        moments += [(self._due_ms(span), span) for span in sorted(self.state.windows)]
        return min(moments, key=lambda pair: pair[0], default=None)

    def _look_at(self, name: str, t_ms: int) -> None:
        crowd, rule = self.state.crowds[name], self._rules.get(name)
        phase = crowd.step(t_ms, rule)
        if phase is not None:
            rule_id, _, zone = name.partition(_AT)
            place = (rule_id, zone, rule)
            self.events.append((wording.incident(self.state, self._plan.site, place, phase, crowd), ""))
        if rule is not None and not crowd.seen and not crowd.is_open:
            del self.state.crowds[name]

    def _tell(self, span: Span) -> None:
        found = self.state.windows.pop(span)
        for row in rows_of(span, found, self._plan):
            self.events.append((wording.window(self.state, self._plan, span, row), ""))

    def _due_ms(self, span: Span) -> int:
        return span.end_ms + round(1000 * self._plan.statistics.grace_s)


def _zone_rules(plan: SitePlan) -> dict[str, IncidentRule]:
    """Name the rules that are counted over cameras, each with its zone; none where nobody may be told of."""
    return dict(_named(plan)) if plan.privacy.mode != "statistics" else {}


def _named(plan: SitePlan) -> Iterator[tuple[str, IncidentRule]]:
    for rule in plan.incidents:
        if rule.zone is not None:
            yield f"{rule.id}{_AT}{rule.zone}", rule

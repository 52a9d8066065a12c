"""Which event a receiver gets next: one lane for each camera, so that order holds and none waits for another."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from common.broker.reading import order_of
from common.subscription import Event
from workers.notify.outcome import Outcome
from workers.notify.schedule import Schedule

RECEIVER_IS_DOWN = frozenset({Outcome.TIMEOUT, Outcome.UNREACHABLE, Outcome.REFUSED_ADDRESS, Outcome.TLS})
"""Outcomes that say something of the receiver, not of the event: other cameras' events would fare the same."""

FEW_FAILURES = 2
"""Failures in a row, of any cameras, that do not yet count as the receiver being down."""


@dataclass(slots=True, eq=False)
class Delivery:
    """An event on its way to one receiver.

    Attributes:
        event: The event.
        before: Cursor before it.
        since_s: When it was read.
        failures: Attempts that failed.
        done: Delivered or given up.
    """

    event: Event
    before: str
    since_s: float
    failures: int = 0
    done: bool = False


class Lanes:
    """Holds a receiver's undelivered events; times are given in, s of one clock that does not jump.

    A camera's next event is due only when its previous one is done. Events of other cameras go on meanwhile, except
    while the receiver itself seems to be down: then one of them at a time is tried, with growing pauses.
    """

    def __init__(self, schedule: Schedule, jitter: Callable[[], float] = random.random) -> None:
        self._schedule, self._jitter = schedule, jitter
        self._lanes: dict[str, deque[Delivery]] = {}
        self._due: list[tuple[float, int, Delivery]] = []
        self._order = itertools.count()
        self._read: dict[int, deque[Delivery]] = {}
        self._down, self._resume_s = 0, -math.inf
        self.pending = 0

    def add(self, event: Event, before: str, now: float) -> None:
        """Take an event over; ``before`` is the cursor that would read it again."""
        delivery = Delivery(event, before, now)
        self._read.setdefault(event.partition, deque()).append(delivery)
        lane = self._lanes.setdefault(event.camera, deque())
        lane.append(delivery)
        self.pending += 1
        if len(lane) == 1:
            self._plan(delivery, now)

    def wait_s(self, now: float) -> float:
        """Say in how many seconds the next attempt is due; infinite where nothing is pending."""
        return max(0.0, self._due[0][0] - now, self._resume_s - now) if self._due else math.inf

    def due(self, now: float) -> Delivery | None:
        """Hand out the delivery that is to be tried now; `record` must be called for it."""
        return heapq.heappop(self._due)[2] if self._due and self.wait_s(now) <= 0 else None

    def record(self, delivery: Delivery, outcome: Outcome, now: float) -> Outcome:
        """Note what became of an attempt, and give that, or ``EXPIRED`` where it was the last one of its event."""
        if outcome is Outcome.DELIVERED:
            self._down, self._resume_s = 0, -math.inf
            self._finish(delivery, now)
            return outcome
        delivery.failures += 1
        if outcome in RECEIVER_IS_DOWN:
            self._down += 1
            if self._down > FEW_FAILURES:
                self._resume_s = now + self._schedule.pause_s(self._down - FEW_FAILURES, self._jitter())
        if self._schedule.gives_up(delivery.since_s, now):
            self._finish(delivery, now)
            return Outcome.EXPIRED
        self._plan(delivery, now + self._schedule.pause_s(delivery.failures, self._jitter()))
        return outcome

    def cursors(self, read: Mapping[int, str]) -> dict[int, str]:
        """Give the cursors from which nothing undelivered is missed; ``read`` is how far the log was read."""
        found = dict(read)
        for number, deliveries in self._read.items():
            while deliveries and deliveries[0].done:
                deliveries.popleft()
            if deliveries:
                found[number] = deliveries[0].before
        return found

    def oldest_ms(self) -> int | None:
        """Say when the oldest undelivered event was logged, ms since 1970 by the broker's clock."""
        self.cursors({})
        return min((order_of(heads[0].event.entry_id)[0] for heads in self._read.values() if heads), default=None)

    def _plan(self, delivery: Delivery, due_s: float) -> None:
        heapq.heappush(self._due, (due_s, next(self._order), delivery))

    def _finish(self, delivery: Delivery, now: float) -> None:
        delivery.done = True
        self.pending -= 1
        lane = self._lanes[delivery.event.camera]
        lane.popleft()
        if lane:
            self._plan(lane[0], now)
        else:
            del self._lanes[delivery.event.camera]

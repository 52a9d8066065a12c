"""Reads on in the event log through outages, failovers and trimming; what was lost comes out as a gap."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from common.broker.events.log import BEGINNING, EventLog, LoggedEvent
from common.broker.reading import order_of
from common.errors import BrokerUnavailableError
from common.lifecycle import StopSignal
from common.subscription import Gap

READ_COUNT = 100
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0

Found = tuple[LoggedEvent, str] | Gap
"""A gap, or an event with the cursor before it."""


class LogReader:
    """Holds the place in each partition; for one thread.

    Attributes:
        idle: Whether the last look at the log found nothing new.
    """

    def __init__(self, log: EventLog, stop: StopSignal, on_set_back: Callable[[dict[int, str]], object]) -> None:
        """Take the log, what ends a wait, and who is to know of cursors that were set back after a failover."""
        self._log, self._stop, self._on_set_back = log, stop, on_set_back
        self._reached: dict[int, str] = {}
        self._from_oldest: set[int] = set()
        self._away: set[int] = set()
        self._retry_at, self._pause_s = 0.0, FIRST_PAUSE_S
        self.idle = False

    def begin(self, cursors: dict[int, str], *, continued: bool, from_oldest: bool) -> dict[int, str]:
        """Start behind these cursors and give those that are in force.

        Args:
            cursors: Partition to entry id.
            continued: They were remembered from an earlier time, so the log may have lost its newest entries since.
            from_oldest: The oldest event kept is asked for, so that earlier ones are not missed.
        """
        self._reached = dict(cursors)
        self._from_oldest = set(cursors) if from_oldest else set()
        if continued:
            self._away = set(cursors)
            self._rejoin()
        return dict(self._reached)

    def read(self, block_s: float) -> list[Found]:
        """Read on, waiting up to ``block_s`` s for the first event; an outage is waited out over several calls.

        While a node of a cluster is away, the partitions of the others are read on.
        """
        wait_s = self._retry_at - time.monotonic()
        if wait_s > 0:
            self._stop.wait(min(wait_s, block_s))
            return []
        try:
            self._rejoin()
            present = {number: cursor for number, cursor in self._reached.items() if number not in self._away}
            events, lost = self._log.read_present(present, block_s, READ_COUNT)
            self._away |= lost.keys()
            gaps = self._gaps_before(events)
        except BrokerUnavailableError:
            self._away, self.idle = set(self._reached), False
            self._retry_at = time.monotonic() + self._pause_s * random.uniform(0.5, 1)  # noqa: S311 - no secret
            self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)
            return []
        self._pause_s = FIRST_PAUSE_S
        self.idle = not events and not self._away
        self._from_oldest.clear()
        return self._passed(events, gaps)

    def _passed(self, events: list[LoggedEvent], gaps: dict[int, Gap]) -> list[Found]:
        found: list[Found] = []
        for event in sorted(events, key=lambda event: order_of(event.entry_id)):
            number = event.partition
            if number in gaps:
                found.append(gaps.pop(number))
            found.append((event, self._reached[number]))
            self._reached[number] = event.entry_id
        return found

    def _gaps_before(self, events: list[LoggedEvent]) -> dict[int, Gap]:
        """Look after each read whether the log still reaches back to where it began: then nothing was missed."""
        firsts: dict[int, str] = {}
        for event in events:
            firsts.setdefault(event.partition, event.entry_id)
        if not firsts:
            return {}
        suspects = self._log.gaps({number: self._reached[number] for number in firsts})
        lost = [number for number in suspects if self._log.trimmed(number) != 0]
        unread = {number for number in firsts if self._reached[number] == BEGINNING} - self._from_oldest
        lost += [number for number in unread if self._log.trimmed(number)]
        return {number: Gap(number, self._reached[number], firsts[number], "trimmed") for number in lost}

    def _rejoin(self) -> None:
        """Take up the partitions that were away and answer again, from where their log may have gone back to."""
        if not self._away:
            return
        settled = self._log.rewind({number: self._reached[number] for number in self._away})
        back = {number: cursor for number, cursor in settled.items() if cursor != self._reached[number]}
        if back:
            self._on_set_back(back)
        self._reached |= settled
        self._away -= settled.keys()

"""The broker's clock, by which frames are dated, read now and then and carried on in between."""

from __future__ import annotations

import time
from collections.abc import Callable

SYNC_EVERY_S = 5.0


class BrokerClock:
    """Gives the broker's time without asking it for every frame.

    It runs on the monotonic clock between two readings, so a jump of this machine's wall clock changes nothing.

    Args:
        read_ms: Asks the broker for its time, ms.
    """

    def __init__(self, read_ms: Callable[[], int]) -> None:
        self._read_ms = read_ms
        self._offset_s = time.time() - time.monotonic()
        self._next_sync = 0.0

    def now(self) -> float:
        """Give the broker's time in seconds since 1970; this machine's own until the first `sync`."""
        return time.monotonic() + self._offset_s

    def sync(self, now: float) -> None:
        """Ask the broker again if the last answer is 5 s old; ``now`` in monotonic seconds.

        Raises:
            BrokerError: The last offset stays.
        """
        if now < self._next_sync:
            return
        asked = time.monotonic()
        broker_s = self._read_ms() / 1000
        answered = time.monotonic()
        self._offset_s = broker_s - (asked + answered) / 2
        self._next_sync = now + SYNC_EVERY_S

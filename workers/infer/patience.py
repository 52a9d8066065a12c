"""How a worker waits for a broker: pauses that grow, for as long as there is time."""

from __future__ import annotations

import random
import threading

from common.lifecycle import Deadline, StopSignal

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0


class Backoff:
    """Pauses that double from 50 ms to 2 s, with jitter, so that workers do not all come back at once."""

    def __init__(self) -> None:
        self._pause_s = FIRST_PAUSE_S

    def next_s(self) -> float:
        """Give the next pause, s."""
        pause_s, self._pause_s = self._pause_s, min(LONGEST_PAUSE_S, 2 * self._pause_s)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret

    def reset(self) -> None:
        """Start small again after a success."""
        self._pause_s = FIRST_PAUSE_S


class Patience:
    """How long to go on trying: for ever in service, for the grace period once the end was asked for. Thread-safe.

    Attributes:
        grace_s: The grace period, s.
    """

    def __init__(self, stop: StopSignal, grace_s: float) -> None:
        self._stop = stop
        self.grace_s = grace_s
        self._lock = threading.Lock()
        self._deadline: Deadline | None = None

    def left_s(self) -> float:
        """Say how many seconds are left; infinite while nobody asked for the end."""
        if not self._stop.is_set():
            return float("inf")
        with self._lock:
            self._deadline = self._deadline or Deadline.after(self.grace_s)
            return self._deadline.left_s()

    def pause(self, seconds: float) -> bool:
        """Wait; False when there is no time left for another try."""
        left_s = self.left_s()
        if left_s <= 0:
            return False
        if left_s == float("inf"):
            self._stop.wait(seconds)
        else:
            threading.Event().wait(min(seconds, left_s))
        return True

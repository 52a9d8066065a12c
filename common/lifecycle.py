"""How a process ends: one stop signal, one budget of time. The only owner of `signal`."""

from __future__ import annotations

import queue
import signal
import time
from dataclasses import dataclass
from types import FrameType


class StopSignal:
    """Says to every thread of a process that it is time to end, by SIGTERM, SIGINT or a call.

    Thread-safe. The first signal asks for an orderly end; a second SIGINT interrupts at once.

    It is no `threading.Event`: a signal handler runs in the main thread wherever that stands, also in the middle of
    `Event.wait` with the event's lock in hand, and `Event.set` would then wait for that lock for ever. The put of a
    `SimpleQueue` may be called from a signal handler.
    """

    def __init__(self) -> None:
        self._set = False
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.reason = ""

    def install(self) -> StopSignal:
        """Listen to SIGTERM and SIGINT; only the main thread may call this."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        return self

    def set(self, reason: str = "asked") -> None:
        """Ask everybody to end; the first reason is kept."""
        if not self._set:
            self.reason = reason
        self._set = True
        self._tokens.put(None)

    def is_set(self) -> bool:
        """Say whether the end was asked for."""
        return self._set

    def wait(self, timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` seconds for the end; True when it came. This is how loops pause."""
        if self._set:
            return True
        try:
            self._tokens.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return self._set
        self._tokens.put(None)  # for the next one who waits
        return True

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._set and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.set(signal.Signals(number).name)


@dataclass(frozen=True, slots=True)
class Deadline:
    """One budget of time that all steps of a shutdown share.

    Attributes:
        at: Monotonic time at which the budget is spent, s.
    """

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Start a budget of ``seconds`` now."""
        return cls(time.monotonic() + seconds)

    def left_s(self) -> float:
        """Say how many seconds are left, never below 0."""
        return max(0.0, self.at - time.monotonic())

    def spent(self) -> bool:
        """Say whether nothing is left."""
        return self.left_s() <= 0

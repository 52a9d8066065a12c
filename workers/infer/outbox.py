"""Publishing that survives an outage: what was not written is kept and tried again, never forgotten."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from common.broker.failures import RETRYABLE_CODES
from common.errors import BrokerError
from common.lifecycle import Deadline, StopSignal
from common.log import Log, OncePer

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
_log = Log("infer")


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


class _Results(Protocol):
    def append_many(self, results: Sequence[tuple[int, bytes]]) -> None: ...


class _Letters(Protocol):
    def add(self, partition: int, fields: Mapping[str, str | bytes]) -> None: ...


class Outbox:
    """Writes results and dead letters to the state broker, at least once. Thread-safe.

    Args:
        results: Where results go.
        letters: Where dead letters go.
        patience: How long to try.
        on_try: Told the error's code after every failed try and an empty text after success; also a sign of life.
    """

    def __init__(self, results: _Results, letters: _Letters, patience: Patience, on_try: Callable[[str], None]) -> None:
        self._results = results
        self._letters = letters
        self._patience = patience
        self._on_try = on_try
        self._once = OncePer(5.0, time.monotonic)

    def publish(self, results: Sequence[tuple[int, bytes]]) -> bool:
        """Append results, trying again through outages; False when the end came first and some may be missing.

        Raises:
            BrokerRefusedError: The broker said no in a way that does not pass, such as missing rights.
        """
        return not results or self._insist(lambda: self._results.append_many(results))

    def dead_letter(self, partition: int, fields: Mapping[str, str | bytes]) -> bool:
        """Leave a note on what was given up; as `publish`."""
        return self._insist(lambda: self._letters.add(partition, fields))

    def _insist(self, write: Callable[[], None]) -> bool:
        backoff = Backoff()
        while True:
            try:
                write()
            except BrokerError as error:
                if error.code not in RETRYABLE_CODES:
                    raise
                self._on_try(error.code)
                held = self._once.permit(error.code)
                if held is not None:
                    _log.warning("publish_failed", code=error.code, held_back=held)
            else:
                self._on_try("")
                return True
            if not self._patience.pause(backoff.next_s()):
                return False

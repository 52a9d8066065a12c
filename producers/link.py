"""The way to the frames broker that all cameras of a process share; while it is down, nobody waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from common.broker.failures import RETRYABLE_CODES
from common.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError, of_one_node
from common.log import Log, OncePer
from common.metrics import BrokerMetrics
from common.tracing import OFF, Tracing
from producers.backoff import Backoff
from producers.ledger import Drop

_log = Log("producer")
RETRY_FIRST_S, RETRY_MOST_S = 0.1, 2.0


class Writing(Protocol):
    """What is needed of `common.broker.frames.writer.FrameWriter`."""

    def append(self, camera: str, header: bytes, jpeg: bytes | None, maxlen: int) -> str:
        """Append one entry to a camera's stream."""


class BrokerLink:
    """Sends entries, once each, and after a failure turns everything away until a jittered pause is over.

    Where one node of a cluster is away, only its cameras lose frames. Thread-safe.

    Args:
        writer: The broker.
        metrics: Where errors are counted.
        clock: Monotonic seconds.
        tracing: Told of the frames that went this way.
    """

    def __init__(
        self,
        writer: Writing,
        metrics: BrokerMetrics,
        clock: Callable[[], float] = time.monotonic,
        tracing: Tracing = OFF,
    ) -> None:
        self.tracing = tracing
        self._writer = writer
        self._metrics = metrics
        self._clock = clock
        self._guard = threading.Lock()
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        self._closed_until: float | None = None
        self._lines = OncePer(5.0)
        self._framed: dict[str, float] = {}
        self.up = False

    def send(self, camera: str, header: bytes, jpeg: bytes | None, maxlen: int) -> Drop | None:
        """Send one entry.

        Returns:
            None where it was written or may have been, so that its number is used up; else why it was not.
        """
        if jpeg is not None:
            self._framed[camera] = self._clock()
        return self._send(camera, header, jpeg, maxlen)

    def showed(self, camera: str, within_s: float) -> bool:
        """Say whether a frame of a camera was sent in the last ``within_s`` seconds."""
        return self._clock() - self._framed.get(camera, float("-inf")) <= within_s

    def forget(self, camera: str) -> None:
        """Forget a camera that left."""
        self._framed.pop(camera, None)

    def _send(self, camera: str, header: bytes, jpeg: bytes | None, maxlen: int) -> Drop | None:
        if not self._may_try():
            return Drop.BROKER
        try:
            self._writer.append(camera, header, jpeg, maxlen)
        except BrokerUnavailableError as error:
            if of_one_node(error):  # cameras of the other nodes go on, and the client leaves that one alone for a while
                self._count(error)
            else:
                self._fell(error)
            return None if error.in_doubt else Drop.BROKER
        except BrokerRefusedError as error:
            self._refused(error)
            return Drop.OOM if error.code == "oom" else Drop.BROKER
        self._stands()
        return None

    def _may_try(self) -> bool:
        with self._guard:
            if self._closed_until is None:
                return True
            now = self._clock()
            if now < self._closed_until:
                return False
            self._closed_until = now + RETRY_MOST_S  # this caller tries; the others wait for what it finds
            return True

    def _stands(self) -> None:
        if self.up:
            return
        with self._guard:
            if self.up:
                return
            self.up = True
            self._closed_until = None
            self._backoff.reset()
        self._metrics.up.labels("frames").set(1)
        _log.info("frames_broker_answers")

    def _fell(self, error: BrokerError) -> None:
        with self._guard:
            self.up = False
            self._closed_until = self._clock() + self._backoff.next_s()
        self._metrics.up.labels("frames").set(0)
        self._count(error)

    def _refused(self, error: BrokerError) -> None:
        if error.code in RETRYABLE_CODES:
            self._stands()
        self._count(error)

    def _count(self, error: BrokerError) -> None:
        self._metrics.errors.labels("frames", error.code).inc()
        held = self._lines.permit(error.code)
        if held is not None:
            _log.warning("frames_broker_failed", code=error.code, cause=str(error), held_back=held)

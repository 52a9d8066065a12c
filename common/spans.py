"""One step of a frame's way, as it is told, and the queue that it waits in until it is sent."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from common.lifecycle import Deadline, StopSignal
from common.log import Log, OncePer
from common.metrics import CollectorRegistry, Counter
from common.trace import Trace

BATCH = 512
EVERY_S = 1.0
FLUSH_S = 2.0
"""Longest that the end of a process waits for what is still in the queue, s."""
HOPELESS_S = 0.2
"""The same where the last attempt has failed, s."""
Kind = Literal["producer", "consumer", "client"]
Told = str | int | float | bool
_log = Log("tracing")


class Span(NamedTuple):
    """A step of a frame's way.

    Attributes:
        name: One of few: never the name of a camera or a person.
        kind: OpenTelemetry's span kind.
        place: Its trace and its own id.
        parent: Id of the span before it; 0 for the first.
        start_s: Wall clock, s since 1970.
        end_s: Wall clock, s since 1970.
        facts: Attributes: numbers and short words; no pixels, no secrets, nothing of a person.
        failed: Whether the step failed.
        role: Who did it, where that is not who tells of it.
    """

    name: str
    kind: Kind
    place: Trace
    parent: int
    start_s: float
    end_s: float
    facts: Mapping[str, Told]
    failed: bool = False
    role: str = ""


Write = Callable[[Sequence[Span]], str]
"""Sends spans; gives an empty text once they are there, else why they are lost. May take its time."""


class SpanMetrics:
    """What becomes of spans."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.exported = Counter("maskwatch_spans_exported_total", "Spans that were sent.", registry=registry)
        dropped = Counter("maskwatch_spans_dropped_total", "Spans that are lost.", ["reason"], registry=registry)
        self.full, self.failed, self.late = (dropped.labels(reason) for reason in ("full", "failed", "end"))


class SpanQueue:
    """Takes spans without ever waiting, and sends them from a thread of its own. `put` is thread-safe.

    Args:
        write: Sends a batch.
        metrics: Counts what was sent and what was lost.
        limit: About how many spans may wait; what comes on top is dropped and counted.
        ending: The process's stop signal, and the grace period, s, that begins with it.
        place: Where spans go, for logs.
    """

    def __init__(
        self, write: Write, metrics: SpanMetrics, limit: int, ending: tuple[StopSignal, float], place: str
    ) -> None:
        self._write, self._metrics, self._limit = write, metrics, limit
        self._stop, self._grace_s = ending
        self._place = place
        self._waiting: deque[Span] = deque()
        self._sending = 0
        self._wake = threading.Event()
        self._closing = False
        self._failing = False
        self._deadline: Deadline | None = None
        self._once = OncePer(60.0)
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def put(self, span: Span) -> None:
        """Take a span, or drop it where too many wait."""
        if len(self._waiting) >= self._limit:
            self._metrics.full.inc()
            return
        self._waiting.append(span)
        if len(self._waiting) == BATCH:
            self._wake.set()

    def close(self) -> int:
        """Send what waits, as long as the grace period lasts and no longer than `FLUSH_S`; gives what was lost."""
        left_s = self._grace_s if self._deadline is None else self._deadline.left_s()
        self._closing = True
        self._wake.set()
        self._thread.join(min(left_s, HOPELESS_S if self._failing else FLUSH_S))
        self._limit = 0
        lost = self._sending if self._thread.is_alive() else 0
        while self._waiting:
            lost += len(self._take())
        self._metrics.late.inc(lost)
        if lost:
            _log.warning("spans_left_behind", spans=lost, place=self._place)
        return lost

    def _run(self) -> None:
        while self._waiting or not self._closing:
            if not self._closing and (self._failing or len(self._waiting) < BATCH):
                self._wake.wait(EVERY_S)
            self._wake.clear()
            if self._deadline is None and self._stop.is_set():
                self._deadline = Deadline.after(self._grace_s)
            batch = self._take()
            if batch:
                self._send(batch)

    def _take(self) -> list[Span]:
        batch: list[Span] = []
        while len(batch) < BATCH:
            try:
                batch.append(self._waiting.popleft())
            except IndexError:
                break
        return batch

    def _send(self, batch: list[Span]) -> None:
        self._sending = len(batch)
        try:
            trouble = self._write(batch)
        except Exception as error:  # noqa: BLE001 - whatever a receiver does to the library, the role goes on
            trouble = type(error).__name__
        if self._limit:
            self._note(len(batch), trouble)
        self._sending = 0

    def _note(self, spans: int, trouble: str) -> None:
        self._failing = bool(trouble)
        if not trouble:
            self._metrics.exported.inc(spans)
            return
        self._metrics.failed.inc(spans)
        held = self._once.permit("lost")
        if held is not None:
            _log.warning("spans_not_exported", place=self._place, cause=trouble, spans=spans, held_back=held)

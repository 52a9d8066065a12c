"""Tells of judged frames and of the events they made, once both are committed.

A frame that is followed is told of by everybody it meets. One that is not, and makes an event, is told of here from its
beginning: its result says when it was taken, published and looked at. So no frame with an event is left out, and nobody
before the judge needs to remember anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from common.events import CloudEvent
from common.resultrecord import Result
from common.spans import Span, Told
from common.trace import Trace, read_trace
from common.tracing import OFF, Tracing
from workers.judge.context import CameraContext

Witness = Callable[[CameraContext, Result, list[CloudEvent]], list[CloudEvent]]
"""Told of a frame that was judged and the events it made; gives these, which may name another place in their trace."""


def no_witness(_context: CameraContext, _result: Result, events: list[CloudEvent]) -> list[CloudEvent]:
    """Tell nobody."""
    return events


class Ways:
    """The followed frames of one partition since its last commit. Used by one thread.

    Args:
        tracing: Where steps are told.
    """

    def __init__(self, tracing: Tracing = OFF) -> None:
        self._tracing = tracing
        self._waiting: list[Span] = []

    @property
    def witness(self) -> Witness:
        """For the judges of the partition's cameras."""
        return self._note if self._tracing.exports else no_witness

    def committed(self) -> None:
        """Tell of what is now true."""
        now = time.time()
        for span in self._waiting:
            self._tracing.tell(span if span.end_s else span._replace(end_s=now))
        self._waiting.clear()

    def _note(self, context: CameraContext, result: Result, events: list[CloudEvent]) -> list[CloudEvent]:
        came = read_trace(result.traceparent)
        if came is None or context.counts_only or not (came.sampled or events):
            return events
        now, facts = time.time(), _facts(result)
        if not came.sampled:
            came = self._retell(came, result)
        judged = came.next()
        self._waiting.append(Span("frame judged", "consumer", judged, came.span_id, now, 0.0, facts))
        return [self._name(judged, event, now) for event in events]

    def _name(self, judged: Trace, event: CloudEvent, now: float) -> CloudEvent:
        place = judged.next()
        facts: dict[str, Told] = {"maskwatch.event.id": event.id, "maskwatch.event.type": event.type}
        self._waiting.append(Span("event logged", "producer", place, judged.span_id, now, 0.0, facts))
        return event.model_copy(update={"traceparent": place.text()})

    def _retell(self, published: Trace, result: Result) -> Trace:
        """Tell what producer and worker did not; gives the worker's place."""
        looked, facts = published.next(), _facts(result) | {"maskwatch.retold": True}
        times = result.captured_at, result.published_at
        self._waiting.append(Span("frame published", "producer", published, 0, *times, facts, role="producer"))
        times, facts = (result.published_at, result.inferred_at), facts | {"maskwatch.outcome": result.outcome.value}
        self._waiting.append(
            Span("frame looked at", "consumer", looked, published.span_id, *times, facts, role="infer")
        )
        return looked


def _facts(result: Result) -> dict[str, Told]:
    return {"maskwatch.camera": result.camera, "maskwatch.seq": result.seq}

"""Finishing frames: the result is published, a frame that was given up is noted, and both are counted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from common.broker.entries import FrameEntry
from common.errors import WireError
from common.log import Log
from common.schema import Outcome
from workers.infer.arrivals import Mark
from workers.infer.metrics import InferMetrics
from workers.infer.outbox import Outbox
from workers.infer.outcomes import Finished, Reporter, letter_of
from workers.infer.ways import UNTOLD, Ways

_log = Log("infer")
MAX_DETAIL = 200


@dataclass(frozen=True, slots=True)
class Desk:
    """Publishes what became of frames, marks and foreign messages. Thread-safe.

    Each method is True once everything is written, so that the entries may be acknowledged; False where the end came
    first, so that they must stay with the broker.
    """

    outbox: Outbox
    reporter: Reporter
    metrics: InferMetrics
    worker: str
    ways: Ways = UNTOLD

    def finish(self, finished: Sequence[Finished]) -> bool:
        """Publish the results of frames, dead letters first."""
        began = time.perf_counter()
        for one in finished:
            if one.outcome is Outcome.DEAD and not self._bury(one):
                return False
        places = self.ways.places(finished)
        named = [self.reporter.result(one, place and place.text()) for one, place in zip(finished, places, strict=True)]
        if not self.outbox.publish(named):
            return False
        if finished:
            self.metrics.time_stage("publish", time.perf_counter() - began)
            self.ways.tell(finished, places)
        for one in finished:
            self._count(one)
        return True

    def forward(self, marks: Sequence[Mark]) -> bool:
        """Hand marks on to the judge."""
        return self.outbox.publish([self.reporter.mark(mark) for mark in marks])

    def refuse(self, entry: FrameEntry, error: WireError) -> bool:
        """Note an entry that is no message of ours."""
        fields: dict[str, str | bytes] = {
            "camera": entry.camera,
            "entry_id": entry.entry_id,
            "reason": f"wire_{error.reason}",
            "detail": str(error)[:MAX_DETAIL],
            "worker": self.worker,
        }
        written = self.outbox.dead_letter(entry.partition, fields)
        if written:
            self.metrics.dead_letters.labels(f"wire_{error.reason}").inc()
            _log.warning("foreign_message", camera=entry.camera, entry=entry.entry_id, reason=error.reason)
        return written

    def _bury(self, one: Finished) -> bool:
        written = self.outbox.dead_letter(one.frame.entry.partition, letter_of(one.frame, one.reason, self.worker))
        if written:
            self.metrics.dead_letters.labels(one.reason).inc()
            entry = one.frame.entry
            _log.error("dead_letter", camera=entry.camera, entry=entry.entry_id, reason=one.reason)
        return written

    def _count(self, one: Finished) -> None:
        camera = one.frame.camera
        if one.outcome is Outcome.OK:
            self.metrics.processed.labels(camera).inc()
            latency_s = self.reporter.now() - one.frame.header.captured_at
            self.metrics.capture_to_result.observe(max(0.0, latency_s))
        else:
            self.metrics.dropped.labels(camera, _reason(one)).inc()


def _reason(one: Finished) -> str:
    if one.outcome is Outcome.REJECTED:
        return f"rejected_{one.reason}"
    return "dead" if one.outcome is Outcome.DEAD else one.reason

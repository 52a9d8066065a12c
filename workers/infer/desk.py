"""Finishing frames: the result is published, a frame that was given up is noted, and both are counted."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.broker.frames.entries import FrameEntry
from common.errors import WireError
from common.log import Log
from common.schema import Outcome
from common.spans import Told
from workers.infer.arrivals import Mark
from workers.infer.metrics import InferMetrics
from workers.infer.outbox import Envelope, Outbox
from workers.infer.outcomes import Finished, Reporter, letter_of
from workers.infer.ways import UNTOLD, Ways

_log = Log("infer")
MAX_DETAIL = 200


@dataclass(frozen=True, slots=True)
class Desk:
    """Publishes what became of frames, marks and foreign messages. Thread-safe.

    Each method gives the entries of which everything is written by now, so that they may be acknowledged. Others wait
    for a node of the broker, and come with `late`; or the end came first, and they must stay with the broker.
    """

    outbox: Outbox
    reporter: Reporter
    metrics: InferMetrics
    worker: str
    ways: Ways = UNTOLD

    def finish(self, finished: Sequence[Finished]) -> list[FrameEntry]:
        """Publish the results of frames, dead letters first."""
        if not finished:
            return []
        began = time.perf_counter()
        envelopes: dict[int, Envelope] = {}
        for one, place in zip(finished, self.ways.places(finished), strict=True):
            entry = one.frame.entry
            envelope = envelopes.setdefault(entry.partition, Envelope(entry.partition, []))
            envelope.entries.append(entry)
            envelope.frames.append((one, place))
            envelope.results.append(self.reporter.result(one, place and place.text())[1])
            if one.outcome is Outcome.DEAD:
                envelope.letters.append(letter_of(one.frame, one.reason, self.worker))
        written = self.outbox.send(list(envelopes.values()))
        self.metrics.time_stage("publish", time.perf_counter() - began)
        return self._settle(written, self.ways.stages(finished))

    def forward(self, marks: Sequence[Mark]) -> list[FrameEntry]:
        """Hand marks on to the judge."""
        envelopes = [Envelope(mark.entry.partition, [mark.entry], [self.reporter.mark(mark)[1]]) for mark in marks]
        return self._settle(self.outbox.send(envelopes))

    def refuse(self, entry: FrameEntry, error: WireError) -> list[FrameEntry]:
        """Note an entry that is no message of ours."""
        fields: dict[str, str | bytes] = {
            "camera": entry.camera,
            "entry_id": entry.entry_id,
            "reason": f"wire_{error.reason}",
            "detail": str(error)[:MAX_DETAIL],
            "worker": self.worker,
        }
        return self._settle(self.outbox.send([Envelope(entry.partition, [entry], letters=[fields], foreign=error)]))

    def late(self) -> list[FrameEntry]:
        """Try again, where it is time, what waits for a node of the broker."""
        return self._settle(self.outbox.send_again())

    def _settle(self, envelopes: Sequence[Envelope], stages: Mapping[str, Told] | None = None) -> list[FrameEntry]:
        for envelope in envelopes:
            if envelope.foreign is not None:
                entry, reason = envelope.entries[0], envelope.foreign.reason
                self.metrics.dead_letters.labels(f"wire_{reason}").inc()
                _log.warning("foreign_message", camera=entry.camera, entry=entry.entry_id, reason=reason)
            self.ways.tell(envelope.frames, stages or {})
            for one, _ in envelope.frames:
                self._count(one)
        return [entry for envelope in envelopes for entry in envelope.entries]

    def _count(self, one: Finished) -> None:
        camera = one.frame.camera
        if one.outcome is Outcome.DEAD:
            self.metrics.dead_letters.labels(one.reason).inc()
            _log.error("dead_letter", camera=camera, entry=one.frame.entry.entry_id, reason=one.reason)
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

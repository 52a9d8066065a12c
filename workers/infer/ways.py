"""Tells of the frames that a worker looked at, for those whose producer said that they are followed."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from common.schema import Outcome
from common.spans import Span, Told
from common.trace import Trace, read_trace
from common.tracing import OFF, Tracing
from workers.infer.outcomes import Finished

_STAGE = "maskwatch.stage."
_WELL = (Outcome.OK, Outcome.SKIPPED)


class Ways:
    """Names the step of each followed frame before its result is published, and tells of it afterwards. Thread-safe.

    Stages are timed for a batch as a whole, by the thread that called `begin`. How long faces took to cut out and
    classify says how many there were; so a batch in which a camera is only counted gives no times.

    Args:
        tracing: Where steps are told.
    """

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._mine = threading.local()

    def begin(self, decode_s: float) -> None:
        """Collect the times of stages in this thread, from now on; decoding is over and took ``decode_s`` seconds."""
        if self._tracing.exports:
            self._mine.stages = {"decode": decode_s}

    def time_stage(self, stage: str, seconds: float) -> None:
        """Note how long a stage took; those of other threads are not of one batch."""
        stages: dict[str, float] | None = getattr(self._mine, "stages", None)
        if stages is not None:
            stages[stage] = stages.get(stage, 0.0) + seconds

    def places(self, finished: Sequence[Finished]) -> list[Trace | None]:
        """Give each frame the place of its step in its trace; None for frames that are not followed."""
        if not self._tracing.exports:
            return [None] * len(finished)
        return [self._place(one) for one in finished]

    def stages(self, finished: Sequence[Finished]) -> dict[str, Told]:
        """Give the times of this thread's stages for a whole batch; none where a camera in it is only counted."""
        stages: dict[str, float] | None = getattr(self._mine, "stages", None)
        if not stages or not all(self._tracing.allows(one.frame.camera) for one in finished):
            return {}
        return {f"{_STAGE}{stage}_ms": round(1000 * seconds, 3) for stage, seconds in stages.items()}

    def tell(self, frames: Sequence[tuple[Finished, Trace | None]], stages: Mapping[str, Told]) -> None:
        """Tell of frames whose results were published just now, with their places and the times of their batch."""
        if not any(place for _, place in frames):
            return
        now, ended = time.time(), time.monotonic()
        for one, place in frames:
            came = read_trace(one.frame.header.traceparent)
            if place is not None and came is not None:
                began = now - (ended - (one.frame.read_at or ended))
                facts = _facts(one, stages)
                failed = one.outcome not in _WELL
                self._tracing.tell(Span("frame looked at", "consumer", place, came.span_id, began, now, facts, failed))

    def _place(self, one: Finished) -> Trace | None:
        came = read_trace(one.frame.header.traceparent)
        if came is None or not came.sampled or not self._tracing.allows(one.frame.camera):
            return None
        return came.next()


def _facts(one: Finished, stages: Mapping[str, Told]) -> dict[str, Told]:
    facts: dict[str, Told] = {
        "maskwatch.camera": one.frame.camera,
        "maskwatch.seq": one.frame.header.seq,
        "maskwatch.outcome": one.outcome.value,
    }
    if one.reason:
        facts["maskwatch.reason"] = one.reason
    return facts | dict(stages)


UNTOLD = Ways(OFF)

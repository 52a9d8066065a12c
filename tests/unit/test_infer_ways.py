"""What an infer worker tells of frames: those that are followed, and nothing from which people could be counted."""

from __future__ import annotations

import time

from common.broker.frames.entries import FrameEntry
from common.schema import FrameHeader, Outcome, encode
from common.siteplan import SitePlan
from common.spans import Span
from common.trace import read_trace, traceparent_of
from common.tracing import Tracing
from workers.infer.arrivals import Frame
from workers.infer.outcomes import Finished
from workers.infer.ways import UNTOLD, Ways


class Told(Tracing):
    """Keeps what it is told; cameras called ``counted…`` are only counted."""

    exports = True

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def allows(self, camera: str) -> bool:
        return not camera.startswith("counted")

    def tell(self, span: Span) -> None:
        self.spans.append(span)


def finished(camera: str, seq: int = 0, ratio: float = 1.0, outcome: Outcome = Outcome.OK) -> Finished:
    trace = traceparent_of(camera, 1, seq, ratio)
    header = FrameHeader(session=1, seq=seq, captured_at=1.0, width=320, height=192, traceparent=trace)
    entry = FrameEntry(camera, 0, "1000-0", encode(header), b"")
    return Finished(Frame(entry, header, time.monotonic() - 0.5), outcome, "" if outcome is Outcome.OK else "decode")


def told_of(*batch: Finished) -> list[Span]:
    told = Told()
    ways = Ways(told)
    ways.begin(0.004)
    for stage, seconds in (("detect", 0.01), ("detect", 0.02), ("classify", 0.003), ("publish", 0.001)):
        ways.time_stage(stage, seconds)
    ways.tell(list(zip(batch, ways.places(batch), strict=True)), ways.stages(batch))
    return told.spans


def test_a_followed_frame_is_told_of_behind_its_producer() -> None:
    (span,) = told_of(finished("gate", 3))
    came = read_trace(traceparent_of("gate", 1, 3))
    assert came is not None
    assert (span.place.trace_id, span.parent) == (came.trace_id, came.span_id)
    assert 0.4 < span.end_s - span.start_s < 5
    assert span.facts == {
        "maskwatch.camera": "gate",
        "maskwatch.seq": 3,
        "maskwatch.outcome": "ok",
        "maskwatch.stage.decode_ms": 4.0,
        "maskwatch.stage.detect_ms": 30.0,
        "maskwatch.stage.classify_ms": 3.0,
        "maskwatch.stage.publish_ms": 1.0,
    }


def test_a_rejected_frame_has_failed() -> None:
    (span,) = told_of(finished("gate", outcome=Outcome.REJECTED))
    assert span.failed
    assert (span.facts["maskwatch.outcome"], span.facts["maskwatch.reason"]) == ("rejected", "decode")


def test_frames_that_nobody_follows_are_not_told_of() -> None:
    assert told_of(finished("gate", ratio=0.0)) == []


def test_a_camera_that_is_only_counted_is_not_told_of_and_silences_the_times_of_its_batch() -> None:
    """How long classification took says how many faces there were, also those of the counted camera."""
    (span,) = told_of(finished("counted-1"), finished("gate"))
    assert span.facts == {"maskwatch.camera": "gate", "maskwatch.seq": 0, "maskwatch.outcome": "ok"}


def test_times_of_another_thread_are_of_another_batch() -> None:
    told = Told()
    ways = Ways(told)
    ways.time_stage("detect", 0.01)
    batch = [finished("gate")]
    ways.tell(list(zip(batch, ways.places(batch), strict=True)), ways.stages(batch))
    assert "maskwatch.stage.detect_ms" not in told.spans[0].facts


def test_without_export_nothing_is_named_or_told() -> None:
    UNTOLD.begin(0.0)
    assert UNTOLD.places([finished("gate")]) == [None]
    UNTOLD.tell([(finished("gate"), None)], UNTOLD.stages([finished("gate")]))


def test_the_plan_says_which_cameras_are_only_counted() -> None:
    from common.tracing import _Export

    class Queue:
        def put(self, _span: Span) -> None:
            raise AssertionError

    export = _Export(Queue(), 1.0)  # type: ignore[arg-type]
    assert not export.allows("a")
    cameras = [{"id": "a", "source": "x"}, {"id": "b", "source": "x", "privacy": "statistics"}]
    export.follow(SitePlan.model_validate({"site": "s", "cameras": cameras}))
    assert [export.allows(name) for name in ("a", "b", "c")] == [True, False, False]
    export.follow(SitePlan.model_validate({"site": "s", "cameras": cameras, "privacy": {"mode": "statistics"}}))
    assert not any(export.allows(name) for name in ("a", "b", "c"))

"""What the judge tells of frames: the followed ones, all that made an event, none of a camera that is only counted."""

from __future__ import annotations

from typing import Any

from common.broker.ownership import Lease, PartitionState
from common.events import VIOLATION_TYPES
from common.resultrecord import read_record
from common.schema import encode
from common.siteplan import SitePlan
from common.spans import Span
from common.trace import read_trace, traceparent_of
from common.tracing import Tracing
from tests.judge_scenes import CAMERA, SESSION, START_S, scene, standing
from workers.judge.context import context_of
from workers.judge.desk import Desk
from workers.judge.ways import Ways

SECONDS = 6


class Told(Tracing):
    """Keeps what it is told."""

    exports = True

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def tell(self, span: Span) -> None:
        self.spans.append(span)

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


def a_desk(tracing: Tracing, mode: str = "full") -> Desk:
    plan = SitePlan.model_validate({"site": "s", "cameras": [{"id": CAMERA, "source": "x"}], "privacy": {"mode": mode}})
    stored = PartitionState("1000-0", {})
    return Desk(Lease(0, "me", 1), 1, stored, lambda _: context_of(plan, CAMERA), Ways(tracing))


def judged(desk: Desk, ratio: float) -> list[Any]:
    """Judge somebody without a mask, who comes after two seconds; gives the events that are to be logged."""
    for result in scene([standing("no_mask", 2.0)], SECONDS):
        named = result.model_copy(update={"traceparent": traceparent_of(CAMERA, SESSION, result.seq, ratio)})
        desk.take([(f"{round(1000 * result.captured_at) + 100}-0", encode(named))])
    return desk.events


def test_nothing_is_told_before_it_is_committed() -> None:
    told = Told()
    desk = a_desk(told)
    judged(desk, 1.0)
    assert told.spans == []
    step = desk.due(round(1000 * (START_S + 100)), 0, 1000)
    assert step is not None
    desk.committed(step)
    assert len(told.named("frame judged")) == SECONDS * 5
    assert all(span.end_s >= span.start_s > 0 for span in told.spans)
    assert {span.parent for span in told.named("frame judged")} == {
        trace.span_id for seq in range(SECONDS * 5) if (trace := read_trace(traceparent_of(CAMERA, SESSION, seq)))
    }


def test_a_frame_that_nobody_followed_and_that_made_an_event_is_told_of_from_its_beginning() -> None:
    told = Told()
    desk = a_desk(told)
    events = list(judged(desk, 0.0))
    assert [event.type for event in events] == [VIOLATION_TYPES["started"]]
    step = desk.due(round(1000 * (START_S + 100)), 0, 1000)
    assert step is not None
    desk.committed(step)
    published, looked, judging, logged = told.spans
    assert [span.name for span in told.spans] == ["frame published", "frame looked at", "frame judged", "event logged"]
    assert [span.role for span in told.spans] == ["producer", "infer", "", ""]
    assert [span.parent for span in told.spans] == [0, *(span.place.span_id for span in told.spans[:3])]
    assert len({span.place.trace_id for span in told.spans}) == 1
    seq = published.facts["maskwatch.seq"]
    assert isinstance(seq, int)
    frame = read_trace(traceparent_of(CAMERA, SESSION, seq))
    assert frame is not None
    assert (published.place.trace_id, published.place.span_id) == frame[:2]
    captured = START_S + seq / 5
    assert (published.start_s, published.end_s) == (captured, captured + 0.02)
    assert (looked.start_s, looked.end_s) == (captured + 0.02, captured + 0.08)
    assert read_trace(events[0].traceparent) == logged.place
    assert logged.facts["maskwatch.event.id"] == events[0].id
    assert judging.facts == {"maskwatch.camera": CAMERA, "maskwatch.seq": seq}


def test_nothing_is_told_of_a_camera_that_is_only_counted_whatever_its_producer_says() -> None:
    told = Told()
    desk = a_desk(told, "statistics")
    assert judged(desk, 1.0) == []
    step = desk.due(round(1000 * (START_S + 100)), 0, 1000)
    assert step is not None
    desk.committed(step)
    assert told.spans == []


def test_without_export_events_carry_the_trace_as_it_came() -> None:
    desk = a_desk(Tracing())
    (event,) = judged(desk, 0.0)
    assert event.traceparent in {traceparent_of(CAMERA, SESSION, seq) for seq in range(SECONDS * 5)}


def test_no_span_says_anything_of_a_person() -> None:
    """Neither verdict nor box, track or number of faces: what is told is the same for everybody."""
    told = Told()
    desk = a_desk(told)
    judged(desk, 0.5)
    step = desk.due(round(1000 * (START_S + 100)), 0, 1000)
    assert step is not None
    desk.committed(step)
    allowed = {"camera", "seq", "outcome", "retold", "event.id", "event.type"}
    assert {name for span in told.spans for name in span.facts} <= {f"maskwatch.{name}" for name in allowed}


def test_both_forms_of_a_result_carry_the_trace() -> None:
    (result, *_) = scene([standing("mask")], 0.2)
    named = result.model_copy(update={"traceparent": traceparent_of(CAMERA, SESSION, 0)})
    record = read_record(encode(named))
    assert not hasattr(record, "mark")
    assert record.traceparent == named.traceparent

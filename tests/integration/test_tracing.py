"""The ways of frames in a real trace receiver: from capture to event to delivery, and what export may never cost."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.broker.embedded.brokers import EmbeddedPair
from common.schema import Outcome
from tests.brokers import Brokers
from tests.trace_receiver import Received, TraceReceiver
from tests.traced_site import CAMERA, GRACE_S, TracedSite, traced_site
from tests.waiting import until
from tests.webhook_receiver import SECRET, Receiver

WAY = ["frame published", "frame looked at", "frame judged", "event logged", "event delivered"]
LOADED_FOR_TRACES = {"common.otlp", "requests", "opentelemetry.exporter", "opentelemetry.sdk.trace"}
WAIT_S = 200
"""Models are compiled at each start, which takes its time where the processors are shared."""
SLACK_S = 20.0
"""What a batch in flight and an interpreter take to end on a busy machine; `test_spans` has the bound of the queue."""


@pytest.fixture
def site(tmp_path: Path, brokers: Brokers, broker_pair: EmbeddedPair) -> Iterator[TracedSite]:
    with traced_site(tmp_path, brokers, broker_pair) as made:
        yield made


def whole(receiver: TraceReceiver) -> list[list[Received]]:
    """Give the traces that go all the way."""
    return [trace for trace in receiver.traces().values() if {span.name for span in trace} == set(WAY)]


def chain(trace: list[Received]) -> list[Received]:
    """Give the spans of a trace's first event, each the parent of the next."""
    first = next(span for span in trace if not span.parent)
    found = [first]
    while after := [span for span in trace if span.parent == found[-1].span]:
        found.append(after[0])
    return found


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_one_trace_shows_the_way_from_capture_to_delivery(site: TracedSite) -> None:
    """With every frame followed, in four processes."""
    with TraceReceiver() as receiver, Receiver(SECRET) as hook:
        site.publish()
        site.start_all(hook.url, MASKWATCH_OTEL_ENDPOINT=receiver.url, MASKWATCH_OTEL_RATIO="1")
        until(lambda: whole(receiver), WAIT_S)
        ends = site.end_all()
        assert {name: status for name, (status, _) in ends.items()} == dict.fromkeys(ends, 0)
        assert all(took_s < GRACE_S + SLACK_S for _, took_s in ends.values()), ends

    spans = chain(whole(receiver)[0])
    assert [span.name for span in spans] == WAY
    assert [span.role for span in spans] == ["producer", "infer", "judge", "judge", "notify"]
    assert [span.facts.get("maskwatch.camera") for span in spans] == [CAMERA, CAMERA, CAMERA, None, None]
    assert all(span.end_ns >= span.begin_ns > 1.7e18 for span in spans)
    assert not any(span.failed or span.facts.get("maskwatch.retold") for span in spans)
    stages = {name.removeprefix("maskwatch.stage.") for name in spans[1].facts if ".stage." in name}
    assert {"decode_ms", "detect_ms", "classify_ms", "publish_ms"} <= stages

    event = next(one for one in site.events() if one["id"] == spans[3].facts["maskwatch.event.id"])
    assert event["traceparent"] == f"00-{spans[3].trace}-{spans[3].span}-01"
    sent = next(headers for headers in hook.headers if headers["webhook-id"] == event["id"])
    assert sent["traceparent"] == event["traceparent"]
    assert spans[4].facts | {"maskwatch.attempt": 1} == spans[4].facts
    assert (spans[4].facts["maskwatch.receiver"], spans[4].facts["maskwatch.outcome"]) == ("desk", "delivered")

    # What came last is sent at the end: nothing that happened is missing.
    names = [span.name for span in receiver.spans]
    published = re.search(r"camera_done .*published=(\d+)", site.roles["producer"].text)
    assert published is not None
    assert names.count("frame published") == int(published[1])
    assert names.count("frame looked at") == len(site.results())
    assert 0 < names.count("frame judged") <= sum(result.outcome is Outcome.OK for result in site.results())
    told = {span.facts["maskwatch.event.id"] for span in receiver.spans if span.name == "event logged"}
    assert told == {event["id"] for event in site.events() if "traceparent" in event}
    assert len({span.span for span in receiver.spans}) == len(receiver.spans)


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_frame_that_made_an_event_is_always_told_of(site: TracedSite) -> None:
    """Though no frame is followed: then there are traces of events alone, all of them whole."""
    with TraceReceiver() as receiver, Receiver(SECRET) as hook:
        site.publish()
        site.start_all(hook.url, MASKWATCH_OTEL_ENDPOINT=receiver.url, MASKWATCH_OTEL_RATIO="0")
        until(lambda: whole(receiver), WAIT_S)
        site.end_all()
    logged = {event["id"] for event in site.events() if "traceparent" in event}
    told = {span.facts["maskwatch.event.id"] for span in receiver.spans if span.name == "event logged"}
    assert told == logged
    for trace in receiver.traces().values():
        assert {span.name for span in trace} >= set(WAY[:4])
        spans = chain(trace)
        assert [span.role for span in spans[:4]] == ["producer", "infer", "judge", "judge"]
        assert [span.facts.get("maskwatch.retold") for span in spans[:4]] == [True, True, None, None]


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_where_people_are_only_counted_nothing_is_told(site: TracedSite) -> None:
    """The scene is the same, every frame would be followed, and not one request comes."""
    with TraceReceiver() as receiver:
        site.publish(privacy={"mode": "statistics"})
        site.start_all(MASKWATCH_OTEL_ENDPOINT=receiver.url, MASKWATCH_OTEL_RATIO="1")
        until(lambda: site.roles["judge"].metric("maskwatch_results_judged_total") > 24, WAIT_S)
        assert all("traces_exported" in role.text for role in site.roles.values())
        ends = site.end_all()
        assert {status for status, _ in ends.values()} == {0}, site.said()
        assert (receiver.attempts, receiver.spans) == (0, [])


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_receiver_that_is_down_costs_a_counter_and_a_line_a_minute(site: TracedSite) -> None:
    with TraceReceiver() as receiver:
        url = receiver.url
    began = time.monotonic()
    site.publish()
    site.start_all(MASKWATCH_OTEL_ENDPOINT=url, MASKWATCH_OTEL_RATIO="1", MASKWATCH_OTEL_TIMEOUT_S="0.5")
    infer = site.roles["infer"]
    until(lambda: infer.metric("maskwatch_spans_dropped_total"), WAIT_S)
    until(lambda: any(event["type"].startswith("maskwatch.violation") for event in site.events()), WAIT_S)
    ends = site.end_all()
    assert {status for status, _ in ends.values()} == {0}, site.said()
    assert 1 <= infer.text.count("spans_not_exported") <= 1 + (time.monotonic() - began) // 60
    assert "Traceback" not in site.said()


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_receiver_that_never_answers_holds_up_neither_work_nor_end(site: TracedSite) -> None:
    """An attempt may take a minute here; frames go on meanwhile, and no role waits for it at its end."""
    with TraceReceiver(mood="silent") as receiver:
        site.publish()
        site.start_all(MASKWATCH_OTEL_ENDPOINT=receiver.url, MASKWATCH_OTEL_RATIO="1", MASKWATCH_OTEL_TIMEOUT_S="60")
        until(lambda: receiver.attempts == len(site.roles), WAIT_S)
        until(lambda: any(event["type"].startswith("maskwatch.violation") for event in site.events()), WAIT_S)
        ends = site.end_all()
        assert {status for status, _ in ends.values()} == {0}, site.said()
        assert all(took_s < GRACE_S + SLACK_S for _, took_s in ends.values()), ends
        assert site.said().count("spans_left_behind") == len(site.roles)


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_without_the_setting_nothing_of_it_is_loaded(site: TracedSite) -> None:
    site.publish()
    site.start_all()
    until(lambda: len(site.results()) > 3, WAIT_S)
    assert [role.metric("maskwatch_spans_exported_total") for role in site.roles.values()] == [0, 0, 0]
    ends = site.end_all()
    assert {status for status, _ in ends.values()} == {0}, site.said()
    assert "tracing" not in site.said()
    for name, role in site.roles.items():
        assert role.loaded() & LOADED_FOR_TRACES == set(), name


@pytest.mark.timeout(200)
@pytest.mark.parametrize("name", ["producer", "infer", "judge"])
def test_switched_on_without_the_extra_says_so_in_one_line(site: TracedSite, name: str) -> None:
    site.publish()
    role = site.start(name, TRACED_WITHOUT="opentelemetry", MASKWATCH_OTEL_ENDPOINT="http://127.0.0.1:9")
    assert role.process.wait(WAIT_S) == 2
    lines = [line for line in role.text.splitlines() if not line.startswith("LOADED ")]
    wanted = "the export of traces needs OpenTelemetry; install the extra: pip install 'maskwatch[otel]'"
    assert lines == [f"maskwatch: otel_endpoint: {wanted}"]


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ENDPOINT", "collector:4318", "endpoint: must be http://HOST:PORT or https://HOST:PORT"),
        ("ENDPOINT", "http://me:canary@collector", "endpoint: must hold no user, password or query"),
        ("ENDPONT", "http://collector", "MASKWATCH_OTEL_ENDPONT: unknown variable; did you mean"),
        ("RATIO", "1.5", "ratio: Input should be less than or equal to 1"),
        ("HEADERS_FILE", "/nowhere/headers", "headers: cannot be read"),
        ("HEADERS", "canary", "otel_headers: header 1 is not name=value"),
    ],
)
def test_a_wrong_setting_is_named(site: TracedSite, variable: str, value: str, said: str) -> None:
    site.publish()
    settings = {"MASKWATCH_OTEL_ENDPOINT": "http://127.0.0.1:9", f"MASKWATCH_OTEL_{variable}": value}
    role = site.start("judge", **settings)
    assert role.process.wait(WAIT_S) == 2
    assert said in role.text
    assert "canary" not in role.text
    assert "Traceback" not in role.text
